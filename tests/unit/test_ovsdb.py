from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.model import Dpid, VtepAddress
from controller.ovsdb import replica
from controller.ovsdb.inventory import COLUMNS, Inventory, Tables, inventory, is_settled
from controller.ovsdb.remote import Remote, parse_remote

DPID = Dpid(0xAB)
FLOW = {"remote_ip": "flow", "key": "flow"}


def ovs_map(values: dict[str, str]) -> list[object]:
    return ["map", [[key, value] for key, value in values.items()]]


def ovs_set(kind: str, names: list[str]) -> object:
    """A set as the server writes it: bare where it has a single member."""
    members = [[kind, name] if kind == "uuid" else name for name in names]
    return members[0] if len(members) == 1 else ["set", members]


def tables(
    ports: dict[str, dict[str, str]],
    *,
    kind: str = "vxlan",
    bridge: object = "00000000000000ab",
    **host: dict[str, str],
) -> Tables:
    """A database of one bridge, with these interfaces and their options."""
    return {
        "Open_vSwitch": {"o": {column: ovs_map(values) for column, values in host.items()}},
        "Bridge": {
            "b": {
                "datapath_id": bridge,
                "ports": ovs_set("uuid", [f"port-{name}" for name in ports]),
            }
        },
        "Port": {f"port-{name}": {"interfaces": ["uuid", f"if-{name}"]} for name in ports},
        "Interface": {
            f"if-{name}": {"name": name, "type": kind, "options": ovs_map(options)}
            for name, options in ports.items()
        },
    }


def peers(*pairs: tuple[str, str]) -> tuple[tuple[VtepAddress, str], ...]:
    return tuple((VtepAddress(address), port) for address, port in pairs)


def test_flow_based_ports_come_in_name_order() -> None:
    found = inventory(tables({"vx6": FLOW, "vx4": FLOW, "eth1": {}}), DPID)
    assert found == Inventory(tunnel_ports=("vx4", "vx6"))


def test_one_port_per_peer() -> None:
    ports = {
        "to-b": {"remote_ip": "192.0.2.2", "key": "flow"},
        "to-a": {"remote_ip": "2001:DB8::0:1", "key": "flow"},
    }
    found = inventory(tables(ports), DPID)
    assert found == Inventory(peer_ports=peers(("192.0.2.2", "to-b"), ("2001:db8::1", "to-a")))


def test_of_two_ports_to_one_peer_the_first_by_name_counts() -> None:
    to_peer = {"remote_ip": "192.0.2.2", "key": "flow"}
    found = inventory(tables({"b": to_peer, "a": to_peer}), DPID)
    assert found == Inventory(peer_ports=peers(("192.0.2.2", "a")))


@pytest.mark.parametrize(
    "options",
    [
        {"remote_ip": "flow"},
        {"remote_ip": "flow", "key": "7"},
        {"remote_ip": "flow", "key": "flow", "out_key": "7"},
        {"remote_ip": "flow", "in_key": "flow"},
        {"remote_ip": "192.0.2.2", "key": "7"},
        {"remote_ip": "224.0.0.7", "key": "flow"},
        {"remote_ip": "192.0.2", "key": "flow"},
        {"remote_ip": "", "key": "flow"},
        {"key": "flow"},
        {},
    ],
)
def test_ports_that_are_of_no_use(options: dict[str, str]) -> None:
    assert inventory(tables({"vx": options}), DPID) == Inventory()


def test_keys_of_both_directions_are_as_good_as_one() -> None:
    options = {"remote_ip": "flow", "in_key": "flow", "out_key": "flow"}
    assert inventory(tables({"vx": options}), DPID) == Inventory(tunnel_ports=("vx",))


def test_other_encapsulations_are_not_vxlan() -> None:
    assert inventory(tables({"gnv": FLOW}, kind="geneve"), DPID) == Inventory()


def test_ports_of_other_bridges_are_not_ours() -> None:
    ours, theirs = tables({"vx": FLOW}), tables({"other": FLOW}, bridge="00000000000000ac")
    both = {name: {**ours[name], **{f"2{k}": v for k, v in theirs[name].items()}} for name in ours}
    assert inventory(both, DPID) == Inventory(tunnel_ports=("vx",))


@pytest.mark.parametrize("bridge", ["00000000000000ac", "ab", "", ["set", []], None])
def test_no_such_bridge(bridge: object) -> None:
    assert inventory(tables({"vx": FLOW}, bridge=bridge), DPID) is None
    assert inventory({}, DPID) is None


def test_a_bridge_without_a_datapath_id_may_still_become_ours() -> None:
    assert is_settled({})
    assert is_settled(tables({"vx": FLOW}))
    assert not is_settled(tables({"vx": FLOW}, bridge=["set", []]))


@pytest.mark.parametrize(
    ("local_ip", "host", "vtep"),
    [
        ("192.0.2.1", {"other_config": {"local_ip": "192.0.2.9"}}, "192.0.2.1"),
        ("2001:DB8::1", {}, "2001:db8::1"),
        ("flow", {"other_config": {"local_ip": "192.0.2.9"}}, "192.0.2.9"),
        (None, {"other_config": {"local_ip": "192.0.2.9"}}, "192.0.2.9"),
        (None, {"other_config": {"local_ip": "here"}}, None),
        (None, {"external_ids": {"ovn-encap-ip": "192.0.2.8"}}, "192.0.2.8"),
        (None, {"external_ids": {"ovn-encap-ip": "192.0.2.7, 192.0.2.8"}}, "192.0.2.7"),
        (
            None,
            {
                "external_ids": {
                    "ovn-encap-ip": "192.0.2.7,192.0.2.8",
                    "ovn-encap-ip-default": "192.0.2.8",
                }
            },
            "192.0.2.8",
        ),
        (
            None,
            {
                "external_ids": {"ovn-encap-ip": "192.0.2.8"},
                "other_config": {"local_ip": "192.0.2.9"},
            },
            "192.0.2.9",
        ),
        (None, {}, None),
    ],
)
def test_own_address(local_ip: str | None, host: dict[str, Any], vtep: str | None) -> None:
    options = FLOW | ({"local_ip": local_ip} if local_ip else {})
    found = inventory(tables({"vx": options}, **host), DPID)
    assert found
    assert found.vtep == vtep


def test_own_address_of_a_switch_with_one_port_per_peer() -> None:
    options = {"remote_ip": "192.0.2.2", "local_ip": "192.0.2.1", "key": "flow"}
    found = inventory(tables({"a": options}), DPID)
    assert found == Inventory(peer_ports=peers(("192.0.2.2", "a")), vtep=VtepAddress("192.0.2.1"))


# However slow the machine is, the outcome is the same.
untimed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

NAMES = st.sampled_from(["b", "p", "i", "00000000000000ab", "flow", "vxlan", "key", "remote_ip"])
VALUES: st.SearchStrategy[object] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | NAMES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(st.sampled_from(["set", "map", "uuid"]), inner).map(list)
        | st.dictionaries(NAMES | st.text(), inner, max_size=4)
    ),
    max_leaves=8,
)
ROWS = st.sampled_from(
    [
        {"datapath_id": "00000000000000ab", "ports": ["uuid", "p"]},
        {"interfaces": ["uuid", "i"]},
        {"name": "vx", "type": "vxlan", "options": ovs_map(FLOW)},
    ]
) | st.dictionaries(st.sampled_from([c for names in COLUMNS.values() for c in names]), VALUES)


@untimed
@given(
    st.dictionaries(
        st.sampled_from(list(COLUMNS)),
        VALUES | st.dictionaries(NAMES, VALUES | st.fixed_dictionaries({"new": ROWS})),
    )
)
def test_no_rows_ever_raise(update: dict[str, object]) -> None:
    copy: dict[str, dict[str, Any]] = {table: {} for table in COLUMNS}
    replica.apply(copy, update)
    inventory(copy, DPID)
    is_settled(copy)


@untimed
@given(VALUES)
def test_no_update_ever_raises(update: object) -> None:
    assert not replica.apply({}, update)


def test_updates_insert_replace_and_delete_rows() -> None:
    copy: dict[str, dict[str, Any]] = {"Port": {}}
    assert replica.apply(copy, {"Port": {"p": {"new": {"interfaces": "a"}}}, "Other": {}})
    assert replica.apply(copy, {"Port": {"p": {"old": {}, "new": {"interfaces": "b"}}}})
    assert copy == {"Port": {"p": {"interfaces": "b"}}}
    assert replica.apply(copy, {"Port": {"p": {"old": {"interfaces": "b"}}}})
    assert copy == {"Port": {}}
    assert not replica.apply(copy, {})


MESSAGES = st.lists(st.dictionaries(st.text(max_size=3), VALUES, max_size=3), max_size=5)


@untimed
@given(MESSAGES, st.sampled_from(["", "\n", " "]), st.lists(st.integers(1, 20), min_size=1))
def test_messages_are_found_however_the_stream_is_cut(
    messages: list[dict[str, object]], between: str, sizes: list[int]
) -> None:
    stream = "".join(
        json.dumps(message, ensure_ascii=index % 2 == 0) + between
        for index, message in enumerate(messages)
    ).encode()
    expected = [json.loads(json.dumps(message)) for message in messages]
    got: list[object] = []
    left, position, turn = b"", 0, 0
    while position < len(stream):
        size = sizes[turn % len(sizes)]
        found, left = replica.split(left + stream[position : position + size])
        got += found
        position, turn = position + size, turn + 1
    assert got == expected
    assert left.strip() == b""


@pytest.mark.parametrize(
    ("text", "address", "shown"),
    [
        ("tcp:192.0.2.1:6640", ("192.0.2.1", 6640), "tcp:192.0.2.1:6640"),
        ("tcp:switch.example:6640", ("switch.example", 6640), "tcp:switch.example:6640"),
        ("tcp:[2001:db8::1]:6640", ("2001:db8::1", 6640), "tcp:[2001:db8::1]:6640"),
        ("tcp:2001:db8::1:6640", ("2001:db8::1", 6640), "tcp:[2001:db8::1]:6640"),
        ("unix:/var/run/db.sock", "/var/run/db.sock", "unix:/var/run/db.sock"),
    ],
)
def test_remotes(text: str, address: tuple[str, int] | str, shown: str) -> None:
    assert parse_remote(text) == Remote(address)
    assert str(parse_remote(text)) == shown


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tcp",
        "tcp:",
        "tcp:host",
        "tcp::6640",
        "tcp:host:0",
        "tcp:host:65536",
        "tcp:host:x",
        "unix:",
        "unix:a\0b",
        "ssl:host:6640",
        "ptcp:6640",
        "host:6640",
    ],
)
def test_bad_remotes(text: str) -> None:
    with pytest.raises(ValueError, match="write tcp:HOST:PORT or unix:PATH"):
        parse_remote(text)


Server = Callable[[Callable[[socket.socket], None]], Remote]


@pytest.fixture
def server() -> Iterator[Server]:
    """Starts a server that treats its one client in the given way."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threads: list[threading.Thread] = []

        def start(treat: Callable[[socket.socket], None]) -> Remote:
            def serve() -> None:
                connection, _ = listener.accept()
                with connection:
                    treat(connection)

            threads.append(threading.Thread(target=serve))
            threads[0].start()
            return Remote(("127.0.0.1", listener.getsockname()[1]))

        yield start
        for thread in threads:
            thread.join()


def drain(connection: socket.socket) -> None:
    while connection.recv(4096):
        pass


def answer(update: object, then: bytes = b"") -> Callable[[socket.socket], None]:
    def treat(connection: socket.socket) -> None:
        connection.recv(4096)
        reply = {"id": "monitor", "result": update, "error": None}
        connection.sendall(json.dumps(reply).encode() + then)
        connection.shutdown(socket.SHUT_WR)
        drain(connection)

    return treat


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        remote = Remote(("127.0.0.1", listener.getsockname()[1]))
    with pytest.raises(ConnectionRefusedError):
        next(replica.follow(remote))
    with pytest.raises(FileNotFoundError):
        next(replica.follow(Remote("/nowhere")))


def test_a_server_that_never_answers_is_probed_and_given_up(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[bytes] = []

    def treat(connection: socket.socket) -> None:
        while data := connection.recv(4096):
            heard.append(data)

    monkeypatch.setattr(replica, "PROBE_INTERVAL", 0.1)
    with pytest.raises(TimeoutError):
        next(replica.follow(server(treat)))
    assert [json.loads(data)["method"] for data in heard] == ["monitor", "echo"]


def test_a_server_that_speaks_something_else(server: Server) -> None:
    def treat(connection: socket.socket) -> None:
        connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
        drain(connection)

    with pytest.raises(ValueError, match="not JSON-RPC"):
        next(replica.follow(server(treat)))


def test_a_server_of_another_database(server: Server) -> None:
    def treat(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b'{"id":"monitor","result":null,"error":"unknown database"}')
        drain(connection)

    with pytest.raises(ValueError, match="unknown database"):
        next(replica.follow(server(treat)))


def test_an_endless_message_is_cut_short(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def treat(connection: socket.socket) -> None:
        connection.sendall(b'{"' + b"x" * 1000)
        drain(connection)

    monkeypatch.setattr(replica, "MAX_MESSAGE", 999)
    with pytest.raises(ValueError, match="more than 999 bytes"):
        next(replica.follow(server(treat)))


def test_probes_of_the_server_are_answered(server: Server) -> None:
    heard: list[bytes] = []

    def treat(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b'{"id":"echo","method":"echo","params":[1]}')
        heard.append(connection.recv(4096))

    with pytest.raises(ConnectionResetError):
        next(replica.follow(server(treat)))
    assert json.loads(heard[0]) == {"id": "echo", "result": [1], "error": None}


def test_a_reply_and_its_updates(server: Server) -> None:
    update: dict[str, object] = {
        "method": "update",
        "params": [None, {"Port": {"p": {"old": {}}}}],
        "id": None,
    }
    treat = answer({"Port": {"p": {"new": {}}, "q": {"new": {}}}}, json.dumps(update).encode())
    with closing(replica.follow(server(treat))) as states:
        while "p" in next(states)["Port"]:
            pass
        with pytest.raises(ConnectionResetError):
            next(states)
