"""The API does what its description says, whatever it is sent: schemathesis on a controller with
real switches. schemathesis.toml says which of its checks are off, and why.

``WEFT_EXAMPLES=500 make e2e ARGS="-k openapi"`` searches longer, and other things each time.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import jsonschema_rs
import pytest
import schemathesis

from controller.rest.tokens import Role, new_token
from tests.e2e.conftest import programmed
from tests.e2e.schemathesis_checks import plant
from tests.support.lab import ROOT, Lab, wait_until
from tests.support.rest import Rest

pytestmark = pytest.mark.ovs

HERE: Final = Path(__file__).parent
WANTED: Final = os.environ.get("WEFT_EXAMPLES")
EXAMPLES: Final = int(WANTED or 50)
"""Requests of every kind for each operation."""
CHATTER: Final = 2.0
"""Seconds between two frames of hosts that are to be learned again and again."""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(vteps=2, ovsdb_port=6640) as lab:
        lab.host("h1", 1, "10.0.0.1/24")
        lab.host("h2", 2, "10.0.0.2/24")
        lab.host("h3", 1)
        yield lab


@pytest.fixture(scope="module")
def tokens() -> dict[str, tuple[str, str]]:
    """A token for each role, and its line in the file."""
    return {role.word: new_token(role.word, role) for role in Role}


@pytest.fixture(scope="module")
def rest(
    lab: Lab, tokens: dict[str, tuple[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> Rest:
    """An admin's client of a controller that limits nobody."""
    file = tmp_path_factory.mktemp("tokens") / "tokens"
    file.write_text("".join(f"{line}\n" for _, line in tokens.values()))
    often = 100_000
    options = {"rest_tokens": file, "rest_reads": often, "rest_writes": often}
    rest = lab.controller(rest=True, options=options).rest(tokens["admin"][0])
    rest.wait("/v1/status", lambda s: s["switches"]["synced"] == 2, "both switches are synced")
    plant(rest)
    rest.settle(1, 2)
    return rest


@pytest.fixture(scope="module")
def document(rest: Rest) -> dict[str, Any]:
    found: dict[str, Any] = rest.get("/v1/openapi.json")
    return found


@pytest.fixture
def chatter(lab: Lab) -> Iterator[None]:
    """Two hosts that go on speaking, for something to be learned."""
    enough = threading.Event()

    def speak() -> None:
        while not enough.wait(CHATTER):
            lab.hosts["h1"].ping("10.0.0.2")

    assert lab.hosts["h1"].ping("10.0.0.2", 2).received
    thread = threading.Thread(target=speak)
    thread.start()
    yield
    enough.set()
    thread.join()


def parts(node: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Everything in a document, with its JSON pointer."""
    yield place, node
    if isinstance(node, dict):
        for name, item in node.items():
            yield from parts(item, f"{place}/{name}")
    elif isinstance(node, list):
        for number, item in enumerate(node):
            yield from parts(item, f"{place}/{number}")


def test_the_document_explains_everything(document: dict[str, Any]) -> None:
    schemathesis.openapi.from_dict(document).validate()  # OpenAPI's own schema
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            where = f"{method} {path}"
            assert operation["summary"], where
            assert operation["tags"][0] in {tag["name"] for tag in document["tags"]}, where
            for parameter in operation["parameters"]:
                assert "$ref" in parameter or parameter["description"], (where, parameter)
            limited = {"200", "400", "401", "403", "414", "429", "431", "500"}
            public = limited - {"401", "403", "429"}
            needed = limited if operation["security"] else public
            assert needed <= operation["responses"].keys(), where
    for tag in document["tags"]:
        assert tag["description"], tag
    for name, schema in document["components"]["schemas"].items():
        dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
        jsonschema_rs.meta.validate(dialect | schema)
        assert "_" not in name.replace("_Patch", "").replace("_Sent", ""), name


def test_examples_are_as_their_schemas_say(document: dict[str, Any]) -> None:
    found = 0
    for place, part in parts(document["paths"]):
        if not (isinstance(part, dict) and isinstance(part.get("schema"), dict)):
            continue
        schema = {**part["schema"], "components": document["components"]}
        examples = [part["example"]] if "example" in part else []
        for example in [*examples, *part["schema"].get("examples", [])]:
            jsonschema_rs.validate(schema, example)
            found += 1
        assert found >= 0, place
    assert found > 20


def test_answers_begin_with_what_a_thing_is_called(rest: Rest) -> None:
    first = {
        "/v1/networks/100": ["vni", "name"],
        "/v1/networks/100/attachments/1/h1": ["vni", "switch", "port", "vlan"],
        "/v1/networks/100/endpoints/02:00:00:00:77:01": ["vni", "mac", "switch"],
        "/v1/switches/1": ["dpid", "vtep"],
        "/v1/vteps/192.0.2.1": ["address"],
    }
    for path, members in first.items():
        shown = list(rest.get(path))
        assert shown[: len(members)] == members, path
        assert shown[-1] == "status", path
        if "vteps" not in path:
            assert shown[-2] == "revision", path


@pytest.mark.usefixtures("chatter")
def test_nothing_makes_it_do_what_is_not_described(
    lab: Lab, rest: Rest, tokens: dict[str, tuple[str, str]], tmp_path: Path
) -> None:
    token = tokens["admin"][0]
    command = [
        str(Path(sys.executable).parent / "schemathesis"),
        f"--config-file={HERE / 'schemathesis.toml'}",
        "run",
        f"{rest.base}/v1/openapi.json",
        f"--header=Authorization: Bearer {token}",
        f"--max-examples={EXAMPLES}",
        "--request-timeout=70",  # above the longest ?wait=applied&timeout=
        "--continue-on-failure",
        "--no-color",
        *(["--generation-database=none"] if WANTED else ["--seed=1", "--generation-deterministic"]),
    ]
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "WEFT_URL": rest.base,
        "WEFT_TOKEN": token,
    }
    run = subprocess.run(
        command, cwd=tmp_path, env=environment, text=True, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout
    count = sum(map(len, rest.get("/v1/openapi.json")["paths"].values()))
    assert f"Selected: {count}/{count}" in run.stdout, run.stdout

    # Nothing has suffered: neither the controller, nor what the switches are to do.
    log = lab.controllers[0].log_text()
    for word in ("Traceback", "incident", "Exception"):
        assert word not in log, lab.controllers[0].log_tail(200)
    plant(rest)
    rest.settle(1, 2)
    host = lab.hosts["h1"]
    wait_until(lambda: host.ping("10.0.0.2").received, "h1 reaches h2 again")
    rest.wait(
        f"/v1/networks/100/endpoints/{host.mac}",
        lambda e: e and e["status"]["location"]["switch"] == "0000000000000001",
        "h1 is known",
    )
    assert any("tun_id=0x64" in flow for flow in programmed(lab.vtep(2)))


def test_the_stream_is_as_described(rest: Rest, document: dict[str, Any]) -> None:
    described = document["paths"]["/v1/events"]["get"]["responses"]["200"]
    assert "text/event-stream" in described["content"]
    view = {"$ref": "#/components/schemas/EventView", "components": document["components"]}
    with rest.events(since="0") as events:
        rest.put("/v1/networks/300", {"name": "green"}, 201)
        events.wait("configuration.changed", keys=["networks/300"])
        rest.delete("/v1/networks/300")
        for event in events.all():
            jsonschema_rs.validate(view, event)


def exchange(rest: Rest, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """What is answered to these very bytes: status, headers, body."""
    where = urlsplit(rest.base)
    with socket.create_connection((where.hostname or "", where.port or 0), timeout=20) as sock:
        sock.sendall(request)
        answer = b""
        while piece := sock.recv(1 << 16):
            answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    return int(first.split()[1]), headers, body


GET: Final = b"GET /v1/networks HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
PUT: Final = b"PUT /v1/networks/300 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /v1/networks?name=" + b"x" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
        (GET + b"X: " + b"x" * 9000 + b"\r\n\r\n", 431),
        (GET + b"".join(b"X-%d: %s\r\n" % (n, b"x" * 7000) for n in range(11)) + b"\r\n", 431),
        (GET + b"".join(b"X-%d: 1\r\n" % n for n in range(300)) + b"\r\n", 431),
        (GET + b"no header\r\n\r\n", 400),
        (GET + b"X: folded\r\n value\r\n\r\n", 400),
        (GET + b"X: nul\0\r\n\r\n", 400),
        (GET + b"Host: elsewhere\r\n\r\n", 400),
        (b"GET /v1/net works HTTP/1.1\r\n\r\n", 400),
        (b"GET /healthz HTTP/3.0\r\n\r\n", 400),
        (b'GET "\\" x y\r\n\r\n', 400),
        (PUT + b"Content-Length: -1\r\n\r\n{}", 400),
        (PUT + b"Content-Length: +2\r\n\r\n{}", 400),
        (PUT + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400),
        (PUT + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}", 400),
        (PUT + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 400),
        (PUT + b"Content-Length: 2\r\n\r\n{}", 401),
    ],
    ids=[
        "URL too long", "header too long", "headers too long", "too many headers", "no header",
        "folded", "NUL", "two hosts", "space in URL", "HTTP 3", "no HTTP", "negative length",
        "signed length", "two lengths", "length and coding", "other coding", "no token",
    ],
)  # fmt: skip
def test_what_never_reaches_the_application_is_a_problem_too(
    rest: Rest, document: dict[str, Any], request_: bytes, status: int
) -> None:
    answered, headers, body = exchange(rest, request_)
    assert (answered, headers["connection"]) == (status, "close"), body
    assert headers["content-type"] == "application/problem+json"
    problem = json.loads(body)
    schema = {"$ref": "#/components/schemas/Problem", "components": document["components"]}
    jsonschema_rs.validate(schema, problem)
    assert problem["status"] == status
    assert str(status) in document["paths"]["/v1/networks/{vni}"]["put"]["responses"]


def test_names_that_are_not_utf8_are_refused(rest: Rest) -> None:
    """All that is not UTF-8 would look the same."""
    rest.send("PUT", "/v1/networks/100/attachments/1/%ff", 400, {})
    at = "/v1/networks/100/attachments/1/%ff"
    assert rest.batch({"method": "PUT", "path": at}, status=422).slug == "invalid"


def test_metrics_for_a_client_that_asks_strangely(rest: Rest) -> None:
    for accept in ("application/openmetrics-text;version=x", "text/plain;version=;q=z", ";;,,/"):
        answer = rest.send("GET", "/metrics", 200, headers={"Accept": accept})
        assert "weft_build" in answer.body, accept


def test_a_filter_that_says_nothing_flushes_nothing(rest: Rest) -> None:
    rest.send("DELETE", "/v1/networks/100/endpoints", 400, mac=":")
