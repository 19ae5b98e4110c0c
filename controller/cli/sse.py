"""Server-sent events: the text format (HTML standard, section 9.2), and a stream of them that
goes on where it was when the connection ends.
"""

from __future__ import annotations

import codecs
import http.client
import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import requests
import urllib3.exceptions

from controller.cli.client import Client, Query
from controller.cli.errors import Failure, NotAllowed, NotFound, Refused, Unreachable, Usage

SILENCE: Final = 45.0
"""Seconds without a byte, three heartbeats: the connection is dead."""
FIRST_PAUSE: Final = 1.0
MAX_PAUSE: Final = 30.0
_CHUNK: Final = 65536


@dataclass(slots=True)
class Parser:
    """Bytes to events. Keeps what a reconnect needs: the last id and the pause."""

    last_id: str = ""
    pause: float | None = None
    """Seconds that the server asks to wait before a reconnect."""
    _decoder: codecs.IncrementalDecoder = field(
        default_factory=lambda: codecs.getincrementaldecoder("utf-8")("replace")
    )
    _text: str = ""
    _data: list[str] = field(default_factory=list)
    _id: str | None = None

    def feed(self, data: bytes) -> Iterator[str]:
        """The data of each event that these bytes complete."""
        text = self._text + self._decoder.decode(data)
        # A carriage return at the end may be the first half of a line's end.
        held = "\r" if text.endswith("\r") else ""
        lines = text.removesuffix(held).replace("\r\n", "\n").replace("\r", "\n").split("\n")
        self._text = lines.pop() + held
        for line in lines:
            if line:
                self._field(line)
                continue
            if self._id is not None:
                self.last_id, self._id = self._id, None
            if self._data:
                yield "\n".join(self._data)
                self._data = []

    def restart(self) -> None:
        """Forget what is incomplete: the connection has ended."""
        self._decoder.reset()
        self._text, self._id = "", None
        self._data = []

    def _field(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and value.isdecimal():
            self.pause = min(int(value) / 1000, MAX_PAUSE)


def events(
    client: Client,
    query: Query,
    *,
    lost: Callable[[str, float], None],
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[dict[str, Any]]:
    """Events without end. After a lost connection they go on with the first that was missed;
    ``lost`` is told why, and the seconds until the next try.

    Raises what the first connection raises; later only what another try will not mend.
    """
    parser = Parser()
    connected_once = False
    failures = 0
    while True:
        headers = {"Last-Event-ID": parser.last_id} if parser.last_id else {}
        try:
            # Where the stream stood is known: where it was to begin does not matter any more.
            asked = {**query, "since": None} if headers else query
            response = client.stream("/v1/events", asked, headers, SILENCE)
            connected_once = True
            for chunk in _chunks(response):
                failures = 0
                for data in parser.feed(chunk):
                    event = _event(data)
                    if event is not None:
                        yield event
            why = "the controller has ended the stream"
        except (NotAllowed, NotFound, Usage):
            raise
        except (Unreachable, Refused) as error:
            if not connected_once:
                raise
            why = error.message
        except _BROKEN as error:
            why = f"the connection is lost: {_words(error)}"
        parser.restart()
        pause = min((parser.pause or FIRST_PAUSE) * 2**failures, MAX_PAUSE)
        failures += 1
        lost(why, pause)
        sleep(pause)


_BROKEN: Final = (
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    requests.RequestException,
    OSError,
)


def _words(error: Exception) -> str:
    """What became of a connection."""
    text = f"{type(error).__name__} {error}".lower()
    if isinstance(error, TimeoutError) or "timeout" in text or "timed out" in text:
        return f"nothing was heard for {SILENCE:.0f} s"
    if "reset" in text or "aborted" in text:
        return "it was reset"
    return "it ended in the middle of the stream"


def _chunks(response: requests.Response) -> Iterable[bytes]:
    """What has arrived, at once: requests' own iterators wait until a chunk is full."""
    with response:
        while data := response.raw.read1(_CHUNK):
            yield data


def _event(data: str) -> dict[str, Any] | None:
    try:
        event = json.loads(data)
    except ValueError:
        raise Failure("the controller sent an event that is not JSON") from None
    return event if isinstance(event, dict) else None
