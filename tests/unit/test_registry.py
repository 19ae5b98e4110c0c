"""The registry: every contradiction in words, what changes mean, and what a store gets of them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from types import FrameType

import pytest

from controller.config import ConfigError, load
from controller.model import (
    Attachment,
    Config,
    ConfigChange,
    Dpid,
    Mac,
    Network,
    PortRef,
    StaticEndpoint,
    SwitchConfig,
    Vni,
    VtepAddress,
)
from controller.registry import (
    Contradiction,
    Contradictory,
    NotUnderstood,
    Registry,
    Writes,
)
from controller.resources import (
    DEFAULTS,
    AttachmentKey,
    DefaultsKey,
    EndpointKey,
    Key,
    NetworkKey,
    SwitchKey,
    Value,
    parse_key,
)

VNI, OTHER = Vni(100), Vni(200)
ONE, TWO = Dpid(1), Dpid(2)
MAC = Mac(b"\2\0\0\0\0\1")
OURS, FOREIGN = VtepAddress("192.0.2.1"), VtepAddress("192.0.2.9")
D1 = "0000000000000001"


def net(vni: int = VNI, name: str = "", *vteps: str) -> tuple[Key, Value]:
    return NetworkKey(Vni(vni)), Network(Vni(vni), name, vteps=tuple(map(VtepAddress, vteps)))


def att(port: PortRef, vlan: int | None = None, vni: int = VNI) -> tuple[Key, Value]:
    return AttachmentKey(Vni(vni), ONE, port), Attachment(ONE, port, vlan)


def at(port: PortRef, vlan: int | None = None, vni: int = VNI) -> tuple[Key, Value]:
    return EndpointKey(Vni(vni), MAC), StaticEndpoint(MAC, Attachment(ONE, port, vlan))


def behind(vtep: str) -> tuple[Key, Value]:
    return EndpointKey(VNI, MAC), StaticEndpoint(MAC, VtepAddress(vtep))


def switch(dpid: int = 1, **settings: object) -> tuple[Key, Value]:
    return SwitchKey(Dpid(dpid)), SwitchConfig(**settings)  # type: ignore[arg-type] # any field


def default(port: PortRef) -> tuple[Key, Value]:
    return DefaultsKey(), SwitchConfig(tunnel_port=port)


def gone(text: str) -> tuple[Key, None]:
    return parse_key(text), None


def registry(*entries: tuple[Key, Value]) -> Registry:
    made = Registry()
    made.accept(made.stage(dict(entries)), 1)
    return made


def found(made: Registry, *entries: tuple[Key, Value | None]) -> tuple[Contradiction, ...]:
    with pytest.raises(Contradictory) as caught:
        made.stage(dict(entries))
    return caught.value.found


E = f"networks/100/endpoints/{MAC.hex(':')}"
A = f"networks/100/attachments/{D1}"
Entries = tuple[tuple[Key, Value], ...]
Wanted = tuple[tuple[Key, Value | None], ...]
CASES: dict[str, tuple[Entries, Wanted, str]] = {
    # what is there, what is written, what is reported: KEY MEMBER: MESSAGE, one a line
    "name": ((net(100, "a"),), (net(200, "a"),),
        "networks/200 name: 'a' already names a network in networks/100"),
    "name twice at once": ((), (net(200, "a"), net(100, "a"), net(300, "a")),
        """networks/100 name: 'a' already names a network in networks/200
        networks/300 name: 'a' already names a network in networks/200"""),
    "vtep is ours": ((switch(vtep=OURS),), (net(100, "", FOREIGN, OURS), behind(OURS)),
        f"""networks/100 vteps/1: 192.0.2.1 is our own switch's in switches/{D1}: leave it out
        {E} vtep: 192.0.2.1 is our own switch's in switches/{D1}: """
        "place the endpoint by switch and port"),
    "vtep becomes ours": ((net(100, "", FOREIGN, OURS), behind(OURS)), (switch(vtep=OURS),),
        f"""switches/{D1} vtep: 192.0.2.1 is a foreign VTEP in networks/100: change that first
        switches/{D1} vtep: 192.0.2.1 is a foreign VTEP in {E}: change that first"""),
    "vtep and switch at once": ((), (switch(vtep=OURS), net(100, "", OURS)),
        f"networks/100 vteps/0: 192.0.2.1 is our own switch's in switches/{D1}: leave it out"),
    "no network": ((), (att(1), at(1), gone("networks/100")),
        f"""{A}/1 : there is no network 100: create it first
        {E} : there is no network 100: create it first"""),
    "network deleted but for a part": ((net(), att(1), att(2)), (gone("networks/100"), att(1)),
        f"{A}/1 : the network that it belongs to is deleted in networks/100: delete it too"),
    "network deleted and a part made anew": ((net(), att(1)), (gone("networks/100"), att(1, 10)),
        f"{A}/1 : the network that it belongs to is deleted in networks/100: delete it too"),
    "network deleted and a part added": ((net(),), (behind(FOREIGN), gone("networks/100")),
        f"{E} : the network that it belongs to is deleted in networks/100: delete it too"),
    "attached": ((net(), net(200), att(1, 10)), (att(1, 10, 200),),
        f"networks/200/attachments/{D1}/1 vlan: already attached to network 100 in {A}/1"),
    "attached, untagged": ((net(), net(200), att(1)), (att(1, None, 200),),
        f"networks/200/attachments/{D1}/1 : already attached to network 100 in {A}/1"),
    "tunnel port by default": ((net(),), (att("vxlan0"),),
        f"{A}/vxlan0 : vxlan0 is a tunnel port of the switch in defaults: attach another"),
    "tunnel port": ((net(), switch(tunnel_port=7)), (att(7),),
        f"{A}/7 : 7 is a tunnel port of the switch in switches/{D1}: attach another"),
    "peer port": ((net(), switch(peer_ports={FOREIGN: "to9"})), (att("to9"),),
        f"{A}/to9 : to9 is a tunnel port of the switch in switches/{D1}: attach another"),
    "attached becomes the tunnel port": ((net(), att(7)), (switch(tunnel_port=7),),
        f"switches/{D1} tunnel_port: its tunnel port, 7, is attached in {A}/7: detach it first"),
    "attached becomes a peer port": ((net(), att(7)), (switch(peer_ports={FOREIGN: 7}),),
        f"switches/{D1} peer_ports/192.0.2.9: its tunnel port, 7, is attached "
        f"in {A}/7: detach it first"),
    "attached becomes the default": ((net(), att(7)), (default(7),),
        f"defaults tunnel_port: port 7 is attached in {A}/7: detach it first"),
    "default and switch at once": ((net(), att(7)), (default(7), switch()),
        f"switches/{D1} : its tunnel port by default, 7, is attached in {A}/7: detach it first"),
    "default holds again": ((net(), switch(tunnel_port=7), att("vxlan0")), (gone("switches/1"),),
        f"switches/{D1} : its tunnel port by default, vxlan0, is attached "
        f"in {A}/vxlan0: detach it first"),
    "attachment and default at once": ((net(),), (default(7), att(7)),
        f"{A}/7 : 7 is a tunnel port of the switch in defaults: attach another"),
    "no attachment": ((net(), att(1)), (at(2, 10),),
        f"{E} : not an attachment of network 100: attach switch {D1} port 2 VLAN 10 first"),
    "attachment deleted": ((net(), att(1), at(1)), (gone(f"{A}/1"),),
        f"{A}/1 : a static endpoint is placed there in {E}: move or delete it first"),
    "another VLAN": ((net(), att(1), at(1)), (att(1, 10),),
        f"{A}/1 vlan: a static endpoint is placed there in {E}: move or delete it first"),
    "another VLAN of the port's other name": ((net(), att("h1"), at(1)), (att("h1", 10),),
        f"{A}/h1 vlan: a static endpoint is placed there in {E}: move or delete it first"),
    "the last that may be it": ((net(), att("h1"), att("h2"), at(1)),
        (gone(f"{A}/h1"), gone(f"{A}/h2")),
        f"{A}/h1 : a static endpoint is placed there in {E}: move or delete it first"),
    "attachment deleted and endpoint moved": ((net(), att(1), at(1)), (gone(f"{A}/1"), at(2)),
        f"{E} : not an attachment of network 100: attach switch {D1} port 2 first"),
    "vtep of two switches": ((switch(1, vtep=OURS),), (switch(2, vtep=OURS),),
        f"switches/0000000000000002 vtep: already the address of the switch in switches/{D1}"),
    "its own peer": ((), (switch(vtep=OURS, peer_ports={OURS: 1}),),
        f"switches/{D1} peer_ports/192.0.2.1: the switch's own vtep is no peer: remove it"),
    "two kinds of tunnels": ((), (switch(tunnel_port=1, peer_ports={OURS: 2}),),
        f"switches/{D1} tunnel_port: a switch with peer_ports has none: remove either"),
    "two peers by one port": ((), (switch(peer_ports={OURS: 2, FOREIGN: 2}),),
        f"switches/{D1} peer_ports/192.0.2.9: port 2 already leads to a peer "
        f"in peer_ports/192.0.2.1"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_every_contradiction_is_reported_once_and_changes_nothing(name: str) -> None:
    there, written, expected = CASES[name]
    made = registry(*there)
    reported = [
        f"{c.key} {'/'.join(map(str, c.member))}: {c.message}" for c in found(made, *written)
    ]
    assert reported == [line.strip() for line in expected.splitlines()]
    assert made.config() == registry(*there).config()


FINE: dict[str, tuple[Entries, Wanted]] = {
    "a name passes on": ((net(100, "a"),), (net(200, "a"), net(100, "b"))),
    "two networks without a name": ((net(100),), (net(200),)),
    "a port moves": ((net(), net(200), att(1)), (att(1, None, 200), gone(f"{A}/1"))),
    "two VLANs of a port": ((net(), net(200), att(1)), (att(1, 10, 200),)),
    "an address passes on": ((switch(1, vtep=OURS),), (switch(2, vtep=OURS), switch(1))),
    "a foreign VTEP becomes ours": ((net(100, "", OURS),), (switch(vtep=OURS), net(100))),
    "the port's other name is left": ((net(), att(1), att("h1"), at(1)), (gone(f"{A}/1"),)),
    "an endpoint follows": ((net(), att(1), at(1)), (att(1, 10), at(1, 10))),
    "all at once, in any order": ((), (at(1), att(1), net())),
    "the default of others": ((net(), switch(tunnel_port=7)), (att("vxlan0"),)),
    "a network and all that belongs to it": ((net(), att(1), at(1)), (gone("networks/100"),)),
}


@pytest.mark.parametrize("name", FINE)
def test_what_contradicts_nothing(name: str) -> None:
    there, written = FINE[name]
    made = registry(*there)
    for entries in (written, tuple(reversed(written))):
        assert made.stage(dict(entries))


def test_a_contradiction_says_where_the_other_is_in_any_words() -> None:
    each = found(registry(switch(vtep=OURS)), net(100, "", OURS))[0]
    assert (each.other, each.other_member) == (SwitchKey(ONE), ("vtep",))
    assert each.said("at line 7") == "192.0.2.1 is our own switch's at line 7: leave it out"
    assert each.said("") == "192.0.2.1 is our own switch's: leave it out"


# --- changes -----------------------------------------------------------------------------------


def test_deleting_a_network_deletes_what_belongs_to_it() -> None:
    made = registry(net(), att(1), at(1), net(200))
    change = made.stage(dict([gone("networks/100")]))
    assert change.writes == {NetworkKey(VNI): None, att(1)[0]: None, at(1)[0]: None}
    assert change.before == dict([net(), att(1), at(1)])
    assert change.config == ConfigChange({VNI: None})
    made.accept(change, 2)
    assert (list(made.networks), list(made.keys(VNI))) == ([OTHER], [])
    assert made.revisions == {NetworkKey(OTHER): 1}
    assert made.revision == 2


NO_CHANGES: tuple[Writes, ...] = (
    {},
    dict([net(100, "a")]),
    dict([gone("networks/200"), gone("switches/9"), gone(f"networks/7/attachments/{D1}/1")]),
    {DefaultsKey(): DEFAULTS},
    {DefaultsKey(): None},
)


@pytest.mark.parametrize("writes", NO_CHANGES)
def test_what_is_there_already_is_no_change(writes: Writes) -> None:
    change = registry(net(100, "a")).stage(writes)
    assert not change
    assert change.config == ConfigChange()
    assert change.operations() == []


def test_revisions_are_those_of_the_last_change() -> None:
    made = registry(net(), att(1))
    made.accept(made.stage(dict([att(1, 10), net()])), 5)
    assert made.revisions == {NetworkKey(VNI): 1, att(1)[0]: 5}
    made.accept(made.stage(dict([default(9)])), 6)
    made.accept(made.stage({DefaultsKey(): None}), 7)
    assert (made.revisions[DefaultsKey()], made.defaults, made.revision) == (7, DEFAULTS, 7)


def test_what_is_accepted_leaves_nothing_that_was_only_tried_on() -> None:
    made = Registry()
    first = made.try_on(dict([net()]))
    made.try_on(dict([net(200)]))
    made.accept(first, 1)
    assert list(made.networks) == [VNI]
    made.take_back()
    assert list(made.networks) == [VNI]


def test_the_order_of_writes_shows_nowhere() -> None:
    parts = (net(), att("h1"), att(2), att(1), behind(FOREIGN))
    assert registry(*parts).config() == registry(*reversed(parts)).config()
    assert registry(*parts).networks[VNI].attachments == (
        Attachment(ONE, 1), Attachment(ONE, 2), Attachment(ONE, "h1"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (NetworkKey(OTHER), Network(VNI)),
        (NetworkKey(VNI), Network(VNI, attachments=(Attachment(ONE, 1),))),
        (AttachmentKey(VNI, ONE, 2), Attachment(ONE, 1)),
        (EndpointKey(VNI, Mac(b"\2" * 6)), StaticEndpoint(MAC, FOREIGN)),
        (SwitchKey(ONE), Network(VNI)),
    ],
)
def test_a_value_belongs_to_its_key(key: Key, value: Value) -> None:
    made = registry(net())
    with pytest.raises(TypeError, match="is not what"):
        made.try_on({**dict([net(300)]), key: value})
    assert made.config() == registry(net()).config()


def calls(work: Callable[[], object]) -> int:
    """How many functions of Python it takes."""
    count = 0

    def seen(_frame: FrameType, event: str, _arg: object) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(seen)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


CHANGES: dict[str, Writes] = {
    "network": dict([net(100, "b", FOREIGN)]),
    "attachment": dict([att(1, 10)]),
    "endpoint": dict([behind(FOREIGN)]),
    "switch": dict([switch(vtep=OURS, tunnel_port=9)]),
    "defaults": dict([default(9)]),
    "deleted": dict([gone("networks/100")]),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_costs_the_same_among_few_networks_and_among_many(name: str) -> None:
    costs = []
    for size in (3, 300):
        others = [
            each
            for n in range(1000, 1000 + size)
            for each in (net(n, f"n{n}"), att(f"p{n}", None, n), at(f"p{n}", None, n))
        ]
        made = registry(net(), att(1), *others)  # fmt: skip
        costs.append(calls(lambda made=made: made.stage(CHANGES[name])))  # type: ignore[misc]
    assert costs[0] == costs[1]


# --- what a store keeps ------------------------------------------------------------------------


def test_operations_are_canonical() -> None:
    change = registry(net(200)).stage(
        dict([net(100, "für", FOREIGN), att("h1", 10), at("h1", 10), gone("networks/200"),
              switch(vtep=OURS, peer_ports={FOREIGN: 7}), default("vxlan0")])
    )  # fmt: skip
    assert change.operations() == [
        ("networks/100", '{"name":"für","vteps":["192.0.2.9"]}'),
        (f"{A}/h1", '{"vlan":10}'),
        (E, f'{{"port":"h1","switch":"{D1}","vlan":10}}'),
        ("networks/200", None),
        (f"switches/{D1}", '{"peer_ports":{"192.0.2.9":7},"vtep":"192.0.2.1"}'),
    ]


@pytest.mark.parametrize(
    ("key", "text", "words"),
    [
        ("networks/100", "{", "networks/100 is not understood by this version: .*JSON"),
        ("networks/100", "[]", "networks/100"),
        ("networks/100", '{"mtu":9000}', "networks/100 .*: mtu: Extra"),
        ("networks/100", '{"ageing":-1}', "networks/100 .*: ageing: "),
        (E, "{}", "endpoints/02:00:00:00:00:01 .*say where"),
        ("networks/0x64", "{}", "networks/0x64 .*should be networks/100"),
        ("routers/1", "{}", "routers/1 .*no configured resource"),
        ("networks/16777216", "{}", "networks/16777216 .*24 bits"),
    ],
)
def test_what_this_version_does_not_understand(key: str, text: str, words: str) -> None:
    made = registry(net(7))
    with pytest.raises(NotUnderstood, match=words):
        made.restore({"networks/1": ("{}", 1), key: (text, 2)}, 2)
    assert made.config() == registry(net(7)).config()
    assert made.revision == 1


def test_a_restored_registry_knows_all_that_contradicts() -> None:
    stored = {text: (json_text, 3) for text, json_text in
              registry().stage(dict([net(100, "a"), att(1), at(1), switch(vtep=OURS)])).operations()
              if json_text is not None}  # fmt: skip
    made = Registry()
    made.restore(stored, 4)
    assert (made.revision, set(made.revisions.values())) == (4, {3})
    assert len(found(made, net(200, "a", OURS), gone(f"{A}/1"))) == 3
    assert made.config() == Config(
        {VNI: Network(VNI, "a", attachments=(Attachment(ONE, 1),),
                      endpoints=(StaticEndpoint(MAC, Attachment(ONE, 1)),))},
        {ONE: SwitchConfig(OURS)}, DEFAULTS,
    )  # fmt: skip
    assert all(json.loads(text) is not None for text, _ in stored.values())


# --- the configuration file has the same rules ---------------------------------------------------


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(text, "x")
    return [f"{p.line}: {p.message}" for p in caught.value.problems]


def test_a_file_names_the_line_of_the_very_member() -> None:
    text = (
        "networks:\n- vni: 1\n  name: a\n- vni: 2\n  name: a\n  vteps: [192.0.2.8, 192.0.2.1]\n"
        "switches:\n- dpid: 1\n  vtep:\n    192.0.2.1\n"
    )
    assert problems(text) == [
        "5: 'a' already names a network at line 3",
        "6: 192.0.2.1 is our own switch's at line 10: leave it out",
    ]


@pytest.mark.parametrize(
    "unclear",
    [
        "defaults: {tunnel_port: 0}",
        "switches: [{dpid: 1, tunnel_port: 0}]",
        "switches: [{dpid: x, tunnel_port: 7}]",
        "switches: 7",
    ],
)
def test_no_default_is_held_against_what_could_not_be_understood(unclear: str) -> None:
    text = f"networks: [{{vni: 1, attachments: [{{switch: 1, port: vxlan0}}]}}]\n{unclear}"
    assert [line[:2] for line in problems(text)] == ["2:"]


def test_what_stands_twice_is_compared_as_one() -> None:
    text = (
        "networks:\n- {vni: 1, attachments: [{switch: 1, port: 1}]}\n"
        "- {vni: 1, endpoints: [{mac: '02:00:00:00:00:01', switch: 1, port: 1}]}\n"
    )
    assert problems(text) == ["3: VNI 1 is already in use at line 2"]
