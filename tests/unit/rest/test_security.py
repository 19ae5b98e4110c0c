"""Who is let in, how often, and what is noted."""

from __future__ import annotations

import hashlib
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.rest.problem import Problem
from controller.rest.security import (
    Buckets,
    Guardian,
    Identity,
    Rate,
    Role,
    TokenFileError,
    audit,
    is_loopback,
    new_token,
    parse_tokens,
)
from tests.unit.rest.toy import Notes, client_of

SECRETS = {role: f"secret-of-{role.word}" for role in Role}
FILE = "\n".join(
    f"{role.word}s-token {role.word} {hashlib.sha256(secret.encode()).hexdigest()}"
    for role, secret in SECRETS.items()
)


def guardian(reads: Rate | None = None, writes: Rate | None = None) -> Guardian:
    return Guardian(parse_tokens(FILE), bind="192.0.2.1", reads=reads, writes=writes)


def ask(
    who: Guardian,
    *,
    needed: Role = Role.VIEWER,
    write: bool = False,
    now: float = 0,
    peer: str = "192.0.2.7",
    token: str | None = None,
    authorization: str | None = None,
    host: str | None = "weft.example",
    origin: str | None = None,
) -> Identity:
    return who.admit(
        needed=needed,
        write=write,
        now=now,
        peer=peer,
        authorization=f"Bearer {token}" if token else authorization,
        host=host,
        origin=origin,
    )


def test_a_token_file() -> None:
    text = f"# who may what\n\n{FILE}\r\n   # the end\n"
    assert [(token.name, token.role) for token in parse_tokens(text)] == [
        ("viewers-token", Role.VIEWER),
        ("operators-token", Role.OPERATOR),
        ("admins-token", Role.ADMIN),
    ]


def test_everything_wrong_with_a_token_file_is_said_at_once() -> None:
    good = "0" * 64
    text = (
        f"a viewer {good}\nb viewer {good.upper()}\n\nc root 12\na admin {'1' * 64}\nx\né viewer 1"
    )
    with pytest.raises(TokenFileError) as caught:
        parse_tokens(text)
    assert [line for line, _ in caught.value.problems] == [2, 4, 4, 5, 6, 7, 7]
    assert "line 4: a role is one of viewer, operator, admin" in str(caught.value)
    with pytest.raises(TokenFileError, match="no token"):
        parse_tokens("# nobody\n")


def test_a_token_in_the_wrong_place_is_not_quoted() -> None:
    with pytest.raises(TokenFileError) as caught:
        parse_tokens("alice viewer weft_very-secret")
    assert "very-secret" not in str(caught.value)


def test_a_new_token_is_let_in() -> None:
    token, line = new_token("alice", Role.OPERATOR)
    assert token not in line
    who = Guardian(parse_tokens(line), bind="::")
    assert ask(who, token=token) == Identity("alice", Role.OPERATOR, "192.0.2.7")
    assert new_token("alice", Role.OPERATOR)[0] != token
    with pytest.raises(TokenFileError):
        new_token("alice liddell", Role.VIEWER)


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("needed", list(Role))
def test_roles_include_those_below(role: Role, needed: Role) -> None:
    if role >= needed:
        assert ask(guardian(), needed=needed, token=SECRETS[role]).role is role
        return
    with pytest.raises(Problem) as caught:
        ask(guardian(), needed=needed, token=SECRETS[role])
    assert caught.value.slug == "forbidden"
    assert caught.value.headers["WWW-Authenticate"] == (
        f'Bearer realm="weft", error="insufficient_scope", scope="{needed.word}"'
    )


@pytest.mark.parametrize(
    ("authorization", "challenge"),
    [
        (None, 'Bearer realm="weft"'),
        ("", 'Bearer realm="weft"'),
        ("Basic YTpi", 'Bearer realm="weft"'),
        ("Bearer", 'Bearer realm="weft", error="invalid_token"'),
        ("Bearer secret-of-root", 'Bearer realm="weft", error="invalid_token"'),
        ("Bearer \xff\ud800", 'Bearer realm="weft", error="invalid_token"'),
    ],
)
def test_who_is_unknown_is_told_how_to_authenticate(
    authorization: str | None, challenge: str
) -> None:
    with pytest.raises(Problem) as caught:
        ask(guardian(), authorization=authorization)
    assert caught.value.slug == "unauthorized"
    assert caught.value.headers == {"WWW-Authenticate": challenge}


def test_the_scheme_is_known_in_any_case() -> None:
    assert ask(guardian(), authorization="bEARER  secret-of-admin").name == "admins-token"


@pytest.mark.parametrize("bind", ["0.0.0.0", "::", "192.0.2.1", "example.com", ""])
def test_nothing_is_open_to_others_without_tokens(bind: str) -> None:
    with pytest.raises(ValueError, match="token file"):
        Guardian(None, bind=bind)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True), ("LOCALHOST.", True), ("127.0.0.1", True), ("127.9.9.9", True),
        ("::1", True), ("[::1]", True), ("example.com", False), ("localhost.example.com", False),
        ("127.0.0.1.example.com", False), ("0.0.0.0", False), ("", False), ("2130706433", False),
    ],
)  # fmt: skip
def test_what_is_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


@pytest.mark.parametrize("host", ["localhost", "localhost:8080", "127.0.0.1:1", "[::1]:8080"])
def test_without_tokens_everybody_here_is_an_admin(host: str) -> None:
    who = Guardian(None, bind="::1")
    assert ask(who, needed=Role.ADMIN, host=host).role is Role.ADMIN
    assert ask(who, host=host, origin="http://localhost:8080").name == "anonymous"


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        (None, None), ("", None), ("evil.example", None), ("evil.example:8080", None),
        ("localhost@evil.example", None), ("[::1", None), ("localhost, evil.example", None),
        ("localhost", "http://evil.example"), ("localhost", "null"), ("localhost", ""),
    ],
)  # fmt: skip
def test_foreign_pages_are_kept_out(host: str | None, origin: str | None) -> None:
    with pytest.raises(Problem) as caught:
        ask(Guardian(None), host=host, origin=origin)
    assert caught.value.slug == "forbidden"


def test_rates_of_reads_and_writes_are_apart() -> None:
    who = guardian(reads=Rate(0.5, 2), writes=Rate(1, 1))
    viewer, admin = SECRETS[Role.VIEWER], SECRETS[Role.ADMIN]
    for _ in range(2):
        ask(who, token=admin, now=10)
    with pytest.raises(Problem) as caught:
        ask(who, token=admin, now=10)
    assert caught.value.slug == "rate"
    assert caught.value.headers == {"Retry-After": "2"}
    ask(who, token=viewer, now=10)
    ask(who, token=admin, now=10, write=True)
    with pytest.raises(Problem):
        ask(who, token=admin, now=10.5, write=True)
    ask(who, token=admin, now=12)


@pytest.mark.parametrize("token", ["guess", None])
def test_guessing_is_limited_by_peer(token: str | None) -> None:
    who = guardian(reads=Rate(1, 2))
    slugs = []
    for _ in range(4):
        with pytest.raises(Problem) as caught:
            ask(who, token=token)
        slugs.append(caught.value.slug)
    assert slugs == ["unauthorized", "unauthorized", "rate", "rate"]
    assert ask(who, token=SECRETS[Role.ADMIN]).name == "admins-token"


@given(st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 3)), max_size=60))
def test_a_bucket_never_gives_more_than_its_rate(asked: list[tuple[str, float]]) -> None:
    buckets, now, given_out = Buckets(Rate(2, 3)), 0.0, {"a": 0, "b": 0}
    for key, later in asked:
        now += later
        wait = buckets.take(key, now)
        if wait == 0:
            given_out[key] += 1
        else:
            assert 0 < wait <= 0.5
        assert given_out[key] <= 3 + 2 * now + 1e-6


def test_a_waiting_client_is_served_when_it_was_told() -> None:
    buckets = Buckets(Rate(3, 1))
    assert buckets.take("a", 0) == 0
    wait = buckets.take("a", 0)
    assert buckets.take("a", wait + 1e-9) == 0


def test_memory_is_bounded() -> None:
    buckets = Buckets(Rate(1, 1), most=10)
    for n in range(1000):
        buckets.take(str(n), 0)
    assert len(buckets) == 10
    assert buckets.take("999", 0) > 0


def test_an_audit_line_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "weft.audit")
    audit(
        Identity("alice", Role.OPERATOR, "::1"),
        peer="::1",
        method="PUT",
        path="/v1/a b\r\n\x1b[31m\u2028\ud800\\",
        query="",
        status=200,
        revision=0,
        generation=3,
    )
    assert caplog.records[0].getMessage() == (
        "who=alice role=operator peer=::1 method=PUT "
        "path=/v1/a\\x20b\\r\\n\\x1b[31m\\u2028\\ud800\\\\ query=- status=200 "
        "revision=0 generation=3"
    )


def test_a_request_is_limited_and_authorized() -> None:
    now = [0.0]
    client = client_of(Notes(), guardian(writes=Rate(1, 1)), now)
    admin = {"Authorization": "Bearer secret-of-admin"}
    viewer = {"Authorization": "Bearer secret-of-viewer"}
    assert client.simulate_get("/v1/notes").status_code == 401
    assert client.simulate_get("/v1/notes", headers=viewer).status_code == 200
    assert client.simulate_delete("/v1/notes/1", headers=viewer).status_code == 403
    assert client.simulate_delete("/v1/notes/1", headers=admin).status_code == 204
    refused = client.simulate_delete("/v1/notes/1", headers=admin)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    now[0] = 1
    assert client.simulate_delete("/v1/notes/1", headers=admin).status_code == 204
    assert client.simulate_get("/healthz").status_code == 200
