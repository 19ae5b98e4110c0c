"""Changes of configuration, one by one, tried on, in slices: with traffic in between."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from controller.engine import Effects, Engine
from controller.history import (
    MAX_IPS,
    EndpointExpired,
    EndpointLearned,
    EndpointMoved,
    VtepDiscovered,
    VtepExpired,
)
from controller.model import (
    Attachment,
    Config,
    ConfigChange,
    Dpid,
    Local,
    Location,
    Mac,
    PortRef,
    Remote,
    SwitchConfig,
    Vni,
    VtepAddress,
    difference,
)
from controller.overlay import MemberKind, SwitchFacts
from controller.reconcile import compare
from tests.property.test_overlay_is_a_bridge import (
    SWITCHES,
    VLANS,
    VNIS,
    Step,
    built,
    check_frames,
    networks,
    port_refs,
    steps,
    take,
    tell,
)
from tests.support.fabric import TUNNEL, Fabric
from tests.support.interpreter import FakeSwitch

dpids = st.sampled_from([Dpid(n) for n in range(1, SWITCHES + 1)])
tunnel_ports: st.SearchStrategy[PortRef | None] = st.sampled_from(
    (None, "vxlan0", TUNNEL, "p3", "absent")
)
own = st.builds(
    SwitchConfig,
    vtep=st.sampled_from((None, VtepAddress("198.51.100.7"))),
    tunnel_port=tunnel_ports,
)


@st.composite
def configs(draw: st.DrawFn) -> Config:
    """Networks, and now and then settings of a switch."""
    made = draw(networks())
    some = draw(st.dictionaries(dpids, own, max_size=1))
    return Config(made.networks, some, SwitchConfig(tunnel_port=draw(tunnel_ports)))


@st.composite
def changes(draw: st.DrawFn) -> ConfigChange:
    """A part of what would turn a configuration into another."""
    config = draw(configs())
    named = draw(st.sets(st.sampled_from(VNIS), max_size=2))
    return ConfigChange(
        {vni: config.networks.get(vni) for vni in sorted(named)},
        {dpid: config.switches.get(dpid) for dpid in draw(st.sets(dpids, max_size=1))},
        draw(st.none() | st.just(config.defaults)),
    )


bindings = st.lists(
    st.tuples(
        st.sampled_from(VNIS),
        st.builds(Attachment, dpids, st.integers(1, 3).flatmap(port_refs), st.sampled_from(VLANS)),
    ),
    max_size=3,
)
Happening = Step | ConfigChange | list[tuple[Vni, Attachment]]
happenings: st.SearchStrategy[list[Happening]] = st.lists(steps | changes() | bindings, max_size=10)


class Asked(Fabric):
    """A fabric whose switches may ask for attachments by way of OVSDB, and whose flow-based
    tunnel port is what configuration says."""

    def __init__(self, config: Config) -> None:
        super().__init__(SWITCHES)
        self.bindings: list[tuple[Vni, Attachment]] = []
        self.news: list[object] = []
        self.configure(config)
        for dpid in self.switches:
            self.connect(dpid)

    def facts(self, dpid: Dpid) -> SwitchFacts:
        asked = tuple((vni, at) for vni, at in self.bindings if at.dpid == dpid)
        return replace(super().facts(dpid), tunnel_ports=(), bindings=asked)

    def flush(self, skip: Dpid | None = None) -> Effects:
        effects = super().flush(skip)
        self.news += effects.news
        return effects

    def happen(self, what: Happening) -> None:
        """Let something happen, and flush."""
        match what:
            case Step("again"):
                assert self.connect(what.dpid) == 0
            case Step():
                tell(self, what)
            case ConfigChange():
                self.engine.change(what, self.now)
            case _:
                self.bindings = what
                for dpid in self.switches:
                    self.engine.update_switch(dpid, self.facts(dpid), self.now)
        self.flush()


def everything(engine: Engine) -> object:
    """All that is known, to compare."""
    return deepcopy((vars(engine.overlay), vars(engine.history), engine.revision))


@given(configs(), happenings)
def test_changes_one_by_one_leave_what_a_fresh_start_would_make(
    first: Config, events: list[Happening]
) -> None:
    fabric = Asked(first)
    for event in events:
        fabric.happen(event)
        fabric.assert_incremental_equals_full()
    fresh = Engine()
    fresh.configure(fabric.engine.overlay.config, fabric.now)
    for dpid in fabric.switches:
        fresh.update_switch(dpid, fabric.engine.overlay.switches[dpid].facts, fabric.now)
    assert fresh.overlay.switches == fabric.engine.overlay.switches
    assert fresh.overlay._presence == fabric.engine.overlay._presence
    assert fresh.overlay._attachments == fabric.engine.overlay._attachments
    assert statics(fresh) == statics(fabric.engine)


def statics(engine: Engine) -> object:
    """What configuration alone decides, of endpoints and of members."""
    overlay = engine.overlay
    members = {
        (vni, vtep)
        for vni in overlay.config.networks
        for vtep, member in overlay.foreign(vni).items()
        if member.kind is MemberKind.STATIC
    }
    return learned(engine, static=True), members


def learned(engine: Engine, *, static: bool = False) -> dict[tuple[Vni, Mac], Location]:
    return {
        (vni, mac): location
        for vni, known in engine.overlay.endpoints.items()
        for mac, location in known.items()
        if location.static == static
    }


@given(configs(), happenings, changes())
def test_a_preview_is_what_then_happens_and_changes_nothing(
    first: Config, events: list[Happening], change: ConfigChange
) -> None:
    fabric = Asked(first)
    for event in events:
        fabric.happen(event)
    engine = fabric.engine
    was = everything(engine)
    expected = engine.preview(change, fabric.now)
    assert everything(engine) == was
    assert not engine._touched
    assert not engine._news
    programs = {dpid: switch.program for dpid, switch in fabric.switches.items()}
    engine.change(change, fabric.now)
    plans = fabric.flush().plans
    assert plans.keys() == expected.keys()
    for dpid, (old, new) in expected.items():
        assert replace(plans[dpid], quiet_ended=()) == compare(old, new)
        before, after = programs[dpid], fabric.switches[dpid].program
        assert before.flows - after.flows == old.flows - new.flows
        assert after.flows - before.flows == new.flows - old.flows
        assert after.groups - before.groups == new.groups - old.groups
        assert before.groups - after.groups == old.groups - new.groups


@given(configs(), happenings, configs(), st.integers(1, 3), st.booleans())
def test_slices_add_up_to_the_change(
    first: Config, events: list[Happening], second: Config, size: int, flush: bool
) -> None:
    whole, sliced = Asked(first), Asked(first)
    for event in events:
        whole.happen(event)
        sliced.happen(event)
    change = difference(whole.engine.overlay.config, second)
    whole.happen(change)
    for part in change.slices(size):
        assert len(part.networks) <= size
        sliced.engine.change(part, sliced.now)
        if flush:
            sliced.flush()
            sliced.assert_incremental_equals_full()
    sliced.flush()
    sliced.assert_incremental_equals_full()
    assert sliced.engine.overlay.config == whole.engine.overlay.config == second
    assert sliced.engine.overlay.switches == whole.engine.overlay.switches
    assert statics(sliced.engine) == statics(whole.engine)


@given(configs(), happenings)
def test_news_tells_of_everything_that_was_learned_and_no_more(
    first: Config, events: list[Happening]
) -> None:
    """Who listens from the start knows what is known."""
    fabric = Asked(first)
    for event in events:
        fabric.happen(event)
    known: dict[tuple[Vni, Mac], object] = {}
    members: set[tuple[Vni, VtepAddress]] = set()
    for news in fabric.news:
        match news:
            case EndpointLearned(vni, mac, location):
                known[vni, mac] = place(location)
            case EndpointMoved(vni, mac, origin, location):
                assert known[vni, mac] == place(origin) != place(location)
                known[vni, mac] = place(location)
            case EndpointExpired(vni, mac, location):
                assert known.pop((vni, mac)) == place(location)
            case VtepDiscovered(vni, vtep):
                assert (vni, vtep) not in members
                members.add((vni, vtep))
            case VtepExpired(vni, vtep):
                members.discard((vni, vtep))
    engine = fabric.engine
    now = {key: place(location) for key, location in learned(engine).items()}
    assert known == now
    there = {
        (vni, vtep)
        for vni in engine.overlay.config.networks
        for vtep, member in engine.overlay.foreign(vni).items()
        if member.kind is MemberKind.DISCOVERED
    }
    assert there >= {(v, m) for v, m in members if m not in statically(engine, v)}


def statically(engine: Engine, vni: Vni) -> set[VtepAddress]:
    members = engine.overlay.foreign(vni).items()
    return {vtep for vtep, member in members if member.kind is MemberKind.STATIC}


def place(location: Location) -> object:
    match location:
        case Local(dpid, port, vlan):
            return dpid, port, vlan
        case Remote(vtep):
            return vtep
    return None


@given(configs(), happenings)
def test_history_is_of_what_is_there_and_bounded(first: Config, events: list[Happening]) -> None:
    fabric = Asked(first)
    for event in events:
        fabric.happen(event)
    engine = fabric.engine
    there = {(vni, mac) for vni, known in engine.overlay.endpoints.items() for mac in known}
    history = engine.history
    assert {(vni, mac) for vni, known in history._since.items() for mac in known} == there
    assert all(history._since.values())
    for table in (history._moves, history._ips):
        assert {(vni, mac) for vni, known in table.items() for mac in known} <= there
    for vni, known in history._ips.items():
        assert all(len(set(ips)) == len(ips) <= MAX_IPS for ips in known.values()), vni
    for vni, heard in history._heard.items():
        assert heard.keys() <= engine.overlay.foreign(vni).keys()
        assert all(first <= last <= fabric.now for first, last in heard.values())
    for vni, mac in there:
        since = history.since(vni, mac)
        assert since is not None
        assert since <= fabric.now


@given(configs(), happenings, dpids)
def test_of_a_forgotten_switch_nothing_remains(
    first: Config, events: list[Happening], dpid: Dpid
) -> None:
    fabric = Asked(first)
    for event in events:
        fabric.happen(event)
    engine = fabric.engine
    address_then = engine.overlay.switches[dpid].view.vtep
    engine.forget_switch(dpid, fabric.now)
    fabric.flush(skip=dpid)
    del fabric.switches[dpid]
    overlay = engine.overlay
    assert dpid not in overlay.switches
    assert not any(dpid in present for present in overlay._presence.values())
    for location in learned(engine).values():
        assert not isinstance(location, Local) or location.dpid != dpid
        assert not isinstance(location, Remote) or dpid not in location.heard_by
    if address_then is not None and not overlay.is_own(address_then):  # it may have a twin
        assert address_then not in {v for vni in VNIS for v in overlay.members(vni)}
    fabric.assert_incremental_equals_full()
    assert dpid not in engine.probes_due(fabric.now + 1000)
    for event in events:
        if not isinstance(event, Step) or event.dpid != dpid:
            if isinstance(event, list):
                continue
            fabric.happen(event)
            fabric.assert_incremental_equals_full()
    fabric.switches[dpid] = FakeSwitch()  # it may come back
    fabric.connect(dpid)
    fabric.assert_incremental_equals_full()


@given(networks(), st.lists(steps, max_size=8), st.lists(networks(), min_size=1, max_size=4))
def test_frames_after_any_sequence_of_changes(
    first: Config, events: list[Step], configurations: list[Config]
) -> None:
    fabric = built(first)
    for config in configurations:
        for event in events:
            take(fabric, event)
        change = difference(fabric.engine.overlay.config, config)
        fabric.engine.change(change, fabric.now)
        fabric.flush()
        fabric.assert_incremental_equals_full()
    check_frames(fabric)
