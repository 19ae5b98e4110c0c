"""A small REST API in a thread: what ``weft`` needs of it, and ways to misbehave.

It keeps documents and revisions; what a real controller finds out is given by the test.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

Answer = tuple[int, Any, dict[str, str]]
"""Status, document (None: no body; bytes: as they are), headers."""


@dataclass
class Request:
    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: Any

    def one(self, name: str) -> str | None:
        return self.query[name][0] if name in self.query else None


def problem(status: int, detail: str, *errors: dict[str, str], **headers: str) -> Answer:
    body: dict[str, Any] = {"type": "about:blank", "title": "No", "status": status}
    body["detail"] = detail
    if errors:
        body["errors"] = list(errors)
    return status, body, {k.replace("_", "-"): v for k, v in headers.items()}


@dataclass
class Api:
    """The fake's state; alter it to have what the test needs."""

    url: str = ""
    token: str | None = None
    page: int = 100
    revision: int = 7
    configured: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Documents by path below /v1/."""
    status: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What is found out, by path; a path that is only here is not configured."""
    lists: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Lists that are given as they are, by path."""
    plain: dict[str, Any] = field(default_factory=dict)
    """Documents that are given as they are, by path."""
    outstanding: list[dict[str, Any]] = field(default_factory=list)
    """Not empty: nothing is confirmed in time."""
    trial: dict[str, Any] = field(default_factory=dict)
    """The answer to every dry run."""
    streams: list[list[bytes]] = field(default_factory=list)
    """Chunks of the next event streams; each stream is closed at its end."""
    scripted: list[Answer] = field(default_factory=list)
    """Answers to the next requests, whatever they ask."""
    requests: list[Request] = field(default_factory=list)

    def sent(self, method: str) -> list[Request]:
        return [request for request in self.requests if request.method == method]

    def answer(self, request: Request) -> Answer:
        self.requests.append(request)
        if self.scripted:
            return self.scripted.pop(0)
        if self.token and request.headers.get("authorization") != f"Bearer {self.token}":
            return problem(401, "The token is not known.")
        path = request.path.removeprefix("/v1/")
        if request.one("dry_run"):
            return 200, self.trial, {}
        if request.method == "GET":
            return self._get(path, request)
        if path == "batch":
            return self._batch(request)
        if request.method == "DELETE" and path.split("/")[-1] == "endpoints":
            return 200, {"flushed": 3}, {}
        return self._write(request.method, path, request.body, request.headers)

    def _get(self, path: str, request: Request) -> Answer:
        if path == "configuration":
            return 200, self.configuration(), {"ETag": f'"{self.revision}"'}
        if path in self.plain:
            return 200, self.plain[path], {}
        if (items := self._list(path, request)) is not None:
            start = int(request.one("cursor") or 0)
            end = start + min(self.page, int(request.one("limit") or 100))
            following = str(end) if end < len(items) else None
            return 200, {"items": items[start:end], "next": following}, {}
        if path in self.configured or path in self.status or path == "defaults":
            return 200, self._shown(path), {"ETag": '"7"'}
        return problem(404, f"There is no {path}.")

    def _list(self, path: str, request: Request) -> list[dict[str, Any]] | None:
        if path in self.lists:
            return self.lists[path]
        depth = {"networks": 2, "attachments": 5, "endpoints": 4, "switches": 2}
        kind = path.rpartition("/")[2]
        if kind not in depth:
            return None
        paths = sorted(
            p for p in {**self.configured, **self.status}
            if p.startswith(f"{path}/") and p.count("/") + 1 == depth[kind]
        )  # fmt: skip
        shown = [self._shown(p) for p in paths]
        name = request.one("name")
        return [item for item in shown if name is None or item.get("name") == name]

    def _shown(self, path: str) -> dict[str, Any]:
        made: dict[str, Any] = {}
        match path.split("/"):
            case ["networks", vni]:
                made = {"vni": int(vni), "name": "", "flooding": "head-end", "ageing": 300}
                made |= {"learning": True, "vteps": []}
            case ["networks", _, "attachments", dpid, port]:
                made = {"switch": dpid, "port": port, "vlan": None}
            case ["networks", _, "endpoints", mac]:
                made = {"mac": mac}
            case ["switches", dpid]:
                made = {"dpid": dpid}
            case ["defaults"]:
                made = {"tunnel_port": "vxlan0", "ovsdb": None}
        made |= self.configured.get(path, {})
        made["revision"] = self.revision if path in self.configured else None
        made["status"] = self.status.get(path, {})
        return made

    def configuration(self) -> dict[str, Any]:
        networks: dict[str, dict[str, Any]] = {}
        switches = []
        for path in sorted(self.configured, key=lambda p: (p.count("/"), p)):
            document = self.configured[path]
            match path.split("/"):
                case ["networks", vni]:
                    both: dict[str, Any] = {"attachments": [], "endpoints": []}
                    networks[vni] = {"vni": int(vni), **document, **both}
                case ["networks", vni, "attachments", dpid, port]:
                    place = {"switch": dpid, "port": int(port) if port.isdecimal() else port}
                    networks[vni]["attachments"].append({**place, **document})
                case ["networks", vni, "endpoints", mac]:
                    networks[vni]["endpoints"].append({"mac": mac, **document})
                case ["switches", dpid]:
                    switches.append({"dpid": dpid, **document})
        made: dict[str, Any] = {"networks": list(networks.values()), "switches": switches}
        return made | {"defaults": self.configured.get("defaults", {})}

    def _batch(self, request: Request) -> Answer:
        if request.body.get("revision") not in (None, self.revision):
            return problem(412, f"The configuration is at revision {self.revision} now.")
        for operation in request.body["operations"]:
            self._put(operation["method"], operation["path"][4:], operation.get("body"))
        self.revision += 1
        return self._confirmed(200, {"revision": self.revision})

    def _write(self, method: str, path: str, body: Any, headers: dict[str, str]) -> Answer:
        there = path in self.configured
        there = there or path == "defaults"
        if method == "PATCH" and not there and path not in self.status:
            return problem(404, f"There is no {path}.")
        if headers.get("if-match") == "*" and not there:
            return problem(412, "If-Match does not hold: it is not configured.")
        if headers.get("if-none-match") == "*" and there:
            return problem(412, "If-None-Match does not hold.")
        self._put(method, path, body)
        self.revision += 1
        if method == "DELETE":
            return self._confirmed(204, None)
        return self._confirmed(200 if there else 201, self._shown(path))

    def _put(self, method: str, path: str, body: Any) -> None:
        if method == "DELETE":
            for known in (self.configured, self.status):
                for gone in [p for p in known if p == path or p.startswith(f"{path}/")]:
                    del known[gone]
        elif method == "PATCH":
            merged = {**self.configured.get(path, {}), **body}
            self.configured[path] = {k: v for k, v in merged.items() if v is not None}
        else:
            self.configured[path] = {k: v for k, v in body.items() if v is not None}

    def _confirmed(self, status: int, body: Any) -> Answer:
        headers = {"Weft-Revision": str(self.revision), "Weft-Generation": "12"}
        waited = self.requests[-1].one("wait")
        if waited and self.outstanding:
            late = {"revision": self.revision, "generation": 12, "outstanding": self.outstanding}
            return 202, late, headers
        return status, body, headers


@contextmanager
def serving(api: Api) -> Iterator[Api]:
    """The fake on a port of its own, until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _any(self) -> None:
            parts = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            text = self.rfile.read(length)
            headers = {key.lower(): value for key, value in self.headers.items()}
            request = Request(
                self.command, unquote(parts.path), parse_qs(parts.query), headers,
                json.loads(text) if text else None,
            )  # fmt: skip
            if headers.get("accept") == "text/event-stream" and api.streams:
                self._stream(request)
                return
            status, body, more = api.answer(request)
            data = body if isinstance(body, bytes) else b"" if body is None else _json(body)
            self.send_response(status)
            for name, value in more.items():
                self.send_header(name, value)
            if status != 204:
                self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def _stream(self, request: Request) -> None:
            api.requests.append(request)
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for chunk in api.streams.pop(0):
                self.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
                self.wfile.flush()
            self.close_connection = True  # in the middle of the body, as a killed server does

        do_GET = do_PUT = do_PATCH = do_DELETE = do_POST = _any

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    api.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.01))
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def event(number: int, kind: str = "endpoint.learned", **members: Any) -> bytes:
    """An event as it stands in the stream."""
    identity = f"1-{number}"
    data = {"id": identity, "time": "2026-01-31T12:00:00.123Z", "type": kind, **members}
    return f"id: {identity}\nevent: {kind}\ndata: {json.dumps(data)}\n\n".encode()


Weft = Callable[..., Any]
