"""What the REST API needs of the controller, and what it gets it as."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from controller.engine import Engine
from controller.events import EventLog
from controller.flows import Program
from controller.model import Dpid, Mac, Vni
from controller.pipeline import Explanation
from controller.registry import Change, Registry, Writes

T = TypeVar("T")

Prepare = Callable[[Registry], Writes]
"""What is to be written, given what is there at that moment; may raise to refuse."""


class Unavailable(Exception):
    """The store or a switch cannot do it at present; the message says why and what to do."""


class TooSlow(Exception):
    """A switch did not answer in time."""


@dataclass(frozen=True, slots=True)
class Outstanding:
    """A switch that has not confirmed a change yet."""

    switch: Dpid
    reason: str
    applied: int | None
    """The generation it has confirmed; None: it is not connected."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a write."""

    change: Change
    revision: int
    generation: int
    concerned: Mapping[Dpid, int] = field(default_factory=dict)
    """The generation that each switch concerned has to confirm."""

    def then(self, other: Outcome) -> Outcome:
        """This, and what was done after it."""
        return Outcome(
            self.change,
            other.revision,
            other.generation,
            {**self.concerned, **other.concerned},
        )


@dataclass(frozen=True, slots=True)
class Trial:
    """What a write would do."""

    change: Change
    revision: int
    programs: Mapping[Dpid, tuple[Program, Program]]
    """For each switch that would change, what would, before and after."""
    forgotten: tuple[tuple[Vni, Mac], ...] = ()
    """The learned endpoints that would be forgotten on request."""


@dataclass(frozen=True, slots=True)
class SwitchState:
    """The conversation with a connected switch."""

    address: str
    openflow: str
    since: float
    """When it connected, in Unix seconds."""
    synced: bool
    wanted: int
    applied: int
    sent: Mapping[str, int]
    last_error: str


@dataclass(frozen=True, slots=True)
class FlowCounts:
    """How many flows a switch holds."""

    ours: int
    others: int
    packets: int | None
    """Counted by our flows; None: the switch does not count."""
    bytes: int | None


@dataclass(frozen=True, slots=True)
class DumpedFlow:
    """A flow as a switch holds it, explained."""

    table: int
    table_name: str
    """Empty for a table that is none of ours."""
    priority: int | None
    """None where the match is beyond our values."""
    match: str
    actions: str
    text: str
    cookie: int
    packets: int | None
    bytes: int | None
    """None where the switch does not count."""
    seconds: float
    explanation: Explanation


class Backend(Protocol):
    """The controller, seen from the API. All times of the engine are :meth:`moment`'s."""

    engine: Engine
    """To be read only."""
    registry: Registry
    """To be read only."""
    events: EventLog
    version: str
    started: float
    """When the controller was started, in Unix seconds."""
    instance: int
    """Which start of the controller this is."""

    def now(self) -> float:
        """Unix seconds."""
        ...

    def moment(self, engine_time: float) -> float:
        """The engine's time as Unix seconds."""
        ...

    def pause(self) -> None:
        """Let others work."""
        ...

    def aside(self, work: Callable[[], T]) -> T:
        """Do work that takes long, and touches nothing that others touch, while they go on."""
        ...

    def write(self, prepare: Prepare, by: str, size: int = 1) -> Outcome:
        """Change the configuration: it is checked, committed and applied when this returns.
        ``size`` is about how many resources are written; with many, ``prepare`` is called in a
        native thread, so it looks at nothing but the registry that it is given.

        Raises what ``prepare`` raises, Contradictory, or Unavailable.
        """
        ...

    def try_out(
        self,
        prepare: Prepare,
        size: int = 1,
        *,
        forget: Collection[tuple[Vni, Mac]] = (),
        gone: Collection[Dpid] = (),
    ) -> Trial:
        """What a write would do, together with forgetting learned endpoints, and switches
        that are not connected; nothing changes. Raises as :meth:`write`."""
        ...

    def outstanding(self, outcome: Outcome, timeout: float) -> list[Outstanding]:
        """The switches that have not confirmed a write after at most so many seconds."""
        ...

    def forget(self, found: Iterable[tuple[Vni, Mac]]) -> tuple[int, Outcome]:
        """Forget learned endpoints; how many there were."""
        ...

    def forget_switch(self, dpid: Dpid) -> Outcome:
        """Forget a switch that is not connected; does nothing for one that is."""
        ...

    def connected(self) -> Iterable[Dpid]:
        """The switches that are connected."""
        ...

    def switch(self, dpid: Dpid) -> SwitchState | None:
        """The conversation with a switch; None: not connected."""
        ...

    def packet_ins(self, dpid: Dpid) -> int:
        """Packet-ins heard from a switch."""
        ...

    def flow_counts(self, dpid: Dpid) -> FlowCounts | None:
        """Asks a switch; None where it does not answer in time."""
        ...

    def flows(self, dpid: Dpid, *, again: bool) -> list[DumpedFlow]:
        """Asks a switch for all its flows; ``again``: an answer of a moment ago will do. Raises
        Unavailable, TooSlow."""
        ...

    def wait_for_events(self, seconds: float) -> None:
        """Wait until there may be new events, or so many seconds have passed."""
        ...

    def store_status(self) -> Mapping[str, Any]:
        """What the store says of itself."""
        ...

    def config_problem(self) -> str:
        """What was wrong with the configuration file at the last reload."""
        ...
