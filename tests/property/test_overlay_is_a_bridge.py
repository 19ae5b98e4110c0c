"""The generated flows, executed: an ideal bridge per network, whatever happened before."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from controller.flows import VLAN_PRESENT
from controller.learning import Observation
from controller.model import (
    Attachment,
    Config,
    Dpid,
    Flooding,
    Local,
    Mac,
    Network,
    PortRef,
    Remote,
    StaticEndpoint,
    Vni,
    VtepAddress,
)
from tests.support.fabric import LOCAL_PORTS, TUNNEL, Arrival, Fabric, address

SWITCHES = 3
VNIS = (Vni(0), Vni(100), Vni(2**24 - 1))
MACS = tuple(Mac(bytes([2, 0, 0, 0, 0, n])) for n in range(1, 5))
BROADCAST = b"\xff" * 6
FOREIGN = (address(200), address(201))
VLANS = (None, 10, 20)
STATIC_VTEPS: tuple[tuple[VtepAddress, ...], ...] = ((), (), (FOREIGN[1],))


def port_refs(number: int) -> st.SearchStrategy[PortRef]:
    refs: tuple[PortRef, ...] = (number, f"p{number}")
    return st.sampled_from(refs)


@st.composite
def networks(draw: st.DrawFn) -> Config:
    """Random networks over three switches, three ports each, untagged and two VLANs."""
    made: dict[Vni, Network] = {}
    free = [(d, p, v) for d in range(1, SWITCHES + 1) for p in LOCAL_PORTS for v in VLANS]
    for vni in draw(st.lists(st.sampled_from(VNIS), unique=True, max_size=3)):
        ends = draw(
            st.lists(st.sampled_from(free), unique_by=lambda end: (end[0], end[1]), max_size=6)
        )
        free = [end for end in free if end not in ends]
        attachments = tuple(Attachment(Dpid(d), draw(port_refs(p)), v) for d, p, v in ends)
        static: list[StaticEndpoint] = []
        if draw(st.booleans()):
            static.append(StaticEndpoint(MACS[-1], FOREIGN[1]))
        elif draw(st.booleans()) and attachments:
            static.append(StaticEndpoint(MACS[-1], draw(st.sampled_from(attachments))))
        made[vni] = Network(
            vni,
            flooding=draw(st.sampled_from((Flooding.HEAD_END, Flooding.HEAD_END, Flooding.NONE))),
            ageing=draw(st.sampled_from((0, 300))),
            learning=draw(st.sampled_from((True, True, True, False))),
            attachments=attachments,
            endpoints=tuple(static),
            vteps=draw(st.sampled_from(STATIC_VTEPS)),
        )
    return Config(networks=made)


@dataclass(frozen=True)
class Step:
    kind: str
    dpid: Dpid
    port: int
    vlan: int | None
    vni: Vni
    mac: Mac
    vtep: VtepAddress


steps = st.builds(
    Step,
    st.sampled_from(
        ("speak", "speak", "speak", "foreign", "foreign", "expire", "down", "up", "tick", "again")
    ),
    st.sampled_from([Dpid(n) for n in range(1, SWITCHES + 1)]),
    st.sampled_from(LOCAL_PORTS),
    st.sampled_from(VLANS),
    st.sampled_from(VNIS),
    st.sampled_from(MACS),
    st.sampled_from(FOREIGN),
)


def take(fabric: Fabric, step: Step) -> None:
    """Let something happen."""
    match step.kind:
        case "speak":
            fabric.send(step.dpid, step.port, step.vlan, step.mac, BROADCAST, learn=True)
            fabric.tick(2)  # the guard forgets
        case "foreign":
            fabric.send_from(step.vtep, step.dpid, step.vni, step.mac, BROADCAST, learn=True)
            fabric.tick(2)
        case "expire":
            found = fabric.engine.overlay.location(step.vni, step.mac)
            if isinstance(found, Local):
                fabric.engine.expired(found.dpid, step.vni, step.mac, found.port, fabric.now)
            elif isinstance(found, Remote):
                for dpid in sorted(found.heard_by)[:1]:
                    fabric.engine.expired(dpid, step.vni, step.mac, found.vtep, fabric.now)
            fabric.flush()
        case "down" | "up":
            fabric.set_port(step.dpid, step.port, up=step.kind == "up")
        case "tick":
            fabric.tick(400)
        case "again":
            assert fabric.connect(step.dpid) == 0


def built(config: Config, *, peers: bool = False) -> Fabric:
    fabric = Fabric(SWITCHES, peers=peers)
    fabric.configure(config)
    for dpid in fabric.switches:
        fabric.connect(dpid)
    return fabric


def ideal(fabric: Fabric, vni: Vni, source: Arrival, dst: bytes) -> Counter[Arrival]:
    """Where a bridge with a port per attachment and per VTEP would send a frame."""
    overlay = fabric.engine.overlay
    network = overlay.config.networks[vni]
    known = overlay.location(vni, Mac(dst))
    from_tunnel = isinstance(source.at, str)
    if isinstance(known, Local):
        target = Arrival(known.dpid, known.port, known.vlan)
        return Counter([target] if target != source else [])
    if isinstance(known, Remote):
        return Counter([] if from_tunnel else [Arrival(known.vtep, vni=vni)])
    if network.flooding is Flooding.NONE:
        return Counter()
    ends = {
        Arrival(dpid, port, vlan)
        for dpid, present in overlay.present(vni).items()
        for port, vlan in present
    }
    if not from_tunnel:  # split horizon
        ends |= {Arrival(vtep, vni=vni) for vtep in overlay.foreign(vni)}
    return Counter(ends - {source})


def check_frames(fabric: Fabric) -> None:
    """Every attachment sends to everybody known, to nobody known, and to all."""
    overlay = fabric.engine.overlay
    for vni in overlay.config.networks:
        targets = [*MACS, Mac(b"\x02" * 6), BROADCAST]
        for dpid, ends in overlay.present(vni).items():
            for port, vlan in ends:
                for dst in targets:
                    got = fabric.send(dpid, port, vlan, Mac(b"\x06" * 6), dst)
                    want = ideal(fabric, vni, Arrival(dpid, port, vlan), dst)
                    assert got == want, (vni, dpid, port, vlan, dst.hex(), got, want)


@given(networks(), st.lists(steps, max_size=12), st.booleans())
def test_every_frame_goes_where_an_ideal_bridge_would_send_it(
    config: Config, events: list[Step], peers: bool
) -> None:
    fabric = built(config, peers=peers)
    for event in events:
        take(fabric, event)
        fabric.assert_incremental_equals_full()
    check_frames(fabric)


@given(networks(), networks(), st.lists(steps, max_size=10), st.booleans())
def test_any_reconfiguration_leaves_what_a_fresh_start_would_make(
    first: Config, second: Config, events: list[Step], peers: bool
) -> None:
    fabric = built(first, peers=peers)
    for event in events:
        take(fabric, event)
    fabric.configure(second)
    fabric.assert_incremental_equals_full()
    for event in events:
        take(fabric, event)
        fabric.assert_incremental_equals_full()
    check_frames(fabric)


@given(networks(), st.lists(steps, max_size=12), st.booleans(), st.permutations(range(SWITCHES)))
def test_a_restart_changes_nothing(
    config: Config, events: list[Step], peers: bool, order: list[int]
) -> None:
    """A new controller reads back what the old one had learned, switch by switch in any
    order, and sends none of them anything."""
    fabric = built(config, peers=peers)
    for event in events:
        take(fabric, event)
    before = {d: s.program for d, s in fabric.switches.items()}
    known = {v: dict(t) for v, t in fabric.engine.overlay.endpoints.items()}
    fabric.restart(config)
    for index in order:
        assert fabric.connect(Dpid(index + 1)) == 0
        assert {d: s.program for d, s in fabric.switches.items()} == before
    assert fabric.engine.overlay.endpoints == known


def tell(fabric: Fabric, step: Step) -> None:
    """The bare fact of a step, to the engine; nothing is flushed."""
    engine = fabric.engine
    match step.kind:
        case "speak":
            seen = Observation(step.dpid, step.vni, step.mac, step.port, None)
            engine.observe(seen, fabric.now)
        case "foreign":
            seen = Observation(step.dpid, step.vni, step.mac, TUNNEL, step.vtep)
            engine.observe(seen, fabric.now)
        case "expire":
            found = engine.overlay.location(step.vni, step.mac)
            if isinstance(found, Local):
                engine.expired(found.dpid, step.vni, step.mac, found.port, fabric.now)
            elif isinstance(found, Remote):
                for dpid in sorted(found.heard_by):
                    engine.expired(dpid, step.vni, step.mac, found.vtep, fabric.now)
        case "down" | "up":
            down = fabric.down.setdefault(step.dpid, set())
            (down.discard if step.kind == "up" else down.add)(step.port)
            engine.update_switch(step.dpid, fabric.facts(step.dpid), fabric.now)
        case "tick":
            fabric.now += 400
            engine.tick(fabric.now)


@given(networks(), st.lists(steps, max_size=16), st.sets(st.integers(0, 15)), st.booleans())
def test_batching_does_not_matter(
    config: Config, events: list[Step], flushes: set[int], peers: bool
) -> None:
    """The same facts one by one, or with flushes only here and there: the same flows."""
    one_by_one, batched = built(config, peers=peers), built(config, peers=peers)
    for index, event in enumerate(events):
        tell(one_by_one, event)
        one_by_one.flush()
        tell(batched, event)
        if index in flushes:
            batched.flush()
            batched.assert_incremental_equals_full()
    batched.flush()
    for dpid, switch in one_by_one.switches.items():
        assert batched.switches[dpid].program == switch.program


@given(networks(), st.lists(steps, max_size=16), st.randoms(use_true_random=False), st.booleans())
def test_the_order_of_independent_facts_does_not_matter(
    config: Config, events: list[Step], random: Random, peers: bool
) -> None:
    """Who speaks first, and which switch connects first, makes no difference to the flows."""
    facts = {(e.vni, e.mac): e for e in events if e.kind in ("speak", "foreign")}
    programs = []
    for _ in range(2):
        fabric = Fabric(SWITCHES, peers=peers)
        fabric.configure(config)
        order = sorted(fabric.switches)
        random.shuffle(order)
        for dpid in order:
            fabric.connect(dpid)
        told = sorted(facts.values(), key=lambda e: (e.vni, e.mac))
        random.shuffle(told)
        for event in told:
            tell(fabric, event)
            fabric.flush()
        programs.append({dpid: switch.program for dpid, switch in fabric.switches.items()})
    assert programs[0] == programs[1]


@given(networks(), st.lists(steps, max_size=10), st.booleans(), st.sampled_from(FOREIGN))
def test_a_frame_out_of_a_tunnel_reaches_local_ports_only(
    config: Config, events: list[Step], peers: bool, vtep: VtepAddress
) -> None:
    fabric = built(config, peers=peers)
    for event in events:
        take(fabric, event)
    overlay = fabric.engine.overlay
    for vni in VNIS:
        for dpid in fabric.switches:
            here = {Arrival(dpid, port, vlan) for port, vlan in overlay.present(vni).get(dpid, ())}
            for dst in (*MACS, BROADCAST):
                got = fabric.send_from(vtep, dpid, vni, Mac(b"\x06" * 6), dst)
                network = overlay.network(vni)
                if network is None or not here:
                    assert not got
                    continue
                want = ideal(fabric, vni, Arrival(vtep, vni=vni), dst)
                assert got == Counter(a for a in want.elements() if a in here)


@given(networks())
def test_a_second_tag_takes_nobody_into_another_network(config: Config) -> None:
    """VLAN hopping: an attachment's tag, or a priority tag, and below it another's."""
    fabric = built(config)
    for vni in config.networks:
        for dpid, ends in fabric.engine.overlay.present(vni).items():
            for port, vlan in ends:
                for second in (10, 20):
                    source = Mac(b"\x06" * 6)
                    got = fabric.send(dpid, port, vlan or 0, source, BROADCAST, second_tag=second)
                    assert not got


@given(networks(), st.lists(steps, max_size=10))
def test_an_unknown_talker_is_punted_once_and_its_frames_are_never_held_up(
    config: Config, events: list[Step]
) -> None:
    fabric = built(config)
    for event in events:
        take(fabric, event)
    overlay = fabric.engine.overlay
    talker = Mac(b"\x06" * 6)
    for vni, network in overlay.config.networks.items():
        for dpid, ends in overlay.present(vni).items():
            for port, vlan in ends:
                fabric.tick(2)
                tag = 0 if vlan is None else VLAN_PRESENT | vlan
                fields = {"eth_src": int.from_bytes(talker, "big"), "vlan_vid": tag}
                runs = [
                    fabric.switches[dpid].process(port, eth_dst=2**48 - 1, **fields)
                    for _ in range(20)
                ]
                assert sum(len(run.punted) for run in runs) == network.learning
                assert all(run.sent == runs[0].sent for run in runs)
