"""Who may do what by the REST API of a real server, and what nobody may do to it."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import requests

from controller.rest.tokens import Role, new_token
from mininet_topos.hosts import run
from tests.support.lab import CONTROLLER_ADDRESS, Controller, Lab, wait_until
from tests.support.rest import Answer, Rest

pytestmark = pytest.mark.ovs

NET: Final = "/v1/networks/100"
PUBLIC: Final = ("/healthz", "/readyz", "/v1/openapi.json", "/v1/docs")


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab
        for controller in lab.controllers:
            assert "Traceback" not in controller.log_text()


class Keys:
    """A token file, and the tokens in it by name."""

    def __init__(self, file: Path, **roles: Role) -> None:
        self.file = file
        self.tokens: dict[str, str] = {}
        self.write(**roles)

    def write(self, **roles: Role) -> None:
        lines = []
        for name, role in roles.items():
            self.tokens[name], line = new_token(name, role)
            lines.append(line)
        self.file.write_text("# for tests\n" + "\n".join(lines) + "\n")


@pytest.fixture
def keys(lab: Lab) -> Keys:
    return Keys(lab.directory / "tokens", vera=Role.VIEWER, otto=Role.OPERATOR, ada=Role.ADMIN)


def start(lab: Lab, **options: Any) -> Controller:
    return lab.controller(rest=True, options=options)


def refusal(lab: Lab, **options: Any) -> str:
    """What a controller says that does not start."""
    controller = lab.controller(rest=True, start=False, options=options)
    controller.start(wait=False)
    assert controller.wait_exit() != 0
    said = [line for line in controller.log_text().splitlines() if line.startswith("weft: ")]
    assert len(said) == 1, controller.log_text()
    return said[0]


def statuses(rest: Rest, *asked: tuple[str, str, object]) -> list[int]:
    anything = tuple(range(200, 500))
    return [rest.send(method, path, anything, body).status for method, path, body in asked]


def test_each_role_may_do_its_part(lab: Lab, keys: Keys) -> None:
    controller = start(lab, rest_tokens=keys.file)
    nobody = controller.rest()
    for path in PUBLIC:
        nobody.get(path)
    closed = ("/v1/networks", "/v1/status", "/metrics", "/v1/events", "/v1/endpoints",
              "/v1/configuration", "/v1/defaults", "/v1/switches/1/flows")  # fmt: skip
    for rest in (nobody, controller.rest("weft_" + "x" * 43)):
        for path in closed:
            answer = rest.send("GET", path, 401)
            assert answer.slug == "unauthorized"
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        rest.put(NET, {}, 401)
    assert nobody.get("/v1/nowhere", 404)
    asked: list[tuple[str, str, object]] = [
        ("GET", "/v1/networks", None),
        ("GET", "/metrics", None),
        ("PUT", NET, {}),
        ("PUT", f"{NET}/attachments/1/h1", {}),
        ("PUT", f"{NET}/endpoints/02:00:00:00:77:01", {"vtep": "192.0.2.9"}),
        ("DELETE", f"{NET}/endpoints", None),
        ("POST", "/v1/batch", {"operations": [{"method": "PUT", "path": "/v1/networks/200"}]}),
        ("PUT", "/v1/switches/1", {"vtep": "192.0.2.1"}),
        ("PATCH", "/v1/defaults", {"tunnel_port": "vxlan1"}),
        ("POST", "/v1/batch", {"operations": [{"method": "DELETE", "path": "/v1/switches/1"}]}),
        ("PUT", f"{NET}?dry_run=true", {"name": "x"}),
    ]
    vera, otto, ada = (controller.rest(keys.tokens[name]) for name in ("vera", "otto", "ada"))
    assert statuses(vera, *asked) == [200, 200] + [403] * 9
    assert statuses(otto, *asked) == [200, 200, 201, 201, 201, 200, 200, 403, 403, 403, 200]
    assert statuses(ada, *asked) == [200, 200, 200, 200, 200, 200, 200, 201, 200, 200, 200]
    refused = vera.put(NET, {}, 403)
    assert refused.slug == "forbidden"
    assert 'scope="operator"' in refused.headers["WWW-Authenticate"]
    with otto.events(since=0) as events:
        assert events.wait("configuration.changed", by="ada")
    # Who did what, or tried to.
    told = [line.partition(" weft.audit ")[2] for line in controller.log_text().splitlines()]
    assert "committed by=otto revision=1 changes=1 keys=networks/100" in told
    lines = [dict(word.split("=", 1) for word in line.split())
             for line in told if line.startswith("who=")]  # fmt: skip
    seen = [(x["who"], x["role"], x["method"], x["path"], x["status"]) for x in lines]
    assert ("vera", "viewer", "PUT", NET, "403") in seen
    assert ("otto", "operator", "PUT", NET, "201") in seen
    assert ("ada", "admin", "PUT", "/v1/switches/1", "201") in seen
    assert ("-", "-", "PUT", NET, "401") in seen
    assert all(method != "GET" for _, _, method, _, _ in seen)
    made = next(x for x in lines if x["who"] == "otto" and x["path"] == NET)
    assert (made["revision"], made["peer"]) == ("1", "127.0.0.1")
    for token in keys.tokens.values():
        assert token not in controller.log_text()


def test_tokens_are_read_again_on_sighup(lab: Lab, keys: Keys) -> None:
    controller = start(lab, rest_tokens=keys.file)
    old = controller.rest(keys.tokens["ada"])
    old.put(NET, {}, 201)
    keys.write(grace=Role.ADMIN)
    old.get(NET)
    with old.events() as followed:
        controller.reload()
        followed.wait_end()
    wait_until(lambda: old.send("GET", NET, (200, 401)).status == 401, "the old token is void")
    new = controller.rest(keys.tokens["grace"])
    new.get(NET)
    # One that is wrong changes nothing.
    keys.file.write_text("grace admin 123\n")
    controller.reload()
    wait_until(lambda: "tokens not reloaded" in controller.log_text(), "that is told")
    assert "line 1" in controller.log_text()
    new.get(NET)
    controller.stop()


def test_what_cannot_be_served_safely_is_not_served(lab: Lab, keys: Keys) -> None:
    for host in ("0.0.0.0", CONTROLLER_ADDRESS):
        assert "token" in refusal(lab, rest_host=host)
    assert "No such file" in refusal(lab, rest_tokens=lab.directory / "nowhere")
    keys.file.write_text(f"a b {'0' * 64}\nada admin {'0' * 63}\n# x\nvera viewer\n")
    said = refusal(lab, rest_tokens=keys.file)
    assert all(f"line {n}" in said for n in (1, 2, 4))
    keys.file.write_text("")
    assert "token" in refusal(lab, rest_tokens=keys.file)
    assert "rest_cert" in refusal(lab, rest_cert=keys.file)


def test_beyond_this_machine_it_is_served_with_tokens_by_tls(lab: Lab, keys: Keys) -> None:
    cert, key = lab.directory / "cert.pem", lab.directory / "key.pem"
    names = f"subjectAltName=IP:127.0.0.1,IP:{CONTROLLER_ADDRESS},DNS:localhost"
    run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "2", "-subj", "/CN=weft", "-addext", names,
         "-keyout", str(key), "-out", str(cert)])  # fmt: skip
    controller = start(
        lab, rest_host="0.0.0.0", rest_tokens=keys.file, rest_cert=cert, rest_key=key
    )
    rest = controller.rest(keys.tokens["ada"], verify=str(cert))
    rest.put(NET, {"name": "red"}, 201, wait="applied")
    with Rest(f"https://{CONTROLLER_ADDRESS}:8080", keys.tokens["vera"], verify=str(cert)) as far:
        assert far.get(NET)["name"] == "red"
        far.put(NET, {}, 403)
    with Rest("https://127.0.0.1:8080") as distrustful, pytest.raises(requests.exceptions.SSLError):
        distrustful.get("/healthz")
    # Who does not speak TLS, or says nothing at all, holds up nobody.
    with (
        socket.create_connection(("127.0.0.1", 8080)),
        socket.create_connection(("127.0.0.1", 8080)) as plain,
    ):
        plain.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        rest.session.close()
        rest.get("/healthz")
    rest.close()


def test_without_tokens_only_this_machine_itself_is_heard(lab: Lab) -> None:
    rest = start(lab).rest()
    for host in ("localhost", "localhost:8080", "127.0.0.1", "[::1]:8080"):
        rest.get("/v1/networks", headers={"Host": host})
    for host in ("weft.example", "127.0.0.1.example", CONTROLLER_ADDRESS):
        assert rest.send("GET", "/v1/networks", 403, headers={"Host": host}).slug == "forbidden"
        rest.put(NET, {}, 403, headers={"Host": host})
    rest.put(NET, {}, 403, headers={"Origin": "http://evil.example"})
    rest.put(NET, {}, 201, headers={"Origin": "http://localhost:8080"})


def raw(text: bytes, *, end: bytes = b"") -> bytes:
    """What the server says to bytes that no client would send."""
    with socket.create_connection(("127.0.0.1", 8080), timeout=10) as connection:
        connection.sendall(text)
        found = b""
        while end not in found or not end:
            piece = connection.recv(65536)
            if not piece:
                break
            found += piece
        return found


def test_large_bodies_are_refused_unread(lab: Lab) -> None:
    rest = start(lab, rest_max_body=2000).rest()
    body = {"name": "x", "vteps": [f"10.0.{n // 250}.{n % 250 + 1}" for n in range(200)]}
    answer: Answer = rest.put(NET, body, 413)
    assert answer.slug == "too-large"
    head = b"PUT /v1/networks/100 HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    said = raw(head + b"Content-Length: 99999999999\r\n\r\n{", end=b"\r\n\r\n")
    assert b" 413 " in said.partition(b"\r\n")[0]
    chunks = b"%x\r\n%b\r\n" % (1000, b" " * 1000) * 3 + b"0\r\n\r\n"
    said = raw(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks, end=b"\r\n\r\n")
    assert b" 413 " in said.partition(b"\r\n")[0]
    # A batch may be larger than anything else.
    many = [{"method": "PUT", "path": f"/v1/networks/{n}"} for n in range(100)]
    rest.batch(*many)
    rest.get(NET, 404)
    assert len(rest.items("/v1/networks")) == 100


def test_who_asks_too_often_waits(lab: Lab, keys: Keys) -> None:
    controller = start(lab, rest_tokens=keys.file, rest_reads=1, rest_writes=1)
    vera, ada = (controller.rest(keys.tokens[name]) for name in ("vera", "ada"))
    answers = [vera.send("GET", "/v1/networks", (200, 429)) for _ in range(10)]
    limited = [answer for answer in answers if answer.status == 429]
    assert len(limited) >= 4
    assert limited[0].slug == "rate"
    assert int(limited[0].headers["Retry-After"]) >= 1
    ada.get("/v1/networks")  # each has a measure of its own
    found = [ada.put(NET, {"ageing": n}, (200, 201, 429)).status for n in range(10)]
    assert found[:4] == [201, 200, 200, 200]
    assert found.count(429) >= 4
    vera.get("/healthz")


def test_slow_and_silent_connections_hinder_nobody(lab: Lab) -> None:
    rest = start(lab).rest()
    half = b"PUT /v1/networks/100 HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    slow = []
    for number in range(300):
        connection = socket.create_connection(("127.0.0.1", 8080))
        slow.append(connection)
        connection.sendall((b"", b"GET /v1/net", half, half + b"Content-Length: 9\r\n\r\n{")
                           [number % 4])  # fmt: skip
    try:
        for number in range(50):
            rest.put(NET, {"name": f"n{number}"})
        with rest.events() as events:
            rest.put(NET, {"name": "last"})
            events.wait("configuration.changed")
        # Those that do not finish a request's head are sent away, and hold no place.
        for connection in (c for n, c in enumerate(slow) if n % 4 < 3):
            connection.settimeout(30)
            while connection.recv(4096):
                pass
    finally:
        for connection in slow:
            connection.close()
    assert rest.get(NET)["name"] == "last"


def test_nonsense_is_answered_and_not_obeyed(lab: Lab) -> None:
    controller = start(lab)
    rest = controller.rest()
    for text in (
        b"\x16\x03\x01\x02\x00\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n",
        b"GET /v1/networks/../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /" + b"a" * 70000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /v1/networks HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 70000 + b"\r\n\r\n",
        b"GET /v1/networks/%ff%fe HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"PUT /v1/networks/1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    ):  # fmt: skip
        said = raw(text, end=b"\n").partition(b"\r\n")[0]
        assert not said or re.match(rb"HTTP/1\.[01] 4\d\d ", said), (text[:50], said)
    # No header or path that was sent can end a line of the log.
    path = "/v1/networks/1%0d%0awho=root"
    rest.put(path, {}, (400, 404))
    assert "\nwho=root" not in controller.log_text()
    assert rest.items("/v1/networks") == []
