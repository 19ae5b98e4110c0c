"""The conversation with one connected switch: dump, difference, changes, acknowledgement.

A session sends what it is told and decides nothing. What it sends goes through a queue of
its own, so that a switch that reads slowly delays nobody else.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import Any, Final

from os_ken.lib import hub

from controller.flows import (
    OFPM_CONTROLLER,
    TRANSIENT,
    Group,
    Meter,
    Program,
)
from controller.model import SwitchView, Vni, VtepAddress, format_dpid
from controller.openflow import codec
from controller.openflow.codec import Installed
from controller.openflow.codec.matching import Message
from controller.packets import PROBE
from controller.pipeline.tables import Table
from controller.pipeline.tunnels import to_vtep
from controller.reconcile import Plan

log = logging.getLogger("weft.switch")

MAX_QUEUE: Final = 64 << 20
"""Bytes that may wait for one switch. One that falls further behind is disconnected: it is
audited when it comes back, and gets the difference."""
CHUNK: Final = 64 << 10
"""Bytes handed to the socket at a time."""


class Session:
    """One switch, from its handshake to the end of its connection."""

    def __init__(self, datapath: Any, on_applied: Callable[[], None]) -> None:
        """``on_applied`` is called whenever the switch has confirmed a change."""
        self.datapath = datapath
        self._on_applied = on_applied
        self.since = time.time()
        """When it connected, in Unix seconds."""
        self.name = format_dpid(datapath.id)
        self.synced = False
        """Whether the switch has been audited: only then do changes go to it."""
        self.sent: Counter[str] = Counter()
        """Messages that change the switch, by kind."""
        self.wanted = 0
        self.applied = 0
        """The last generation sent, and the last one confirmed by a barrier."""
        self.last_error = ""
        self._bundles = True
        self._bundle_id = 0
        self._in_bundle: set[int | None] = set()
        self._failed = False
        """Whether something was refused since the last audit: then barriers prove nothing."""
        self._gone: set[int] = set()
        """Cookies of the flows that ended while a dump was under way."""
        self._barriers: dict[int, int] = {}
        self._dump = Dump()
        self._dump_meter: int | None = None
        self._dump_barrier: int | None = None
        self._dump_xids: set[int] = set()
        self._inquiries: dict[int, Inquiry] = {}
        self._queue: deque[bytes] = deque()
        self._queued = 0
        self._wake = hub.Event()
        self._writer = hub.spawn(self._write)

    # --- dump ----------------------------------------------------------------------------

    def request_dump(self) -> None:
        """Ask for all that is ours in the switch; :meth:`barrier` tells when it is there."""
        self.synced = False
        self._dump = Dump()
        self._gone = set()
        dp = self.datapath
        meter, barrier = codec.dump_meter_request(dp, OFPM_CONTROLLER), codec.barrier(dp)
        entries = [codec.dump_groups_request(dp), codec.dump_flows_request(dp)]
        self._send([meter, *entries, barrier])
        self._dump_meter, self._dump_barrier = meter.xid, barrier.xid
        self._dump_xids = {request.xid for request in entries}

    def flows(self, msg: Message) -> None:
        if msg.xid in self._dump_xids:
            self._dump.flows += codec.decode_flows(msg)

    def groups(self, msg: Message) -> None:
        if msg.xid in self._dump_xids:
            self._dump.groups += codec.decode_groups(msg)

    def meters(self, msg: Message) -> None:
        if msg.xid == self._dump_meter:
            self._dump.meters += codec.decode_meters(msg)

    def barrier(self, xid: int) -> bool:
        """A barrier reply. True when it ends the dump."""
        generation = self._barriers.pop(xid, None)
        if generation is not None:
            self._in_bundle = set()
            if not self._failed:
                self.applied = max(self.applied, generation)
                self._on_applied()
        if xid != self._dump_barrier:
            return False
        self._dump_barrier = None
        return True

    def ended_meanwhile(self, cookie: int) -> None:
        """A flow has ended while a dump was under way, which may show it all the same."""
        self._gone.add(cookie)

    @property
    def installed(self) -> Program:
        """What the dump says the switch holds of ours (entries it made itself left out)."""
        return Program(
            frozenset(
                i.flow
                for i in self._dump.flows
                if i.flow and i.cookie == i.flow.cookie and i.cookie not in self._gone
            ),
            frozenset(self._dump.groups),
        )

    # --- questions -----------------------------------------------------------------------

    def ask(self, request: Message, timeout: float) -> list[Message]:
        """Send a multipart request, and wait (green) for all parts of the answer.

        Raises TimeoutError after ``timeout`` seconds, ConnectionError when the connection ends,
        ValueError with the switch's own words when it refuses.
        """
        inquiry = Inquiry()
        self._send([request])
        self._inquiries[request.xid] = inquiry
        try:
            if not inquiry.done.wait(timeout):
                raise TimeoutError(f"switch {self.name} did not answer within {timeout:g} s")
        finally:
            self._inquiries.pop(request.xid, None)
        if isinstance(inquiry.failure, Exception):
            raise inquiry.failure
        return inquiry.parts

    def answered(self, msg: Message) -> bool:
        """A part of an answer; whether somebody asked for it by :meth:`ask`."""
        inquiry = self._inquiries.get(msg.xid)
        if inquiry is None:
            return False
        inquiry.parts.append(msg)
        if not msg.flags & msg.datapath.ofproto.OFPMPF_REPLY_MORE:
            inquiry.done.set()
        return True

    # --- changes -------------------------------------------------------------------------

    def synchronise(self, plan: Plan, meter: Meter, generation: int) -> int:
        """Send the outcome of an audit, all at once where the switch can; from now on changes
        go to it. The number of messages that this took."""
        dp = self.datapath
        replaced = {flow.key for flow in plan.flows_added}  # an add takes a stray's place
        strays = [
            codec.delete_by_cookie(dp, i.table, i.cookie, i.key)
            for i in self._strays()
            if i.key not in replaced
        ]
        changes = self._changes(plan) + strays
        size = len(changes)
        self.sent["flow_mods"] += len(strays)
        messages = []
        if meter not in self._dump.meters:
            modify = any(m.id == meter.id for m in self._dump.meters)
            messages.append((codec.meter_modify if modify else codec.meter_add)(dp, meter))
            self.sent["meter_mods"] += 1
        if changes and self._bundles:
            self._bundle_id += 1
            changes = codec.bundle(dp, self._bundle_id, changes)
        self._dump = Dump()
        self.synced = True
        self._failed = False
        self._confirm(messages + changes, generation)
        if self._bundles:
            self._in_bundle = {message.xid for message in changes}
        return size

    def apply(self, plan: Plan, generation: int) -> bool:
        """Send a change. False: the switch is too far behind, and its connection was ended."""
        if self._queued > MAX_QUEUE:
            log.error("switch %s is %d bytes behind: disconnected", self.name, self._queued)
            self.close()
            return False
        self._confirm(self._changes(plan), generation)
        return True

    def _strays(self) -> Iterable[Installed]:
        """Flows that bear our tag but not their content's hash: edited by hand, or of a layout
        that this version cannot read."""
        return (
            i
            for i in self._dump.flows
            if i.cookie != TRANSIENT and not (i.flow and i.flow.cookie == i.cookie)
        )

    def _changes(self, plan: Plan) -> list[Message]:
        dp = self.datapath
        self.sent["group_mods"] += (
            len(plan.groups_added) + len(plan.groups_modified) + len(plan.groups_deleted)
        )
        self.sent["flow_mods"] += len(plan.flows_added) + len(plan.flows_deleted)
        return [
            *(codec.group_add(dp, g) for g in plan.groups_added),
            *(codec.group_modify(dp, g) for g in plan.groups_modified),
            # An add over a flow inherits its idle time, and would age out at once: reset.
            *(codec.flow_add(dp, f, reset=bool(f.idle_timeout)) for f in plan.flows_added),
            *(codec.flow_delete(dp, f) for f in plan.flows_deleted),
            *(codec.transients_delete(dp, Table.GUARD, m) for m in plan.quiet_ended),
            *(codec.group_delete(dp, g.id) for g in plan.groups_deleted),
        ]

    def probe(self, view: SwitchView, vteps: Iterable[VtepAddress], vni: Vni) -> None:
        """Send a probe frame to each VTEP, under a VNI that nobody uses."""
        ways = (to_vtep(view, vni, vtep) for vtep in vteps)
        self._send(codec.packet_out(self.datapath, way, PROBE) for way in ways if way)

    def refused(self, msg: Message) -> bool:
        """An error message. True when the switch is to be dumped and audited again at once: a
        bundle was refused, so each change goes by itself from now on, and holds up no other.
        Whatever else was refused, a later audit tries again."""
        if msg.xid == self._dump_meter:
            return False  # it has no such meter, and says so in this way
        if inquiry := self._inquiries.get(msg.xid):
            inquiry.failure = ValueError(codec.describe_error(msg))
            inquiry.done.set()
            return False
        self._failed = True
        self.last_error = codec.describe_error(msg)
        self.sent["refused"] += 1
        log.error("switch %s refused: %s", self.name, self.last_error)
        again = self._bundles and msg.xid in self._in_bundle
        if again:
            self._bundles = False
        return again

    def status(self) -> dict[str, Any]:
        """What there is to tell of the conversation, as plain data."""
        return {
            "openflow": f"1.{self.datapath.ofproto.OFP_VERSION - 1}",
            "synced": self.synced,
            "wanted": self.wanted,
            "applied": self.applied,
            "sent": dict(self.sent),
            "last_error": self.last_error,
        }

    # --- sending -------------------------------------------------------------------------

    def _confirm(self, messages: list[Message], generation: int) -> None:
        barrier = codec.barrier(self.datapath)
        self._send([*messages, barrier])
        self.wanted = generation
        self._barriers[barrier.xid] = generation

    def _send(self, messages: Iterable[Message]) -> None:
        data = codec.serialize(messages, self.datapath.set_xid)
        if not data:
            return
        self._queue.append(data)
        self._queued += len(data)
        self._wake.set()

    def _write(self) -> None:
        while True:
            if not self._queue:
                self._wake.clear()
                self._wake.wait()
                continue
            data = self._queue.popleft()
            for start in range(0, len(data), CHUNK):
                if not self.datapath.send(data[start : start + CHUNK]):
                    return
            self._queued -= len(data)

    @property
    def queued(self) -> int:
        """Bytes that wait to be sent."""
        return self._queued

    @property
    def failed(self) -> bool:
        """Whether the switch refused something since its last audit."""
        return self._failed

    def close(self) -> None:
        """End the connection."""
        # In a thread of its own: it tells the applications, whose queue may be full, and one
        # of them may be who is calling.
        hub.spawn(self.datapath.close)
        self.ended()

    def ended(self) -> None:
        """The connection is no more."""
        self.synced = False
        self._queue.clear()
        for inquiry in self._inquiries.values():
            inquiry.failure = ConnectionError(f"switch {self.name} is gone")
            inquiry.done.set()
        hub.kill(self._writer)


class Inquiry:
    """A question that somebody waits for."""

    def __init__(self) -> None:
        self.parts: list[Message] = []
        self.failure: Exception | None = None
        self.done = hub.Event()


class Dump:
    """The parts of a dump as they come in."""

    def __init__(self) -> None:
        self.flows: list[Installed] = []
        self.groups: list[Group] = []
        self.meters: list[Meter] = []
