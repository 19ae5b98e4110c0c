"""What happens in the overlay, kept for whoever wants to follow it.

One ring holds the last events; readers pull from it. Each remembers nothing but its position,
so a reader that is slow costs nothing: when the ring has overrun it, it gets a *gap* that says
how much it missed. Appending happens on the way of a packet-in, so it only stores: what an
event says is rendered when the first reader looks at it.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from weakref import WeakSet

CAPACITY: Final = 10_000
"""Events kept, unless told otherwise."""
OLDEST: Final = "0"
"""As a position to read after: before everything that is kept."""
SCAN: Final = 1000
"""Events that one read looks at, at the most: a filter that lets little pass must not hold up
everybody else."""


class EventType(enum.StrEnum):
    """What can happen; :data:`DESCRIPTIONS` says what each means."""

    ENDPOINT_LEARNED = "endpoint.learned"
    ENDPOINT_MOVED = "endpoint.moved"
    ENDPOINT_EXPIRED = "endpoint.expired"
    VTEP_DISCOVERED = "vtep.discovered"
    VTEP_EXPIRED = "vtep.expired"
    SWITCH_UP = "switch.up"
    SWITCH_DOWN = "switch.down"
    CONFIGURATION_CHANGED = "configuration.changed"
    FLOW_REFUSED = "flow.refused"
    LIMIT_HIT = "limit.hit"
    GAP = "gap"


DESCRIPTIONS: Final[Mapping[EventType, str]] = {
    EventType.ENDPOINT_LEARNED: "An endpoint was heard for the first time: vni, mac, location.",
    EventType.ENDPOINT_MOVED: "An endpoint speaks somewhere else: vni, mac, from, to (locations).",
    EventType.ENDPOINT_EXPIRED: "A learned endpoint was forgotten: vni, mac, location, reason.",
    EventType.VTEP_DISCOVERED: "A foreign VTEP joined a network's flood list: vni, vtep.",
    EventType.VTEP_EXPIRED: "A discovered VTEP left a network's flood list: vni, vtep.",
    EventType.SWITCH_UP: "A switch connected: switch, address.",
    EventType.SWITCH_DOWN: "A switch's connection ended; it goes on forwarding: switch.",
    EventType.CONFIGURATION_CHANGED: "Configuration was written: revision, generation, keys, by.",
    EventType.FLOW_REFUSED: "A switch refused a flow, group or meter: switch, error "
    "(in words, with what it was about).",
    EventType.LIMIT_HIT: "A limit was reached: switch, what.",
    EventType.GAP: "Events were missed: how many (null: unknown), and the id after which this "
    "stream resumes: missed, resume. Not kept itself, and never filtered out.",
}
"""Every type of event, and the fields it has."""

Fields = Mapping[str, Any]
"""What an event says beside its id, time and type; JSON-compatible once rendered."""


class Event:
    """One event. Shared by all its readers, so nobody changes it, :attr:`encoded` excepted."""

    __slots__ = ("_fields", "encoded", "id", "time", "type")

    def __init__(
        self, id_: str, time: float, type_: EventType, fields: Fields | Callable[[], Fields]
    ) -> None:
        self.id = id_
        self.time = time
        """Unix time in seconds."""
        self.type = type_
        self.encoded: bytes | None = None
        """For who sends events: what it made of this one, so that it is made once."""
        self._fields = fields

    @property
    def fields(self) -> Fields:
        """What the event says; rendered at the first look, at most once."""
        fields = self._fields
        if callable(fields):
            fields = self._fields = fields()
        return fields

    def data(self) -> dict[str, Any]:
        """The event as the API shows it."""
        head = {"id": self.id, "time": timestamp(self.time), "type": self.type.value}
        return {**head, **self.fields}


@dataclass(frozen=True, slots=True)
class Filter:
    """Which events a reader wants; None and empty: all. Values are in canonical text form; one
    that never occurs is fine, and lets nothing pass."""

    types: tuple[str, ...] = ()
    """Types, or all of a family: ``vtep.*``. One of them must apply."""
    vni: int | None = None
    mac: str | None = None
    switch: str | None = None
    vtep: str | None = None
    """Switch and VTEP: wherever the event mentions them, also as a place moved from or to."""

    def passes(self, event: Event) -> bool:
        """Whether an event is wanted."""
        if self.types and not any(_is_of(event.type, t) for t in self.types):
            return False
        if self.vni is None and self.mac is self.switch is self.vtep is None:
            return True  # without rendering it
        fields = event.fields
        return (
            (self.vni is None or fields.get("vni") == self.vni)
            and (self.mac is None or fields.get("mac") == self.mac)
            and (self.switch is None or _mentions(fields, "switch", self.switch))
            and (self.vtep is None or _mentions(fields, "vtep", self.vtep))
        )


class EventLog:
    """The last events, in a ring.

    ``instance`` is what tells the ids of this life of the controller from those of another:
    any number that was not used before.
    """

    def __init__(self, instance: int, capacity: int = CAPACITY) -> None:
        if capacity < 1:
            raise ValueError(f"a ring of {capacity} events keeps nothing")
        self.instance = instance
        self.capacity = capacity
        self.appended = 0
        """Events since the start; also the number of the newest."""
        self.gaps = 0
        """Gaps that readers were told of, since the start."""
        self._ring: list[Record | Event | None] = [None] * capacity
        self._listeners: tuple[Callable[[], None], ...] = ()
        self._readers: WeakSet[Reader] = WeakSet()

    def append(self, time: float, type_: EventType, fields: Fields | Callable[[], Fields]) -> None:
        """Note what happened at a Unix time (seconds). ``fields`` may be a function that renders
        them later: it must depend on nothing that changes."""
        number = self.appended
        self._ring[number % self.capacity] = (time, type_, fields)
        self.appended = number + 1
        for listener in self._listeners:
            listener()

    @property
    def oldest(self) -> str | None:
        """The id of the oldest event that is kept; None while there is none."""
        return self._id(self._first) if self.appended else None

    @property
    def newest(self) -> str | None:
        """The id of the newest event; None while there is none."""
        return self._id(self.appended) if self.appended else None

    @property
    def readers(self) -> int:
        """How many read now: neither closed nor forgotten."""
        return len(self._readers)

    def add_listener(self, listener: Callable[[], None]) -> None:
        """Have a function called after each event. It is called while facts change: it may wake
        somebody, does nothing else, and raises nothing."""
        self._listeners += (listener,)

    def remove_listener(self, listener: Callable[[], None]) -> None:
        """Have it called no more; one that is not called is fine."""
        self._listeners = tuple(other for other in self._listeners if other != listener)

    def close_readers(self, of: Callable[[str], bool]) -> None:
        """End the readers of some owners, and wake them."""
        for reader in list(self._readers):
            if of(reader.owner):
                reader.close()
        for listener in self._listeners:
            listener()

    def reader(
        self, after: str | None = None, wanted: Filter | None = None, owner: str = ""
    ) -> Reader:
        """A reader of what follows an event id. None: only what is still to come;
        :data:`OLDEST`: all that is kept. After any id that says nothing here, it first gets a
        gap of unknown size, and then all that is kept."""
        reader = Reader(self, after, wanted or Filter(), owner)
        self._readers.add(reader)
        return reader

    def close(self) -> None:
        """End all readers, and wake those that sleep."""
        for reader in list(self._readers):
            reader.close()
        for listener in self._listeners:
            listener()

    @property
    def _first(self) -> int:
        """The number of the oldest event that is kept. Numbers begin at 1."""
        return max(1, self.appended - self.capacity + 1)

    def _id(self, number: int) -> str:
        return f"{self.instance}-{number}"

    def _number(self, text: str) -> int | None:
        """The number in an id of ours; None if it is none, or lies in the future."""
        parts = re.fullmatch(r"([0-9]{1,20})-([0-9]{1,20})", text)
        if parts is None or int(parts[1]) != self.instance or int(parts[2]) > self.appended:
            return None
        return int(parts[2])

    def _event(self, number: int) -> Event:
        slot = (number - 1) % self.capacity
        found = self._ring[slot]
        if isinstance(found, tuple):
            found = self._ring[slot] = Event(self._id(number), *found)
        assert found is not None
        return found


Record = tuple[float, EventType, Fields | Callable[[], Fields]]
"""An event that nobody has read yet: time, type, fields."""


class Reader:
    """Somebody's position in a log. Made by :meth:`EventLog.reader`."""

    def __init__(self, log: EventLog, after: str | None, wanted: Filter, owner: str) -> None:
        self.closed = False
        self.owner = owner
        """Who reads; a name of the caller's choice."""
        self._log = log
        self._wanted = wanted
        self._lost = False
        """Whether it came with an id that says nothing here."""
        self._seen = log.appended
        """The number of the last event that was looked at."""
        if after == OLDEST:
            self._seen = log._first - 1
        elif after is not None:
            number = log._number(after)
            self._lost = number is None
            self._seen = log._first - 1 if number is None else number

    @property
    def position(self) -> str:
        """An id after which another reader would go on where this one is."""
        return self._log._id(self._seen)

    @property
    def behind(self) -> int:
        """How many events there are that it has not looked at, whether or not it wants them."""
        return self._log.appended - self._seen

    def read(self, limit: int, time: float) -> list[Event]:
        """The next events that are wanted, ``limit`` at the most, oldest first; ``time`` (Unix,
        seconds) is that of a gap, if there is one. Fewer than there are, or none, when it has
        looked at :data:`SCAN` events: :attr:`behind` tells. None once it is closed."""
        log = self._log
        found: list[Event] = []
        if self.closed or limit < 1:
            return found
        overrun = log._first - 1 - self._seen
        if self._lost or overrun > 0:
            missed = None if self._lost else overrun
            self._lost = False
            self._seen = max(self._seen, log._first - 1)
            log.gaps += 1
            fields = {"missed": missed, "resume": self.position}
            found.append(Event(self.position, time, EventType.GAP, fields))
        end = min(log.appended, self._seen + SCAN)
        while self._seen < end and len(found) < limit:
            self._seen += 1
            event = log._event(self._seen)
            if self._wanted.passes(event):
                found.append(event)
        return found

    def close(self) -> None:
        """It reads no more."""
        self.closed = True
        self._log._readers.discard(self)


def timestamp(time: float) -> str:
    """A Unix time in seconds as RFC 3339: UTC, to the millisecond."""
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def _is_of(type_: EventType, wanted: str) -> bool:
    if wanted.endswith(".*"):
        return type_.startswith(wanted[:-1])
    return type_ == wanted


def _mentions(fields: Fields, name: str, value: str) -> bool:
    """Whether a field has a value, in the event itself or in one of its locations."""
    return fields.get(name) == value or any(
        isinstance(place := fields.get(key), Mapping) and place.get(name) == value
        for key in ("location", "from", "to")
    )
