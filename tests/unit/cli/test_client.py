"""Pages, problems, retries, and servers that are not ours."""

from __future__ import annotations

import pytest
import requests

from controller.cli.client import Client
from controller.cli.conflicts import explain
from controller.cli.errors import Unreachable
from controller.cli.settings import Settings
from tests.unit.cli.fake import Api, Weft, problem


@pytest.fixture
def slept() -> list[float]:
    return []


@pytest.fixture
def client(api: Api, slept: list[float]) -> Client:
    return Client(Settings(api.url), sleep=slept.append)


def test_all_pages_are_read(api: Api, client: Client) -> None:
    api.page = 2
    api.lists["things"] = [{"n": n} for n in range(5)]
    counts: list[int] = []
    assert list(client.items("/v1/things", {"x": None}, page=counts.append)) == api.lists["things"]
    assert counts == [2, 4, 5]
    assert [r.query for r in api.requests] == [
        {"limit": ["1000"]},
        {"limit": ["1000"], "cursor": ["2"]},
        {"limit": ["1000"], "cursor": ["4"]},
    ]


def test_pages_without_end_are_noticed(api: Api, client: Client) -> None:
    api.scripted = [(200, {"items": [], "next": "x"}, {})] * 2
    with pytest.raises(Unreachable, match="do not end"):
        list(client.items("/v1/things"))


def test_comes_back_when_asked_to(api: Api, client: Client, slept: list[float]) -> None:
    api.plain["x"] = {"good": True}
    api.scripted = [problem(429, "Slower.", Retry_After="2")]
    assert client.get("/v1/x") == {"good": True}
    assert slept == [2.0]


def test_the_token_is_sent_and_netrc_is_not(
    api: Api, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b\n")  # type: ignore[operator]
    monkeypatch.setenv("NETRC", f"{tmp_path}/netrc")
    api.plain["x"] = {}
    Client(Settings(api.url)).get("/v1/x")
    Client(Settings(api.url, token="weft_abc")).get("/v1/x")
    first, second = api.requests
    assert "authorization" not in first.headers
    assert second.headers["authorization"] == "Bearer weft_abc"


def test_a_proxy_is_not_asked_for_this_machine(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    api.plain["x"] = {}
    assert Client(Settings(api.url)).get("/v1/x") == {}


# What a user sees ----------------------------------------------------------------------------


def test_nobody_there(weft: Weft) -> None:
    result = weft("status", "--url", "http://127.0.0.1:9")
    assert result.exit_code == 3
    assert result.stdout == ""
    assert "cannot connect to http://127.0.0.1:9 (--url): connection refused" in result.stderr
    assert "Hint: is the controller running" in result.stderr


@pytest.mark.parametrize(
    "answer",
    [
        (200, b"<html>", {}),
        (502, b"Bad Gateway", {}),
        (404, b"", {}),
        (301, b"", {"Location": "/"}),
    ],
)
def test_somebody_else_is_there(
    api: Api, weft: Weft, answer: tuple[int, bytes, dict[str, str]]
) -> None:
    api.scripted = [answer]
    result = weft("status")
    assert result.exit_code == 3
    assert "does not seem to be Weft's REST API" in result.stderr


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, 1), (401, 4), (403, 4), (404, 1), (409, 5), (412, 5), (422, 1), (429, 1), (503, 1)],
)
def test_exit_codes(api: Api, weft: Weft, status: int, code: int) -> None:
    api.scripted = [problem(status, "That is it.", Retry_After="3600")]
    result = weft("network", "show", "100")
    assert result.exit_code == code
    assert result.stderr.startswith("Error: That is it.\n")


def test_field_errors_are_listed(api: Api, weft: Weft) -> None:
    api.scripted = [
        problem(
            422, "Two mistakes.",
            {"pointer": "/vlan", "detail": "out of range"},
            {"parameter": "limit", "detail": "too large"},
            {"detail": "alone"},
        )
    ]  # fmt: skip
    result = weft("network", "set", "100")
    assert result.exit_code == 1
    assert result.stderr == (
        "Error: Two mistakes.\n  /vlan: out of range\n  limit: too large\n  alone\n"
    )


def test_a_single_error_is_said_once(api: Api, weft: Weft) -> None:
    api.scripted = [problem(422, "Request: x", {"pointer": "/vlan", "detail": "out of range"})]
    assert weft("network", "set", "100").stderr == "Error: /vlan: out of range\n"


def test_without_a_token_it_says_how_to_give_one(api: Api, weft: Weft) -> None:
    api.token = "weft_right"
    result = weft("networks")
    assert result.exit_code == 4
    assert "Hint: give a token with --token-file, WEFT_TOKEN" in result.stderr
    result = weft("networks", "--token", "weft_wrong")
    assert "the token from --token is not known there" in result.stderr
    assert "the controller reads its token file on SIGHUP" in result.stderr
    assert "weft_wrong" not in result.stderr
    assert weft("--token", "weft_right", "networks").exit_code == 0


def test_a_role_that_is_too_low(api: Api, weft: Weft, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEFT_TOKEN", "weft_x")
    api.scripted = [problem(403, "The role admin is needed.")]
    result = weft("switch", "set", "1", "--vtep", "192.0.2.1")
    assert result.exit_code == 4
    assert "the token from WEFT_TOKEN may not do this" in result.stderr


P1, P2 = (f"port {p} of switch 000000000000000{n}" for p, n in (("h1", 1), ("h2", 2)))
A1 = "networks/100/attachments/0000000000000001/h1"
A2 = "networks/300/attachments/0000000000000002/h2"


@pytest.mark.parametrize(
    ("pointer", "detail", "sentence", "hint"),
    [
        (
            "/name", "networks/400: 'red' already names a network in networks/100",
            "network 100 is called 'red' already", "weft network set 100 --name NAME",
        ),
        (
            "", f"{A2}: already attached to network 100 in networks/100{A2[12:]}",
            f"{P2} is attached to network 100 already", "weft detach 100 0000000000000002 h2",
        ),
        (
            "/vlan", f"{A2}: already attached to network 100 in networks/100{A2[12:]}",
            f"this VLAN of {P2} is attached to network 100 already", "weft detach 100",
        ),
        (
            "", f"{A1}: there is no network 999: create it first",
            "there is no network 999", "weft network set 999",
        ),
        (
            "", f"{A1}: h1 is a tunnel port of the switch in defaults: attach another",
            f"{P1} is its tunnel port, by the settings of the defaults", "another port",
        ),
        (
            "", f"{A1}: a static endpoint is placed there in "
            "networks/100/endpoints/02:00:00:00:00:01: move or delete it first",
            f"endpoint 02:00:00:00:00:01 of network 100 is placed at {P1}",
            "weft endpoint forget 100 02:00:00:00:00:01",
        ),
        (
            "", "networks/100/endpoints/02:00:00:00:00:01: not an attachment of network 100: "
            "attach switch 0000000000000002 port h2 VLAN 10 first",
            f"{P2}, VLAN 10, is not attached to network 100",
            "weft attach 100 0000000000000002 h2 --vlan 10",
        ),
        (
            "/vtep", "switches/0000000000000002: already the address of the switch in "
            "switches/0000000000000001",
            "switch 0000000000000001 has this VTEP address already", "--unset vtep",
        ),
        (
            "/tunnel_port", "switches/0000000000000001: its tunnel port, h1, is attached in "
            f"{A1}: detach it first",
            f"{P1} is attached to network 100: it cannot be a tunnel port too", "weft detach 100",
        ),
        (
            "/vteps/0", "networks/100: 192.0.2.1 is our own switch's in "
            "switches/0000000000000001: leave it out",
            "network 100, vteps/0: 192.0.2.1 is our own switch's in switch 0000000000000001: "
            "leave it out", "",
        ),
    ],
)  # fmt: skip
def test_conflicts_in_words(
    api: Api, weft: Weft, *, pointer: str, detail: str, sentence: str, hint: str
) -> None:
    api.scripted = [problem(409, "No.", {"pointer": pointer, "detail": detail})]
    result = weft("network", "show", "100")
    assert result.exit_code == 5
    first, *rest = result.stderr.splitlines()
    assert first == f"Error: {sentence}"
    assert hint in "".join(rest)
    assert bool(rest) is bool(hint)


def test_conflicts_of_a_batch_are_told_apart() -> None:
    batch = {"operations": [{"path": "/v1/networks/400"}, {"path": f"/v1/{A2}"}]}
    error = {"pointer": "/operations/1/body/vlan", "detail": "already attached to network 100 in "}
    error["detail"] += f"networks/100{A2[12:]}/vlan"
    sentence, hint = explain(error, batch)
    assert sentence == f"this VLAN of {P2} is attached to network 100 already"
    assert hint.endswith("weft detach 100 0000000000000002 h2/vlan") is False
    unknown = {"pointer": "/operations/7/body", "detail": "something else"}
    assert explain(unknown, batch) == ("something else", "")


def test_a_network_that_is_not_there(api: Api, weft: Weft) -> None:
    api.scripted = [problem(404, "There is no network 999.")]
    result = weft("network", "show", "999")
    assert (result.exit_code, "weft network set 999\n" in result.stderr) == (1, True)


def test_a_certificate_of_another_name() -> None:
    error = requests.exceptions.SSLError(
        "CERTIFICATE_VERIFY_FAILED: Hostname mismatch, certificate is not valid for '127.0.0.1'"
    )
    failure = Client(Settings("https://127.0.0.1"))._unreachable(error)
    assert failure.hint == "use a name of the certificate in the URL"


def test_no_escape_sequence_reaches_the_terminal(api: Api, weft: Weft) -> None:
    api.configured["networks/1"] = {"name": "\x1b[31mred\n"}
    result = weft("networks")
    assert "\x1b" not in result.stdout
    assert "\\x1b[31mred\\n" in result.stdout
    api.scripted = [problem(404, "no \x1b]0;title\x07")]
    assert "\x1b" not in weft("network", "show", "1").stderr
