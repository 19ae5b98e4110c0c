"""Events as a stream that never ends: server-sent events, as the WHATWG HTML standard frames them.

A client that reads slowly holds up its own stream and nothing else: what it has not read yet
waits in the log, and is gone when the log overruns it (:mod:`controller.events`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Final

from controller.events import OLDEST, Event, Reader

CONTENT_TYPE: Final = "text/event-stream"
HEARTBEAT: Final = 15.0
"""Seconds between two signs of life, unless told otherwise."""
MAX_EVENTS: Final = 100
"""Events in one chunk, at the most."""
RETRY: Final = 3000
"""Milliseconds that a client is told to wait before it connects again."""


def stream(
    reader: Reader,
    wait: Callable[[float], None],
    heartbeat: float,
    now: Callable[[], float],
    clock: Callable[[], float],
    *,
    max_events: int = MAX_EVENTS,
) -> Iterator[bytes]:
    """Chunks of a response's body, until the reader is closed; closes it when the client goes.

    ``wait(seconds)`` sleeps until something was appended, or for so long at the most; with 0 it
    lets others have their turn. ``heartbeat`` is in seconds. ``now`` is a monotonic time,
    ``clock`` the Unix time, both in seconds.

    The id of what was looked at, and not only of what was sent, goes out with the first chunk
    and with heartbeats. So a client with a narrow filter resumes where it was, and is not told
    of a gap in what it did not want. An id without data is no event to a client.
    """
    try:
        known = reader.position
        yield f"retry: {RETRY}\nid: {known}\n\n".encode()
        due = now() + heartbeat
        while not reader.closed:
            if events := reader.read(max_events, clock()):
                yield b"".join(map(frame, events))
                known = events[-1].id
                due = now() + heartbeat
            elif now() >= due:
                position = reader.position
                yield b": heartbeat\n" + (b"" if position == known else _id(position)) + b"\n"
                known = position
                due = now() + heartbeat
            # Looked at again after each chunk: more may have come while it was sent.
            if reader.behind:
                wait(0.0)
            elif not events and not reader.closed:
                wait(max(0.0, due - now()))
    finally:
        reader.close()


def frame(event: Event) -> bytes:
    """One event: its id, its type, and its data as one line of JSON."""
    if event.encoded is None:
        # In ASCII, with escapes: no character of the data can be taken for the end of a line.
        data = json.dumps(event.data(), separators=(",", ":"))
        event.encoded = _id(event.id) + f"event: {event.type}\ndata: {data}\n\n".encode()
    return event.encoded


def resume_after(header: str | None, parameter: str | None, since: str | None) -> str | None:
    """After which id a client wants to go on; None: only what is to come.

    The header ``Last-Event-ID`` comes before the query's ``last_event_id``: a browser that
    connects again sends it along with the URL it began with. Last comes ``since``, of which
    only 0 is known: all that is kept. Empty ones count as not given; what is no id at all is
    returned as it is, and leads to a gap.

    Raises :class:`ValueError` for another ``since``.
    """
    for given in (header, parameter):
        if given is not None and (text := given.strip()):
            return text
    if since is None:
        return None
    if since.strip() != OLDEST:
        raise ValueError(f"'{since}' is not known here: 0 stands for all events that are kept")
    return OLDEST


def _id(text: str) -> bytes:
    return f"id: {text}\n".encode()
