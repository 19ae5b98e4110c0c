"""The controller as the REST API sees it."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

from eventlet import tpool
from os_ken.lib import hub

from controller import __version__
from controller.apps.signals import Signal, Turns
from controller.model import Attachment, Dpid, Mac, StaticEndpoint, Vni
from controller.openflow import codec
from controller.openflow.session import Session
from controller.pipeline import Names, explain_flow
from controller.pipeline.tables import Table
from controller.registry import NO_CHANGE, Change
from controller.resources import AttachmentKey, EndpointKey, NetworkKey, SwitchKey
from controller.rest.backend import (
    DumpedFlow,
    FlowCounts,
    Outcome,
    Outstanding,
    Prepare,
    SwitchState,
    TooSlow,
    Trial,
    Unavailable,
)
from controller.rest.measures import SwitchFigures, Totals
from controller.store import StoreError

if TYPE_CHECKING:
    from controller.apps.overlay import OverlayApp

T = TypeVar("T")

COUNT_PATIENCE: Final = 1.0
DUMP_PATIENCE: Final = 30.0
"""Seconds that a switch may take for sums, and for all its flows."""
DUMP_KEPT: Final = 30.0
"""Seconds that a dump serves the pages of one list."""
LOOK_EVERY: Final = 0.25
"""Seconds between two looks at whether all is well: anybody may ask."""
PROBE_AFTER: Final = 3.0
"""Seconds until a store that failed is tried again without anybody writing."""
DUMPS: Final = 4
GATHER: Final = 0.02
"""Seconds in which events are gathered before they are sent: while many are learned, waking each
reader for each event would cost more than learning."""
TURN: Final = 0.002
"""Seconds that a request may work between two pauses."""
FORGOTTEN: Final = 10
"""Endpoints that are forgotten in one go."""
EXPLAINED: Final = 50
"""Flows that are explained in one go."""


class LiveBackend:
    """Fulfils :class:`controller.rest.backend.Backend` and
    :class:`controller.rest.measures.Sources`."""

    version = __version__

    def __init__(self, app: OverlayApp) -> None:
        self._app = app
        self.engine = app.engine
        self.registry = app.registry
        self.events = app.herald.log
        self.started = app.started
        self.instance = app.herald.log.instance
        self._news = Signal()
        self._aside = hub.Semaphore(1)
        self._looked = float("-inf")
        self._problems: list[str] = []
        self._failing_since: float | None = None
        self._turns = Turns(TURN)
        self._dumps: dict[Dpid, tuple[float, list[DumpedFlow]]] = {}
        app.herald.log.add_listener(self._news.fire)

    # --- time ----------------------------------------------------------------------------

    def now(self) -> float:
        return time.time()

    def moment(self, engine_time: float) -> float:
        return time.time() - time.monotonic() + engine_time

    def pause(self) -> None:
        self._turns.pause()

    def aside(self, work: Callable[[], T]) -> T:
        with self._aside:  # one at a time: what is large takes room, too
            done: T = tpool.execute(work)
        return done

    def wait_for_events(self, seconds: float) -> None:
        if seconds > 0:
            self._news.wait(seconds)
        hub.sleep(GATHER)

    # --- writes --------------------------------------------------------------------------

    def write(self, prepare: Prepare, by: str, size: int = 1) -> Outcome:
        try:
            outcome = self._app.desk.write(prepare, size)
        except StoreError as problem:
            raise Unavailable(f"The store did not take the change: {problem}") from problem
        self._app.herald.tell_write(outcome, by)
        return outcome

    def try_out(
        self,
        prepare: Prepare,
        size: int = 1,
        *,
        forget: Collection[tuple[Vni, Mac]] = (),
        gone: Collection[Dpid] = (),
    ) -> Trial:
        change = self._app.desk.try_out(prepare, size)
        learned = tuple((vni, mac) for vni, mac in forget if self._is_learned(vni, mac))
        programs = self.engine.preview(
            change.config,
            time.monotonic(),
            self.pause,
            forget=learned,
            gone=[dpid for dpid in gone if dpid not in self._app.sessions],
        )
        return Trial(change, self.registry.revision, programs, learned)

    def _is_learned(self, vni: Vni, mac: Mac) -> bool:
        location = self.engine.overlay.location(vni, mac)
        return location is not None and not location.static

    def outstanding(self, outcome: Outcome, timeout: float) -> list[Outstanding]:
        deadline = time.monotonic() + timeout
        goals: dict[Dpid, int | None] = dict.fromkeys(self._named(outcome.change))
        # A write that changes nothing may repeat one that is still under way.
        goals |= {d: s.wanted for d in goals if (s := self._app.sessions.get(d)) is not None}
        goals |= outcome.concerned
        while left := self._left(goals):
            patience = deadline - time.monotonic()
            if patience <= 0:
                break
            self._app.applied.wait(patience)
        return left

    def _named(self, change: Change) -> set[Dpid]:
        """The switches that a change is about, whether or not they have ever connected."""
        found = set()
        for key in change.asked:
            if isinstance(key, AttachmentKey | SwitchKey):
                found.add(key.dpid)
            elif isinstance(key, NetworkKey):
                found |= self.engine.overlay.present(key.vni).keys()
            elif isinstance(key, EndpointKey):
                static = self.registry.get(key)
                if isinstance(static, StaticEndpoint) and isinstance(static.at, Attachment):
                    found.add(static.at.dpid)
        return found

    def _left(self, goals: Mapping[Dpid, int | None]) -> list[Outstanding]:
        """Who has not reached the generation that it is to confirm; None: any."""
        left = []
        for dpid, wanted in sorted(goals.items()):
            session = self._app.sessions.get(dpid)
            if session is None:
                left.append(Outstanding(dpid, "not connected", None))
            elif not session.synced:
                left.append(Outstanding(dpid, "being audited", session.applied))
            elif wanted is None or session.applied >= wanted:
                continue
            elif session.failed:
                left.append(Outstanding(dpid, f"refused: {session.last_error}", session.applied))
            else:
                left.append(Outstanding(dpid, "waiting for its barrier", session.applied))
        return left

    def forget(self, found: Iterable[tuple[Vni, Mac]]) -> tuple[int, Outcome]:
        count = 0
        concerned: dict[Dpid, int] = {}
        for number, (vni, mac) in enumerate(found, 1):
            count += self.engine.forget(vni, mac, time.monotonic())
            if number % FORGOTTEN == 0:
                concerned |= self._flush()
                hub.sleep(0)
        concerned |= self._flush()
        return count, self._done(concerned)

    def forget_switch(self, dpid: Dpid) -> Outcome:
        if dpid not in self._app.sessions and dpid in self.engine.overlay.switches:
            self.engine.forget_switch(dpid, time.monotonic())
        return self._done(self._flush())

    def _flush(self) -> dict[Dpid, int]:
        effects = self._app.flush(time.monotonic())
        return dict.fromkeys(effects.plans, effects.generation)

    def _done(self, concerned: Mapping[Dpid, int]) -> Outcome:
        generation = self.engine.generation
        return Outcome(NO_CHANGE, self.registry.revision, generation, concerned)

    # --- switches ------------------------------------------------------------------------

    def connected(self) -> Iterable[Dpid]:
        return list(self._app.sessions)

    def switch(self, dpid: Dpid) -> SwitchState | None:
        session = self._app.sessions.get(dpid)
        if session is None:
            return None
        return SwitchState(
            address=session.datapath.address[0],
            openflow=f"1.{session.datapath.ofproto.OFP_VERSION - 1}",
            since=session.since,
            synced=session.synced,
            wanted=session.wanted,
            applied=session.applied,
            sent=dict(session.sent),
            last_error=session.last_error,
        )

    def packet_ins(self, dpid: Dpid) -> int:
        return self._app.packet_ins[dpid]

    def flow_counts(self, dpid: Dpid) -> FlowCounts | None:
        session = self._app.sessions.get(dpid)
        if session is None:
            return None
        try:
            ours, everything = (
                codec.decode_aggregate(
                    session.ask(codec.aggregate_request(session.datapath, only), COUNT_PATIENCE)[0]
                )
                for only in (True, False)
            )
        except (OSError, ValueError):
            return None
        return FlowCounts(
            ours.flows, max(0, everything.flows - ours.flows), ours.packets, ours.bytes
        )

    def flows(self, dpid: Dpid, *, again: bool) -> list[DumpedFlow]:
        now = time.monotonic()
        self._dumps = {d: e for d, e in self._dumps.items() if e[0] > now - DUMP_KEPT}
        if again and dpid in self._dumps:
            return self._dumps[dpid][1]
        session = self._app.sessions.get(dpid)
        if session is None:
            raise Unavailable(f"switch {dpid:016x} is not connected: it cannot be asked")
        try:
            parts = session.ask(codec.dump_all_flows_request(session.datapath), DUMP_PATIENCE)
        except TimeoutError as problem:
            raise TooSlow(str(problem)) from problem
        except (OSError, ValueError) as problem:
            raise Unavailable(str(problem)) from problem
        found = list(self._explained(dpid, session, parts))
        while len(self._dumps) >= DUMPS:
            self._dumps.pop(next(iter(self._dumps)))
        self._dumps[dpid] = (time.monotonic(), found)
        return found

    def _explained(self, dpid: Dpid, session: Session, parts: list[Any]) -> Iterator[DumpedFlow]:
        overlay = self.engine.overlay
        switch = overlay.switches.get(dpid)
        if switch is None:
            raise Unavailable(f"switch {session.name} is not known yet: ask again in a moment")
        ports = switch.facts.ports
        networks = overlay.config.networks
        names = Names(
            network=lambda vni: networks[vni].name if vni in networks else "",
            port=lambda number: ports[number].name if number in ports else "",
        )
        for part in parts:
            for number, entry in enumerate(codec.decode_flow_stats(part)):
                there = entry.installed
                told = explain_flow(switch.view, there.cookie, there.key, there.flow, names)
                known = there.table in {table.value for table in Table}
                yield DumpedFlow(
                    table=there.table,
                    table_name=Table(there.table).name.lower() if known else "",
                    priority=there.key[1] if there.key else None,
                    match=entry.match,
                    actions=entry.actions,
                    text=entry.text,
                    cookie=there.cookie,
                    packets=entry.packets,
                    bytes=entry.bytes,
                    seconds=entry.seconds,
                    explanation=told,
                )
                if number % EXPLAINED == EXPLAINED - 1:
                    hub.sleep(0)
            hub.sleep(0)

    # --- the controller --------------------------------------------------------------------

    def store_status(self) -> Mapping[str, Any]:
        status: Mapping[str, Any] = tpool.execute(self._app.store.status)
        return status

    def config_problem(self) -> str:
        return self._app.config_problem

    def problems(self) -> list[str]:
        """Why requests should not be sent here now."""
        now = time.monotonic()
        if now - self._looked > LOOK_EVERY:
            self._looked, self._problems = now, self._look(now)
        return self._problems

    def _look(self, now: float) -> list[str]:
        failure = self.store_status().get("failure")
        if not failure:
            self._failing_since = None
            return []
        if self._failing_since is None:
            self._failing_since = now
        if now - self._failing_since > PROBE_AFTER:
            # It may be over, and nobody writes who is told that this is not ready.
            with contextlib.suppress(StoreError):
                tpool.execute(self._app.store.claim, "probe")
        return [f"the store fails: {failure}"]

    # --- for the metrics -------------------------------------------------------------------

    def endpoints(self) -> Iterable[tuple[int, int]]:
        overlay = self.engine.overlay
        return ((v, len(overlay.endpoints.get(v, ()))) for v in list(overlay.config.networks))

    def vteps(self) -> Iterable[tuple[int, int]]:
        overlay = self.engine.overlay
        return ((vni, len(overlay.members(vni))) for vni in list(overlay.config.networks))

    def switches(self) -> Iterable[SwitchFigures]:
        for dpid in list(self._app.packet_ins):
            session = self._app.sessions.get(dpid)
            yield SwitchFigures(
                dpid=dpid,
                connected=session is not None,
                synced=session is not None and session.synced,
                queued=session.queued if session is not None else 0,
                sent=self._app.sent[dpid] + (session.sent if session is not None else Counter()),
            )

    def totals(self) -> Totals:
        return Totals(
            networks=len(self.engine.overlay.config.networks),
            generation=self.engine.generation,
            event_readers=self.events.readers,
            events=self.events.appended,
            event_gaps=self.events.gaps,
            configuration_refused=bool(self._app.config_problem),
        )

    def store(self) -> Mapping[str, object]:
        return self.store_status()
