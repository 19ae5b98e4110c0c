from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from controller.model import Dpid, VtepAddress
from controller.ovsdb.provision import COLUMNS, prepare, server
from controller.ovsdb.readiness import (
    Bridge,
    Change,
    Controller,
    Interface,
    ProvisionError,
    State,
    Tunnel,
    Verb,
    Wanted,
    controller_target,
    notes,
    plan,
    wanted_target,
)

A, B, C = (f"tcp:192.0.2.{n}:6653" for n in (101, 102, 103))
FLOW = {"remote_ip": "flow", "key": "flow"}
VXLAN = Interface("br-int", "vxlan0", "vxlan", FLOW)


def controller(target: str, **values: Any) -> Controller:
    """A row that says what Weft wants of it."""
    usual = Controller(f"uuid-{target}", target, 1000, 10_000, "out-of-band")
    return replace(usual, **values)


def state(*controllers: Controller, **interfaces: Interface) -> State:
    """A switch that is ready, with these controllers and further interfaces."""
    bridge = Bridge(
        "secure", "netdev", frozenset({"OpenFlow13", "OpenFlow14"}), controllers=controllers
    )
    return State({"br-int": bridge}, {"vxlan0": VXLAN, **interfaces})


def sentences(changes: list[Change]) -> list[str]:
    return [change.sentence for change in changes]


def altered(now: State, **values: Any) -> State:
    """The same with other values of br-int."""
    return replace(now, bridges={**now.bridges, "br-int": replace(now.bridges["br-int"], **values)})


def test_nothing_to_do() -> None:
    assert plan(state(), Wanted()) == []
    assert plan(state(controller(A)), Wanted(controllers=(A,))) == []
    own = VtepAddress("192.0.2.1")
    full = replace(
        altered(state(), other_config={"datapath-id": "00000000000000ab", "other": "x"}),
        other_config={"local_ip": own},
    )
    assert plan(full, Wanted(dpid=Dpid(0xAB), local_ip=own)) == []


def test_from_nothing() -> None:
    added = plan(State(), Wanted(controllers=(A,), dpid=Dpid(1)))
    assert [(change.verb, change.table, change.record) for change in added] == [
        (Verb.ADD, "Bridge", "br-int"),
        (Verb.ADD, "Interface", "vxlan0"),
        (Verb.ADD, "Controller", A),
    ]
    assert added[0].values == {
        "datapath_type": "system",
        "fail_mode": "secure",
        "protocols": ("OpenFlow13", "OpenFlow14"),
        "other_config": {"datapath-id": "0000000000000001"},
    }
    assert added[1].values == {"type": "vxlan", "options": FLOW}
    assert not any(change.flushes for change in added)  # there is nothing to flush


def test_a_bridge_is_made_of_the_type_of_the_others() -> None:
    netdev, system = Bridge(datapath_type="netdev"), Bridge()

    def made(bridges: dict[str, Bridge], kind: str | None = None) -> object:
        return plan(State(bridges), Wanted(datapath_type=kind))[0].values["datapath_type"]

    assert made({"a": netdev, "b": netdev}) == "netdev"
    assert made({"a": netdev, "b": system}) == "system"
    assert made({"a": system}, "netdev") == "netdev"


def test_a_bridge_cannot_be_named_as_a_port() -> None:
    for port in (Interface("br0", "br-int"), Interface("br0", "bond", "system")):
        name = "br-int" if port.port == "br-int" else "eth1"
        bond = replace(port, port="br-int")
        with pytest.raises(ProvisionError, match="there is a port named br-int"):
            plan(State({"br0": Bridge()}, {name: bond}), Wanted())


def test_protocols_are_added_to_those_there_are() -> None:
    def after(*protocols: str) -> list[str]:
        return sentences(plan(altered(state(), protocols=frozenset(protocols)), Wanted()))

    who = "bridge br-int: protocols"
    assert after() == [f"{who} unset -> OpenFlow13,OpenFlow14"]
    assert after("OpenFlow10", "OpenFlow13") == [
        f"{who} OpenFlow10,OpenFlow13 -> OpenFlow10,OpenFlow13,OpenFlow14"
    ]
    assert after("OpenFlow13", "OpenFlow14", "OpenFlow15") == []


def test_settings_of_a_bridge() -> None:
    now = altered(state(), fail_mode="standalone", other_config={"datapath-id": "0" * 16})
    changes = plan(now, Wanted(dpid=Dpid(1), datapath_type="system"))
    assert sentences(changes) == [
        "bridge br-int: datapath_type netdev -> system; all flows are flushed",
        "bridge br-int: fail_mode standalone -> secure; all flows are flushed",
        "bridge br-int: other_config:datapath-id 0000000000000000 -> 0000000000000001",
    ]
    assert [change.flushes for change in changes] == [True, True, False]
    (change,) = plan(altered(state(controller(A)), fail_mode=None), Wanted())
    assert change.sentence == "bridge br-int: fail_mode unset -> secure"
    assert not change.flushes


@pytest.mark.parametrize("name", ["", "a" * 16, "a b", "a/b"])
def test_bad_names(name: str) -> None:
    for wanted in (Wanted(bridge=name), Wanted(tunnels=(Tunnel(name),))):
        with pytest.raises(ProvisionError, match="no name of a bridge or port"):
            plan(state(), wanted)


# Tunnel ports


def tunnel(options: dict[str, str], wanted: Tunnel, **others: Interface) -> list[str]:
    now = state(vxlan0=replace(VXLAN, options=options), **others)
    return sentences(plan(now, Wanted(tunnels=(wanted,))))


def test_options_of_a_tunnel_port() -> None:
    own, new = VtepAddress("2001:db8::1"), VtepAddress("2001:db8::2")
    split = {"remote_ip": "flow", "in_key": "flow", "out_key": "flow"}
    assert tunnel(split, Tunnel()) == []
    assert tunnel(FLOW | {"dst_port": "4790", "local_ip": own}, Tunnel()) == []
    assert tunnel(FLOW, Tunnel(dst_port=4789)) == []
    assert tunnel(FLOW | {"local_ip": "2001:DB8::0:1"}, Tunnel(local_ip=own)) == []
    assert tunnel(FLOW | {"local_ip": own}, Tunnel(local_ip=new, dst_port=4790)) == [
        f"port vxlan0: options:local_ip {own} -> {new}",
        "port vxlan0: options:dst_port unset -> 4790",
    ]


@pytest.mark.parametrize("port", [0, 65536])
def test_a_bad_udp_port(port: int) -> None:
    with pytest.raises(ProvisionError, match="out of range"):
        tunnel(FLOW, Tunnel(dst_port=port))


@pytest.mark.parametrize(
    ("interface", "what"),
    [
        (Interface("br-int", "vxlan0"), "it is of type system"),
        (Interface("br-int", "vxlan0", "geneve", FLOW), "of type geneve"),
        (Interface("br-int", "vxlan0", "vxlan"), "a vxlan port with no options"),
        (Interface("br-int", "vxlan0", "vxlan", FLOW | {"in_key": "7"}), "in_key=7"),
        (Interface("br-int", "vxlan0", "vxlan", {"remote_ip": "flow"}), "remote_ip=flow"),
        (Interface("br-int", "bond", "vxlan", FLOW), "a bond, or part of one"),
        (Interface("br0", "vxlan0", "vxlan", FLOW), "on bridge br0"),
    ],
)
def test_another_port_of_that_name(interface: Interface, what: str) -> None:
    now = replace(state(vxlan0=interface), bridges={**state().bridges, "br0": Bridge()})
    with pytest.raises(ProvisionError, match=rf"vxlan0 is there .* {what}, not .* del-port vxlan0"):
        plan(now, Wanted())


def test_a_bond_of_that_name() -> None:
    now = State(state().bridges, {"eth1": Interface("br-int", "vxlan0")})
    with pytest.raises(ProvisionError, match="a bond, or part of one"):
        plan(now, Wanted())


def test_a_port_just_like_the_one_to_be_made() -> None:
    own = VtepAddress("192.0.2.1")
    twin = state(vx=replace(VXLAN, port="vx", options=FLOW | {"local_ip": own}))
    assert plan(twin, Wanted()) == []
    with pytest.raises(ProvisionError, match="just like port vx of bridge br-int"):
        plan(twin, Wanted(tunnels=(Tunnel("vxlan1", local_ip=own),)))
    with pytest.raises(ProvisionError, match="just like port vx of bridge br-int"):
        plan(twin, Wanted(tunnels=(Tunnel("vxlan0", local_ip=own),)))
    assert plan(twin, Wanted(tunnels=(Tunnel("vxlan1", local_ip=own, dst_port=4790),)))
    with pytest.raises(ProvisionError, match="just like port b of bridge br-int"):
        plan(twin, Wanted(tunnels=(Tunnel("b", dst_port=1), Tunnel("c", dst_port=1))))


@pytest.mark.parametrize(("kind", "clash"), [("netdev", True), ("system", False)])
def test_a_port_just_like_it_on_another_bridge(kind: str, clash: bool) -> None:
    now = State(
        {"br-int": state().bridges["br-int"], "br0": Bridge(datapath_type=kind)},
        {"vx": Interface("br0", "vx", "vxlan", FLOW)},
    )
    if clash:
        with pytest.raises(ProvisionError, match=r"of bridge br0.*a local_ip or dst_port"):
            plan(now, Wanted())
    else:
        assert len(plan(now, Wanted())) == 1


# Controllers


def test_the_first_controller_flushes_the_flows_of_a_bridge_that_is_there() -> None:
    changes = plan(state(), Wanted(controllers=(A, B, A)))
    assert [(change.record, change.flushes) for change in changes] == [(A, True), (B, False)]
    listening = controller("ptcp:6653", primary=False)
    (change,) = plan(state(listening), Wanted(controllers=(A,)))
    assert (change.verb, change.flushes) == (Verb.ADD, True)
    assert change.sentence.endswith("as it is the first, all flows are flushed")


def test_settings_of_a_controller() -> None:
    now = state(controller(A, max_backoff=None, inactivity_probe=0, connection_mode="in-band"))
    changes = plan(now, Wanted(controllers=(A,)))
    assert sentences(changes) == [
        f"controller {A}: max_backoff unset -> 1000",
        f"controller {A}: inactivity_probe 0 -> 10000",
        f"controller {A}: connection_mode in-band -> out-of-band",
    ]
    assert {change.record for change in changes} == {f"uuid-{A}"}
    assert len(plan(now, Wanted(controllers=(A,), connection_mode=None))) == 2


def test_the_same_target_written_otherwise() -> None:
    short = A.removesuffix(":6653")
    assert plan(state(controller(short)), Wanted(controllers=(A,))) == []
    assert plan(state(controller(A)), Wanted(controllers=(short,))) == []


def test_another_controller() -> None:
    theirs = state(controller(B))
    assert plan(theirs, Wanted()) == []
    with pytest.raises(ProvisionError, match=f"follows another controller, {B}"):
        plan(theirs, Wanted(controllers=(A,)))
    (change,) = plan(theirs, Wanted(controllers=(A,), replace_controller=True))
    assert (change.verb, change.record, change.values) == (Verb.SET, f"uuid-{B}", {"target": A})
    assert not change.flushes


def test_another_controller_beside_ours_stays_unless_it_is_to_go() -> None:
    both = state(controller(A), controller(C))
    wanted = Wanted(controllers=(A,))
    assert plan(both, wanted) == []
    assert notes(both, wanted) == [f"bridge br-int: follows {C} too, which is left so"]
    (change,) = plan(both, replace(wanted, replace_controller=True))
    assert (change.verb, change.record, change.flushes) == (Verb.REMOVE, f"uuid-{C}", False)
    assert notes(both, replace(wanted, replace_controller=True)) == []
    # Beside one of ours another of ours is added; nothing is refused.
    assert sentences(plan(both, Wanted(controllers=(A, B))))[0].startswith(
        f"bridge br-int: controller {B} added ("
    )
    (change,) = plan(both, Wanted(controllers=(A, B), replace_controller=True))
    assert change.values == {"target": B}


def test_settings_of_a_controller_whose_target_changes() -> None:
    now = state(controller(B, max_backoff=8000))
    changes = plan(now, Wanted(controllers=(A,), replace_controller=True))
    assert sentences(changes) == [
        f"bridge br-int: controller {B} -> {A}; flows stay",
        f"controller {A}: max_backoff 8000 -> 1000",
    ]


def test_without_a_wanted_controller_others_are_no_note() -> None:
    assert notes(state(), Wanted()) == []
    assert notes(state(controller(A)), Wanted()) == []


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("192.0.2.1", "tcp:192.0.2.1:6653"),
        ("controller.example:6654", "tcp:controller.example:6654"),
        ("[2001:db8::1]", "tcp:[2001:db8::1]:6653"),
        ("ssl:192.0.2.1", "ssl:192.0.2.1:6653"),
    ],
)
def test_a_bare_host_is_a_controller(text: str, target: str) -> None:
    assert wanted_target(text) == target
    (*_, added) = plan(state(), Wanted(controllers=(text,)))
    assert added.values["target"] == target


@pytest.mark.parametrize("text", ["", "ptcp:6653", "unix:/run/x", "2001:db8::1", "a:0", "a b"])
def test_no_controller_is_asked_for(text: str) -> None:
    with pytest.raises(ValueError, match="is no controller"):
        wanted_target(text)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("tcp:192.0.2.1", "tcp:192.0.2.1:6653"),
        ("ssl:controller.example:6654", "ssl:controller.example:6654"),
        ("tcp:[2001:db8::1]", "tcp:[2001:db8::1]:6653"),
    ],
)
def test_targets(text: str, target: str) -> None:
    assert controller_target(text) == target
    assert controller_target(target) == target


@pytest.mark.parametrize(
    "text", ["", "ptcp:6653", "tcp:2001:db8::1", "tcp:a:0", "tcp:a:65536", "tcp:a:x"]
)
def test_bad_targets(text: str) -> None:
    with pytest.raises(ProvisionError, match="write HOST or tcp:HOST:PORT"):
        plan(state(), Wanted(controllers=(text,)))


# Servers


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("192.0.2.1", "tcp:192.0.2.1:6640"),
        ("switch.example:6641", "tcp:switch.example:6641"),
        ("tcp:switch.example", "tcp:switch.example:6640"),
        ("tcp:192.0.2.1:6641", "tcp:192.0.2.1:6641"),
        ("[2001:db8::1]", "tcp:[2001:db8::1]:6640"),
        ("tcp:[2001:db8::1]:6641", "tcp:[2001:db8::1]:6641"),
        ("unix:/run/db.sock", "unix:/run/db.sock"),
    ],
)
def test_servers(text: str, shown: str) -> None:
    assert str(server(text)) == shown


@pytest.mark.parametrize("text", ["", "2001:db8::1", "ssl:a:6640", "unix:", "a:0", "a:b"])
def test_bad_servers(text: str) -> None:
    with pytest.raises(ProvisionError, match="is not an OVSDB server: write"):
        server(text)


@contextmanager
def answering(reply: Callable[[object], object]) -> Iterator[str]:
    """A server that answers the first request of its one client, and no other."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                asked = json.loads(connection.recv(4096))
                connection.sendall(json.dumps(reply(asked["id"])).encode())
                while connection.recv(4096):
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"tcp:127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


def test_a_server_of_another_database() -> None:
    error = {"error": "unknown database", "result": None}
    with (
        answering(lambda id_: {"id": id_, **error}) as address,
        pytest.raises(ProvisionError, match=r"no Open_vSwitch database.*Is it the switch's"),
    ):
        prepare(address)


def test_a_server_of_something_else() -> None:
    with (
        answering(lambda _: ["SSH"]) as address,
        pytest.raises(ProvisionError, match="this is not JSON-RPC"),
    ):
        prepare(address)


def test_a_server_that_says_nothing_of_its_rows() -> None:
    tables = {
        table: {"columns": {column: {"type": "string"} for column in columns}}
        for table, columns in COLUMNS.items()
    }
    schema = {"name": "Open_vSwitch", "version": "8.0.0", "tables": tables}
    with (
        answering(lambda id_: {"id": id_, "result": schema, "error": None}) as address,
        pytest.raises(ProvisionError, match="does not say what it has: try again"),
    ):
        prepare(address, timeout=0.2)


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ProvisionError, match=r"does not answer: .*refused.*set-manager ptcp:6640"):
        prepare(f"127.0.0.1:{port}")
