"""What strangers may send: to the OpenFlow port, from a host, out of a tunnel.

All tests share one controller and two switches, which none of them may harm: after each, the
switches are still connected, frames still flow, and an address never seen before is learned.
"""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.lab import CONTROLLER_ADDRESS, OPENFLOW_PORT, Controller, Host, Lab, wait_until

pytestmark = pytest.mark.ovs

BROADCAST = "ff:ff:ff:ff:ff:ff"
CONFIG = """
networks:
  - vni: 100
    attachments:
      - {switch: 1, port: h1}
      - {switch: 2, port: h2}
switches:
  - {dpid: 1, vtep: 192.0.2.1}
  - {dpid: 2, vtep: 192.0.2.2}
"""


class Scene:
    """The lab, its controller, and one host at each switch."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.controller: Controller = lab.controller(CONFIG)
        lab.add_vteps(1, 2)
        self.h1: Host = lab.host("h1", 1, "10.0.0.1/24")
        self.h2: Host = lab.host("h2", 2, "10.0.0.2/24")
        self.controller.wait_status(self._programmed, "both switches are programmed")
        assert self.h1.ping("10.0.0.2").received == 1
        self.controller.wait_status(
            lambda s: len(s["networks"][0]["endpoints"]) == 2 and self._programmed(s),
            "both hosts are known",
        )

    @staticmethod
    def _programmed(status: dict[str, Any]) -> bool:
        switches = [status["switches"].get(f"{n:016x}", {}) for n in (1, 2)]
        return all(
            s.get("synced") and s["applied"] == s["wanted"] and len(s["ports"]) == 3
            for s in switches
        )

    def known(self, status: dict[str, Any] | None = None) -> set[str]:
        """The addresses that are known."""
        endpoints = (status or self.controller.status())["networks"][0]["endpoints"]
        return {endpoint["mac"] for endpoint in endpoints}

    def packet_ins(self) -> dict[str, int]:
        switches = self.controller.status()["switches"]
        return {name: switch["packet_ins"] for name, switch in switches.items()}

    def connections(self) -> int:
        """How often one of our two switches has connected."""
        text = self.controller.log_text()
        return sum(text.count(f"switch {n:016x} connected") for n in (1, 2))

    def learn_somebody(self, *hosts: Host, timeout: float = 5) -> None:
        """A frame of a new address at each host: learned, and with it all that came before."""
        new = {self.lab.new_mac(): host for host in hosts or (self.h1, self.h2)}
        for mac, host in new.items():
            host.send_frames(BROADCAST, mac)
        self.controller.wait_status(
            lambda s: new.keys() <= self.known(s), f"{[*new]} are learned", timeout
        )

    def restart(self) -> None:
        """Another controller, which the other tests need."""
        self.controller.kill9()
        self.controller.start()
        self.controller.wait_status(self._programmed, "both switches are programmed")


@pytest.fixture(scope="module")
def shared() -> Iterator[Scene]:
    """...through which frames go all the time, and none is lost."""
    with Lab() as lab:
        shared = Scene(lab)
        counter = shared.h2.count_frames(stream=7)
        sender = shared.h1.start_frames(shared.h2.mac, rate=200, stream=7)
        yield shared
        sent = sender.stop()
        got = counter.stop()
        # The sender may be stopped before it has counted its last frame.
        assert got.lost(sent) <= 0
        assert got.ranges == ((0, got.frames - 1),)


@pytest.fixture
def scene(shared: Scene) -> Iterator[Scene]:
    """The shared scene, which is to be unharmed afterwards. If not, other tests are spared."""
    start = len(shared.controller.log_text())
    connections = shared.connections()
    yield shared
    try:
        shared.learn_somebody(timeout=2)
    except (RuntimeError, TimeoutError):
        shared.restart()
        raise
    assert shared.connections() == connections
    said = shared.controller.log_text()[start:]
    # os-ken prints a traceback for a message that it cannot parse; nothing of ours may.
    ours = re.findall(r'File ".*/controller/[^"]*", line .*', said)
    assert not [line for line in ours if "/os_ken/" not in line], said


# --- switches ----------------------------------------------------------------------------


def test_a_switch_of_no_supported_version_is_refused(scene: Scene) -> None:
    (old,) = scene.lab.add_vteps(3, protocols=["OpenFlow10"])
    log = scene.controller.log_text

    def refusal() -> list[str]:
        return [
            line
            for line in log().splitlines()
            if "version" in line and "0x1" in line and "198.51.100.3" in line
        ]

    assert wait_until(refusal, "the refusal is in the log")
    assert f"{3:016x}" not in scene.controller.status()["switches"]
    assert old.dump_flows() == []
    old.set_controller()


HELLO_13 = struct.pack("!BBHI", 4, 0, 8, 1)


def message(kind: int, body: bytes = b"", *, version: int = 4, length: int | None = None) -> bytes:
    """An OpenFlow message, with a length of its own if wanted."""
    return (
        struct.pack("!BBHI", version, kind, 8 + len(body) if length is None else length, 7) + body
    )


GARBAGE = {
    "nothing at all": b"",
    "half a header": HELLO_13[:5],
    "a web browser": b"GET / HTTP/1.1\r\nHost: weft\r\n\r\n",
    "TLS": bytes.fromhex("16030100a5010000a10303") + bytes(160),
    "zeros": bytes(4096),
    "all bits set": b"\xff" * 4096,
    "an unknown version": message(0, version=0x77),
    "a length of zero": message(0, length=0),
    "a length below the header's": message(0, length=7),
    "more length than bytes": message(0, length=0xFFFF),
    "a hello element beyond the message": message(0, bytes.fromhex("0001ffff") + bytes(4)),
    "a hello, and then garbage": HELLO_13 + b"\xde\xad\xbe\xef" * 64,
    "an unknown type": HELLO_13 + message(99, bytes(64)),
    "features before the hello": message(6, bytes(24)),
    "features that are cut short": HELLO_13 + message(6, bytes(3)),
    "an error without a type": HELLO_13 + message(1),
}


def connect() -> socket.socket:
    return socket.create_connection((CONTROLLER_ADDRESS, OPENFLOW_PORT), timeout=2)


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE.keys())
def test_garbage_on_the_openflow_port(scene: Scene, garbage: bytes) -> None:
    """Sent, and then the connection is closed from here; or the controller has had enough."""
    with connect() as stranger, contextlib.suppress(ConnectionError):
        stranger.sendall(garbage)
        with contextlib.suppress(OSError):  # closed already
            stranger.shutdown(socket.SHUT_WR)
        while stranger.recv(4096):
            pass


def test_connections_that_say_nothing_hold_nobody_up(scene: Scene) -> None:
    with contextlib.ExitStack() as stack:
        strangers = [stack.enter_context(connect()) for _ in range(50)]
        for stranger in strangers[:25]:
            stranger.sendall(HELLO_13[:3])
        scene.learn_somebody()
        # Some are torn down in mid-message.
        for stranger in strangers[:10]:
            stranger.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            stranger.close()
        scene.learn_somebody()


class FakeSwitch:
    """A switch that gets through the handshake (OpenFlow 1.3), and may say anything then."""

    def __init__(self, dpid: int) -> None:
        self._wire = connect()
        self._wire.sendall(HELLO_13)
        self._expect(5)  # features request
        self._wire.sendall(message(6, struct.pack("!QIBBHII", dpid, 0, 254, 0, 0, 0x4F, 0)))
        self._expect(18)  # port descriptions request
        self._wire.sendall(message(19, struct.pack("!HHI", 13, 0, 0)))
        self._expect(20)  # the barrier after the dump

    def say(self, raw: bytes) -> None:
        self._wire.sendall(raw)

    def close(self) -> None:
        self._wire.close()

    def _expect(self, wanted: int) -> None:
        kind = -1
        while kind != wanted:
            _, kind, length, _ = struct.unpack("!BBHI", self._read(8))
            self._read(length - 8)

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self._wire.recv(size - len(data))
            assert more, "the controller closed the connection"
            data += more
        return data


def packet_in(match: bytes, data: bytes, *, cookie: int = 0x7EF7 << 48 | 1) -> bytes:
    """A packet-in of table 11 (guard), with a match as given."""
    return message(10, struct.pack("!IHBBQ", 0xFFFFFFFF, len(data), 0, 11, cookie) + match + data)


IN_PORT_1 = bytes.fromhex("0001000c 80000004 00000001 00000000")
MALFORMED = {
    "a packet-in without a body": message(10),
    "a packet-in without a match": packet_in(b"", b""),
    "a packet-in without a frame": packet_in(IN_PORT_1, b""),
    "a packet-in with three bytes": packet_in(IN_PORT_1, bytes(5)),
    "a match longer than its message": packet_in(bytes.fromhex("0001ffff") + bytes(12), bytes(60)),
    "a field of no length": packet_in(bytes.fromhex("00010008 80000000"), bytes(62)),
    "a field longer than its match": packet_in(bytes.fromhex("00010008 800000ff"), bytes(62)),
    "an unknown field": packet_in(bytes.fromhex("0001000c fffe0204 00000000 00000000"), bytes(62)),
    "a flow-removed without a body": message(11),
    "a port status without a port": message(12, bytes(8)),
    "a multipart reply without a type": message(19),
    "a multipart reply of no known type": message(19, bytes.fromhex("eeee0000 00000000")),
    "a barrier reply nobody asked for": message(21),
    "an experimenter's message": message(4, b"\xff" * 40),
}


@pytest.mark.parametrize("malformed", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_switch_that_sends_malformed_messages(scene: Scene, malformed: bytes) -> None:
    """It has got through the handshake; whatever comes then harms itself at most."""
    before = scene.known()
    with contextlib.closing(FakeSwitch(0xBAD)) as fake:
        fake.say(malformed)
        scene.learn_somebody(scene.h1)
    scene.controller.wait_status(
        lambda s: not s["switches"].get(f"{0xBAD:016x}", {"connected": False})["connected"],
        "it is gone",
    )
    assert len(scene.known()) == len(before) + 1


# --- frames ------------------------------------------------------------------------------


def mac_bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def arp(sender: bytes) -> bytes:
    return bytes.fromhex("0001080006040001") + sender + bytes.fromhex("0a000063") + bytes(10)


def solicitation(option: bytes) -> bytes:
    """An IPv6 neighbour solicitation with one option."""
    target = bytes.fromhex("fd000000000000000000000000000001")
    icmp = bytes.fromhex("8700000000000000") + target + option
    return bytes.fromhex("60000000") + struct.pack("!HBB", len(icmp), 58, 255) + target * 2 + icmp


ODD = {
    "nothing but a header": "88b5",
    "type 0": "0000" + "00" * 46,
    "type 0xffff": "ffff" + "ff" * 46,
    "IEEE 802.3 with a length of 3": "0003424203" + "00" * 43,
    "IEEE 802.3 with a length beyond the frame": "05dc" + "ff" * 20,
    "ARP without a body": "0806",
    "ARP cut short": "0806" + "0001080006",
    "ARP with absurd lengths": "0806" + "00010800ffff0001" + "00" * 20,
    "IPv4 without a body": "0800",
    "IPv4 with a header of no length": "0800" + "40" + "00" * 19,
    "IPv4 longer than the frame": "0800" + "4500ffff" + "00" * 16,
    "IPv6 without a body": "86dd",
    "IPv6 cut short": "86dd" + "60000000" + "0010",
    "a solicitation cut short": "86dd" + solicitation(b"")[:50].hex(),
    "an option of no length": "86dd" + solicitation(bytes.fromhex("0100") + bytes(6)).hex(),
    "an option beyond the frame": "86dd" + solicitation(bytes.fromhex("01ff") + bytes(6)).hex(),
    "the largest there is": "88b5" + "a5" * 1450,
    "a priority tag, and a frame": "8100000088b5" + "00" * 42,
}
"""Whatever is wrong with them, they come from somebody."""
OF_NO_NETWORK = {
    "an unknown VLAN": "8100001e0806" + "00" * 42,
    "two tags": "8100001e8100000a0806" + "00" * 42,
    "a provider's tag and an unknown VLAN": "88a8001e8100000a0806" + "00" * 42,
    "VLAN 4095": "8100ffff0806" + "00" * 42,
}


def test_malformed_frames_from_a_host(scene: Scene) -> None:
    source = {name: scene.lab.new_mac() for name in (*ODD, *OF_NO_NETWORK)}
    everybody = b"\xff" * 6
    for name, rest in (ODD | OF_NO_NETWORK).items():
        frame = everybody + mac_bytes(source[name]) + bytes.fromhex(rest)
        assert scene.h1.send_raw([frame]) == 1
    scene.learn_somebody()
    known = scene.known()
    assert {name for name in source if source[name] in known} == ODD.keys()


NOBODY = ("00:00:00:00:00:00", "01:00:00:00:00:01", "33:33:00:00:00:01", BROADCAST)


def test_nothing_is_learned_from_group_or_zero_addresses(scene: Scene) -> None:
    """They are forwarded all the same, and cost no packet-in."""
    scene.learn_somebody()
    known, packet_ins = scene.known(), scene.packet_ins()
    kernel = scene.lab.kernel_vtep(200, 100, "10.0.0.200/24", peers=[1, 2])
    counter = scene.h2.count_frames()
    for number, mac in enumerate(NOBODY):
        header = b"\xff" * 6 + mac_bytes(mac) + bytes.fromhex("88b5")
        for host, interface, first in ((scene.h1, "eth0", 0), (kernel, "vx100", 100)):
            numbered = struct.pack("!4sIQ", b"WEFT", 0, first + number) + bytes(30)
            assert host.send_raw([header + numbered], interface=interface) == 1
    got = counter.stop()
    assert got.ranges == ((0, 3), (100, 103))
    assert got.duplicated == 0
    scene.learn_somebody()
    assert scene.packet_ins() == {name: count + 1 for name, count in packet_ins.items()}
    status = scene.controller.status()
    assert known < scene.known(status)
    assert len(scene.known(status)) == len(known) + 2
    assert "192.0.2.200" not in {v["address"] for v in status["networks"][0]["vteps"]}


SEND_DATAGRAMS = """
import socket, sys
wire = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for line in sys.stdin:
    wire.sendto(bytes.fromhex(line), ("192.0.2.1", 4789))
"""


def test_malformed_packets_out_of_the_tunnel(scene: Scene) -> None:
    """VXLAN headers cut short, frames cut short, networks that nobody has."""
    stranger = scene.lab.kernel_vtep(201)
    ours, unknown = "08000000 00006400", "08000000 00f00f00"
    talker = mac_bytes(scene.lab.new_mac()).hex()
    frame = "ffffffffffff" + talker
    packets = [
        *("", "08", "0800000000", "0800000000006400"),
        *(f"{ours} ffff", f"{ours} ffffffffffff020000", f"{ours} {frame}", f"{ours} {frame} 08"),
        f"{unknown} {frame} 88b5" + "00" * 46,
        f"00000000 00006400 {frame} 88b5" + "00" * 46,  # the VNI is not valid, it says
        f"{ours} {frame} 8100001e 0806" + "00" * 46,  # tagged inside (RFC 7348 section 6.1)
        f"{ours} ffffffffffff 010000000001 88b5" + "00" * 46,
    ]
    stranger.run(sys.executable, "-I", "-c", SEND_DATAGRAMS, stdin="\n".join(packets) + "\n")
    scene.learn_somebody()
    address = bytes.fromhex(talker).hex(":")
    assert address not in scene.known()
    # The same sender with a frame that makes sense:
    good = f"{ours} {frame} 88b5" + "00" * 46
    stranger.run(sys.executable, "-I", "-c", SEND_DATAGRAMS, stdin=good + "\n")
    scene.controller.wait_status(lambda s: address in scene.known(s), "the sender is learned")


def test_packet_ins_of_other_applications_are_ignored(scene: Scene) -> None:
    """They carry a network and an unknown sender, as ours do: only the cookie differs."""
    vtep = scene.lab.vtep(1)
    vtep.add_flows(
        "table=10,cookie=0xabc,priority=60000,in_port=h1,dl_type=0x9999,actions=CONTROLLER:65535\n"
        "table=0,cookie=0,priority=60000,in_port=h1,dl_type=0x9998,actions=CONTROLLER:65535\n"
    )
    scene.learn_somebody()
    known, packet_ins = scene.known(), scene.packet_ins()
    for ethertype in (0x9998, 0x9999):
        scene.h1.send_frames(BROADCAST, scene.lab.new_mac(), 100, sources=50, ethertype=ethertype)
    wait_until(
        lambda: sum("n_packets=100," in f for f in vtep.dump_flows() if "dl_type=0x999" in f) == 2,
        "all have been punted",
    )
    scene.learn_somebody(scene.h1)
    assert len(scene.known()) == len(known) + 1
    packet_ins["0000000000000001"] += 1
    assert scene.packet_ins() == packet_ins
    vtep.ofctl("del-flows", "cookie=0xabc/-1")
    vtep.ofctl("del-flows", "dl_type=0x9998")
