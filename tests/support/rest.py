"""A client of the REST API for tests: requests with the status that they must have, waiting for
what is to become true, and a reader of the event stream.

    rest = controller.rest()
    rest.put("/v1/networks/100", {"name": "red"}, 201)
    rest.wait("/v1/switches/1", lambda s: s["status"]["synced"], "switch 1 is audited")
    with rest.events(type="endpoint.*") as events:
        host.ping("10.0.0.2")
        events.wait("endpoint.learned", mac=host.mac)
"""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlencode, urlsplit

import requests

from mininet_topos.hosts import wait_until

PATIENCE: Final = 30.0
"""Seconds that an answer may take."""
PATCH: Final = "application/merge-patch+json"
PROBLEM: Final = "application/problem+json"


@dataclass(frozen=True)
class Answer:
    """What the server answered; the body is understood where it is JSON."""

    status: int
    headers: Mapping[str, str]
    body: Any

    @property
    def etag(self) -> str:
        return self.headers["ETag"]

    @property
    def revision(self) -> int:
        """The store's, after a write."""
        return int(self.headers["Weft-Revision"])

    @property
    def generation(self) -> int:
        return int(self.headers["Weft-Generation"])

    @property
    def slug(self) -> str:
        """The kind of a problem."""
        return str(self.body["type"]).removeprefix("/v1/docs#")

    @property
    def pointers(self) -> list[str | None]:
        """Where a problem's errors are."""
        return [error.get("pointer", error.get("parameter")) for error in self.body["errors"]]


class Rest:
    """A client; use one per thread."""

    def __init__(
        self,
        base: str = "http://127.0.0.1:8080",
        token: str | None = None,
        *,
        verify: bool | str = True,
    ) -> None:
        self.base = base
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = verify
        if token is not None:
            self.session.headers["Authorization"] = f"Bearer {token}"

    def close(self) -> None:
        self.session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # --- requests ------------------------------------------------------------------------

    def send(
        self,
        method: str,
        path: str,
        status: int | tuple[int, ...],
        body: object = None,
        *,
        headers: Mapping[str, str] | None = None,
        **query: Any,
    ) -> Answer:
        """Send a request, and insist on the status of the answer."""
        sent = dict(headers or {})
        data = None
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            sent.setdefault("Content-Type", PATCH if method == "PATCH" else "application/json")
        found = self.session.request(
            method, self.base + path, params=_query(query), data=data, headers=sent,
            timeout=PATIENCE,
        )  # fmt: skip
        kind = found.headers.get("Content-Type", "").partition(";")[0]
        is_json = kind in ("application/json", PROBLEM) and found.content
        answer = Answer(found.status_code, found.headers, found.json() if is_json else found.text)
        wanted = status if isinstance(status, tuple) else (status,)
        assert answer.status in wanted, f"{method} {found.url}: {answer.status} {answer.body}"
        if answer.status >= 400 and method != "HEAD" and not path.endswith("readyz"):
            assert kind == PROBLEM, (kind, answer.body)
            assert answer.body["status"] == answer.status
        return answer

    def get(self, path: str, status: int = 200, **query: Any) -> Any:
        """The body of an answer; ``headers`` as with :meth:`send`."""
        return self.send("GET", path, status, **query).body

    def items(self, path: str, **query: Any) -> list[Any]:
        """All items of a list, whatever the number of its pages."""
        found: list[Any] = []
        cursor = None
        while True:
            page = self.get(path, **query, cursor=cursor)
            found += page["items"]
            cursor = page["next"]
            if cursor is None:
                return found

    def put(
        self, path: str, body: object = None, status: int | tuple[int, ...] = (200, 201),
        *, headers: Mapping[str, str] | None = None, **query: Any,
    ) -> Answer:  # fmt: skip
        return self.send("PUT", path, status, body or {}, headers=headers, **query)

    def patch(
        self, path: str, body: object, status: int = 200,
        *, headers: Mapping[str, str] | None = None, **query: Any,
    ) -> Answer:  # fmt: skip
        return self.send("PATCH", path, status, body, headers=headers, **query)

    def delete(
        self, path: str, status: int = 204,
        *, headers: Mapping[str, str] | None = None, **query: Any,
    ) -> Answer:  # fmt: skip
        return self.send("DELETE", path, status, headers=headers, **query)

    def batch(self, *operations: Mapping[str, Any], status: int = 200, **query: Any) -> Answer:
        return self.send("POST", "/v1/batch", status, {"operations": operations}, **query)

    def wait(
        self,
        path: str,
        holds: Callable[[Any], object],
        what: str,
        timeout: float = 10,
        **query: Any,
    ) -> Any:
        """Get a resource again and again until something holds of it; absent ones are None."""
        last: Any = None

        def held() -> bool:
            nonlocal last
            answer = self.send("GET", path, (200, 404), **query)
            last = answer.body if answer.status == 200 else None
            return bool(holds(last))

        try:
            wait_until(held, what, timeout)
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{path}: {json.dumps(last, indent=1)}") from None
        return last

    def settle(self, *numbers: int) -> None:
        """Wait until these switches, and no others, are connected and have confirmed all."""
        wanted = [f"{number:016x}" for number in numbers]

        def settled(page: Any) -> bool:
            there = {s["dpid"]: s["status"] for s in page["items"] if s["status"]["connected"]}
            return sorted(there) == wanted and all(
                s["synced"] and s["applied"] == s["wanted"] for s in there.values()
            )

        self.wait("/v1/switches", settled, f"switches {numbers} have confirmed everything", 20)

    def wait_ports(self, switch: int, *names: str) -> None:
        """Wait until the controller knows ports of a switch."""

        def known(body: Any) -> bool:
            up = {port["name"] for port in body["status"]["ports"] if port["up"]}
            return up >= set(names)

        self.wait(f"/v1/switches/{switch}", known, f"switch {switch} has {names}")

    def metrics(self) -> dict[str, float]:
        """Figures by name and labels, as Prometheus reads them."""
        text = self.get("/metrics")
        lines = (line for line in text.splitlines() if line and not line.startswith("#"))
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}

    def events(self, *, last: str | None = None, **query: Any) -> Events:
        """Follow the events; ``last`` is the header Last-Event-ID."""
        return Events(self, last, query)


class Events:
    """The event stream, read by a thread; use it as a context manager."""

    def __init__(self, rest: Rest, last: str | None, query: Mapping[str, Any]) -> None:
        self._news = threading.Condition()
        self._found: list[dict[str, Any]] = []
        self.heartbeats = 0
        self.position = ""
        """The id that a browser would come back with."""
        self.ended = False
        where = urlsplit(rest.base)
        self._connection = http.client.HTTPConnection(
            where.hostname or "", where.port, timeout=PATIENCE
        )
        self._connection.connect()
        self._socket: socket.socket = self._connection.sock
        headers = {"Accept": "text/event-stream"}
        if last is not None:
            headers["Last-Event-ID"] = last
        if (authorization := rest.session.headers.get("Authorization")) is not None:
            headers["Authorization"] = str(authorization)
        words = urlencode(_query(query), doseq=True)
        self._connection.request("GET", f"/v1/events?{words}", headers=headers)
        self._response = self._connection.getresponse()
        assert self._response.status == 200, self._response.read()
        assert self._response.headers["Content-Type"].startswith("text/event-stream")
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        wait_until(lambda: self.position or self.ended, "the stream has begun")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self.ended:
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(PATIENCE)
        self._response.close()
        self._connection.close()

    def all(self) -> list[dict[str, Any]]:
        """What has been heard until now, in order."""
        with self._news:
            return list(self._found)

    def types(self) -> list[str]:
        return [event["type"] for event in self.all()]

    def wait(self, type_: str, timeout: float = 10, **fields: Any) -> dict[str, Any]:
        """Wait for an event of a type with these fields, and return the first one."""

        def found() -> dict[str, Any] | None:
            for event in self._found:
                if event["type"] == type_ and fields.items() <= event.items():
                    return event
            return None

        with self._news:
            self._news.wait_for(lambda: found() or self.ended, timeout)
            event = found()
            assert event, f"no {type_} with {fields} in {json.dumps(self._found, indent=1)}"
            return event

    def wait_end(self, timeout: float = 10) -> None:
        """Wait until the server has ended the stream."""
        with self._news:
            assert self._news.wait_for(lambda: self.ended, timeout), "the stream goes on"

    def _read(self) -> None:
        try:
            for name, value in self._lines():
                with self._news:
                    if name == "data":
                        self._found.append(json.loads(value))
                    elif name == "id":
                        self.position = value
                    elif name == "":
                        self.heartbeats += 1
                    self._news.notify_all()
        except (OSError, http.client.HTTPException):
            pass
        with self._news:
            self.ended = True
            self._news.notify_all()

    def _lines(self) -> Iterator[tuple[str, str]]:
        while line := self._response.readline():
            name, colon, value = line.decode().rstrip("\n").partition(":")
            if colon:
                yield name, value.removeprefix(" ")


def _query(query: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as they are written in a URL; None: not given."""
    return {
        name: str(value).lower() if isinstance(value, bool) else value
        for name, value in query.items()
        if value is not None
    }
