"""Executes our flows on frames, as OpenFlow 1.4 section 5 says a switch does.

A frame is a dict of field values (integers, named as in :data:`controller.flows.WIDTH`). The
interpreter knows nothing of what the pipeline means; it can tell what a switch would do with
any program that our values express.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from controller.flows import (
    OFPP_CONTROLLER,
    OFPP_IN_PORT,
    VLAN_PRESENT,
    Action,
    Flow,
    FlowKey,
    FromField,
    Group,
    Learn,
    Match,
    Output,
    PopVlan,
    Program,
    PushVlan,
    Resubmit,
    SetField,
    ToGroup,
    match,
)
from controller.reconcile import Plan

Frame = dict[str, int]


@dataclass(frozen=True)
class Sent:
    """A copy that left by a port."""

    port: int
    frame: tuple[tuple[str, int], ...]

    def __getitem__(self, name: str) -> int:
        return dict(self.frame).get(name, 0)


@dataclass
class Result:
    """What became of one frame."""

    sent: list[Sent] = field(default_factory=list)
    punted: list[Frame] = field(default_factory=list)


class FakeSwitch:
    """Tables and groups, changed by plans, and a clock that tests set."""

    def __init__(self) -> None:
        self.flows: dict[FlowKey, Flow] = {}
        self.groups: dict[int, Group] = {}
        self.learned: dict[FlowKey, tuple[Flow, float]] = {}
        self.now = 0.0

    # --- programming -----------------------------------------------------------------------

    @property
    def program(self) -> Program:
        return Program(frozenset(self.flows.values()), frozenset(self.groups.values()))

    def apply(self, plan: Plan) -> None:
        """As a switch would: what cannot be is an error."""
        for group in plan.groups_added:
            assert group.id not in self.groups, f"group {group.id} exists"
            self.groups[group.id] = group
        for group in plan.groups_modified:
            assert group.id in self.groups, f"group {group.id} does not exist"
            self.groups[group.id] = group
        for flow in plan.flows_added:
            self.flows[flow.key] = flow
        for flow in plan.flows_deleted:
            if self.flows.get(flow.key) == flow:
                del self.flows[flow.key]
        for group in plan.groups_deleted:
            del self.groups[group.id]
        for ended in plan.quiet_ended:
            for key in [k for k in self.learned if set(ended) <= set(k[2])]:
                del self.learned[key]
        for flow in self.flows.values():
            for action in (*flow.apply, *flow.write):
                if isinstance(action, ToGroup):
                    assert action.group in self.groups, f"{flow} has no group"

    # --- frames ----------------------------------------------------------------------------

    def process(self, in_port: int, **fields: int) -> Result:
        """Send a frame through the tables."""
        run = _Run(self, {**fields, "in_port": in_port, "metadata": 0})
        run.table(0)
        return run.result

    def lookup(self, table: int, frame: Frame) -> Flow | None:
        learned = [flow for flow, until in self.learned.values() if until > self.now]
        found = [f for f in (*self.flows.values(), *learned) if f.table == table]
        hits = [f for f in found if _matches(f.match, frame)]
        if not hits:
            return None
        best = max(f.priority for f in hits)
        winners = [f for f in hits if f.priority == best]
        assert len(winners) == 1, f"ambiguous: {[str(f) for f in winners]}"
        return winners[0]


class _Run:
    """One frame's way through the tables."""

    def __init__(self, switch: FakeSwitch, frame: Frame) -> None:
        self.switch = switch
        self.frame = frame
        self.result = Result()
        self.action_set: dict[str, Action] = {}

    def table(self, number: int) -> None:
        current: int | None = number
        while current is not None:
            flow = self.switch.lookup(current, self.frame)
            if flow is None:
                return  # a table without a miss flow drops (section 5.4)
            self.apply(flow.apply)
            if flow.clear:
                self.action_set.clear()
            for action in flow.write:
                self.action_set[_slot(action)] = action
            if flow.metadata is not None:
                value, mask = flow.metadata
                self.frame["metadata"] = self.frame["metadata"] & ~mask | value & mask
            assert flow.goto is None or flow.goto > current
            current = flow.goto
        self.execute_set()

    def execute_set(self) -> None:
        """Set-fields first, then the group, or else the output (section 5.10)."""
        last = [self.action_set.get("group") or self.action_set.get("output")]
        first = [a for slot, a in self.action_set.items() if slot not in ("group", "output")]
        self.apply([*first, *(a for a in last if a is not None)])

    def apply(self, actions: Iterable[Action]) -> None:
        for action in actions:
            match action:
                case Output(port):
                    self.output(port)
                case SetField(name, value):
                    self.frame[name] = value
                case PushVlan():
                    assert not self.frame.get("vlan_vid"), "pushed on a tagged frame"
                    self.frame["vlan_vid"] = VLAN_PRESENT
                case PopVlan():
                    assert self.frame.get("vlan_vid"), "popped from an untagged frame"
                    self.frame["vlan_vid"] = self.frame.pop("inner_vlan_vid", 0)
                case ToGroup(number):
                    for bucket in self.switch.groups[number].buckets:
                        copy = dict(self.frame)
                        self.apply(bucket)
                        self.frame = copy
                case Resubmit(table):
                    inner = _Run(self.switch, self.frame)
                    inner.table(table)
                    self.result.sent += inner.result.sent
                    self.result.punted += inner.result.punted
                case Learn():
                    self.learn(action)

    def output(self, port: int) -> None:
        if port == OFPP_CONTROLLER:
            self.result.punted.append(dict(self.frame))
        elif port == OFPP_IN_PORT:
            self.result.sent.append(Sent(self.frame["in_port"], tuple(self.frame.items())))
        elif port != self.frame["in_port"]:
            self.result.sent.append(Sent(port, tuple(self.frame.items())))

    def learn(self, learn: Learn) -> None:
        fields = {s.dst: self._value(s) for s in learn.match}
        actions: list[Action] = [SetField(s.dst, self._value(s)) for s in learn.load]
        if learn.output_in_port:
            actions.append(Output(self.frame["in_port"]))
        flow = Flow(learn.table, learn.priority, match(**fields), apply=tuple(actions))
        self.switch.learned[flow.key] = (flow, self.switch.now + learn.hard_timeout)

    def _value(self, spec: object) -> int:
        if isinstance(spec, FromField):
            return self.frame.get(spec.src, 0)
        return spec.value  # type: ignore[attr-defined, no-any-return]


def _slot(action: Action) -> str:
    match action:
        case Output():
            return "output"
        case ToGroup():
            return "group"
        case SetField(name):
            return name
        case _:
            raise AssertionError(f"{action} in an action set")


def _matches(fields: Match, frame: Frame) -> bool:
    for f in fields:
        value = frame.get(f.name, 0)
        if (value if f.mask is None else value & f.mask) != f.value:
            return False
    return True
