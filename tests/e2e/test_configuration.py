"""The configuration file on real switches: what it says is done, and how it may change."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.lab import Controller, Host, Lab, Vtep

pytestmark = pytest.mark.ovs

BROADCAST = "ff:ff:ff:ff:ff:ff"
TRANSIENT = "cookie=0x7ef7000000000000,"
SWITCHES = """
switches:
  - {dpid: 1, vtep: 192.0.2.1}
  - {dpid: 2, vtep: 192.0.2.2}
"""
BLUE = """
  - vni: 0xffffff
    name: blue
    attachments:
      - {switch: 1, port: b1}
      - {switch: 2, port: b2}
"""


def red(*attachments: str, options: str = "") -> str:
    """The network red: h1 and h2, and further attachments."""
    ends = ("{switch: 1, port: h1}", "{switch: 2, port: h2}", *attachments)
    lines = ["  - vni: 100", "    name: red", f"    {options}", "    attachments:"]
    return "\n".join([*lines, *(f"      - {end}" for end in ends), ""])


@pytest.fixture
def lab() -> Iterator[Lab]:
    """A lab whose controllers never stumbled: no exception is in their logs."""
    with Lab() as lab:
        yield lab
        for controller in lab.controllers:
            text = controller.log_text()
            assert "Traceback" not in text
            assert "Exception" not in text


def configuration(*networks: str) -> str:
    return "networks:\n" + "".join(networks) + SWITCHES


def switch_status(status: dict[str, Any], number: int) -> dict[str, Any]:
    found: dict[str, Any] = status["switches"].get(f"{number:016x}", {"connected": False})
    return found


def settled(lab: Lab, status: dict[str, Any]) -> bool:
    """Whether both switches hold what they should, the ports of all hosts included."""
    for number in (1, 2):
        switch = switch_status(status, number)
        if not switch["connected"] or not switch["synced"]:
            return False
        names = {h.name for h in lab.hosts.values() if h.at is lab.vtep(number)}
        if not names <= set(switch["ports"].values()) or switch["applied"] != switch["wanted"]:
            return False
    return True


def start(lab: Lab, config: str, **hosts: tuple[int, str]) -> tuple[Controller, list[Host]]:
    """A controller, two switches, and hosts by name: (number of the switch, address)."""
    controller = lab.controller(config)
    lab.add_vteps(1, 2)
    made = [lab.host(name, at, f"{address}/24") for name, (at, address) in hosts.items()]
    controller.wait_status(lambda s: settled(lab, s), "both switches are programmed")
    return controller, made


def reload(lab: Lab, controller: Controller, *networks: str) -> dict[str, Any]:
    """Have these networks configured, and wait until the switches are programmed so.

    That the file was read shows in the status, where an additional network appears.
    """
    names = {network["name"] for network in controller.status()["networks"]}
    vni = next(number for number in range(9000, 9999) if f"reading {number}" not in names)
    mark = f"reading {vni}"
    controller.reload(configuration(*networks, f"\n  - {{vni: {vni}, name: {mark}}}\n"))

    def read(status: dict[str, Any]) -> bool:
        return mark in {network["name"] for network in status["networks"]} and settled(lab, status)

    return controller.wait_status(read, "the new configuration is in force")


def flow_mods(controller: Controller) -> list[int]:
    """Flow messages sent to each switch since it connected."""
    status = controller.status()
    return [switch_status(status, n)["sent"].get("flow_mods", 0) for n in (1, 2)]


def held(vtep: Vtep) -> set[str]:
    """The flows of a switch, without those that it forgets within seconds, and its groups."""
    flows = {flow for flow in vtep.dump_flows(stats=False) if not flow.startswith(TRANSIENT)}
    return flows | set(vtep.dump_groups())


def both_known(controller: Controller) -> None:
    controller.wait_status(
        lambda s: len(s["networks"][0]["endpoints"]) == 2, "two endpoints are known"
    )


# --- ports by name and by number ---------------------------------------------------------


def test_a_named_port_is_followed_wherever_it_goes(lab: Lab) -> None:
    """It appears late, vanishes, comes back with another number."""
    controller, (h2,) = start(lab, configuration(red()), h2=(2, "10.0.0.2"))
    vtep = lab.vtep(1)
    assert not any("in_port=" in flow for flow in held(vtep) if "in_port=2000" not in flow)

    lab.host("h1", 1, "10.0.0.1/24")
    first = vtep.ofport("h1")
    controller.wait_status(lambda s: settled(lab, s), "the port is there")
    assert h2.ping("10.0.0.1").received == 1
    both_known(controller)

    vtep.del_port("h1")
    controller.wait_status(
        lambda s: (
            len(s["networks"][0]["endpoints"]) == 1
            and "h1" not in switch_status(s, 1)["ports"].values()
            and switch_status(s, 1)["applied"] == switch_status(s, 1)["wanted"]
        ),
        "the port and what was behind it are gone",
    )
    assert not any(f"in_port={first}," in f or f"output:{first}" in f for f in held(vtep))

    assert vtep.add_port("h1", first + 41) == first + 41
    controller.wait_status(lambda s: settled(lab, s), "the port is back")
    assert h2.ping("10.0.0.1").received == 1
    both_known(controller)
    assert any(f"in_port={first + 41}," in flow for flow in held(vtep))


def test_a_port_number_means_whatever_port_has_it(lab: Lab) -> None:
    ends = red().replace("port: h1", "port: 7")
    controller, (_, _, h2) = start(
        lab, configuration(ends), h1=(1, "10.0.0.1"), h3=(1, "10.0.0.3"), h2=(2, "10.0.0.2")
    )
    vtep = lab.vtep(1)

    def number(name: str, wanted: int) -> None:
        vtep.del_port(name)
        assert vtep.add_port(name, wanted) == wanted

        def renumbered(status: dict[str, Any]) -> bool:
            ports = switch_status(status, 1)["ports"]
            return settled(lab, status) and ports.get(str(wanted)) == name

        controller.wait_status(renumbered, f"{name} is port {wanted}")

    assert h2.ping("10.0.0.1", timeout=0.2).received == 0
    number("h1", 7)
    assert h2.ping("10.0.0.1").received == 1
    number("h1", 8)
    number("h3", 7)
    assert h2.ping("10.0.0.3").received == 1
    assert h2.ping("10.0.0.1", timeout=0.2).received == 0


# --- reading it again --------------------------------------------------------------------


def test_a_reload_changes_what_differs_and_nothing_else(lab: Lab) -> None:
    """A network and an attachment come and go beside 1,000 frames a second."""
    controller, (h1, h2, b1, _, h3) = start(
        lab,
        configuration(red()),
        h1=(1, "10.0.0.1"),
        h2=(2, "10.0.0.2"),
        b1=(1, "10.0.0.1"),
        b2=(2, "10.0.0.2"),
        h3=(1, "10.0.0.3"),
    )
    assert h1.ping("10.0.0.2").received == 1
    both_known(controller)
    controller.wait_status(lambda s: settled(lab, s), "both switches are programmed")
    vteps = [lab.vtep(1), lab.vtep(2)]
    before = [held(vtep) for vtep in vteps]
    sent = flow_mods(controller)

    def changed(*networks: str) -> list[int]:
        """How many flow messages each switch got for a reload."""
        nonlocal sent
        old, sent = sent, [0, 0]
        reload(lab, controller, *networks)
        sent = flow_mods(controller)
        return [new - n for new, n in zip(sent, old, strict=True)]

    counter = h2.count_frames()
    stream = h1.start_frames(h2.mac, rate=1000)

    assert changed(red()) == [0, 0]
    assert [held(vtep) for vtep in vteps] == before

    extent = changed(red(), BLUE)
    added = [held(vtep) - old for vtep, old in zip(vteps, before, strict=True)]
    assert all(old < held(vtep) for vtep, old in zip(vteps, before, strict=True))
    assert extent == [len([e for e in more if "cookie=" in e]) for more in added]
    assert b1.ping("10.0.0.2").received == 1
    controller.wait_status(
        lambda s: len(s["networks"][-1]["endpoints"]) == 2 and settled(lab, s), "blue has learned"
    )
    sent = flow_mods(controller)

    changed(red())
    assert [held(vtep) for vtep in vteps] == before

    extent = changed(red("{switch: 1, port: h3}"))
    assert [held(vtep) for vtep in vteps][1] == before[1]
    assert extent == [len(held(vteps[0]) - before[0]), 0]
    assert extent[0] == 3  # untagged, priority-tagged, and the flood flow
    heard = h3.count_frames(stream=1)
    h1.send_frames(BROADCAST, count=10, stream=1)
    assert heard.stop().frames == 10
    assert changed(red()) == [3, 0]
    assert [held(vtep) for vtep in vteps] == before

    result = stream.stop()
    got = counter.stop()
    assert result.sent > 500
    # The sender may be stopped before it has counted its last frame.
    assert got.lost(result) <= 0
    assert got.ranges == ((0, got.frames - 1),)
    assert got.reordered == 0


BAD = """networks:
  - vni: 16777216
  - vni: 200
    agein: 60
    attachments:
      - {switch: 0x1, port: eth1, vlan: 5000}
      - {switch: 0x1, port: eth2}
  - vni: 300
    attachments:
      - {switch: 0x1, port: eth2}
switches:
  - vtep: 192.0.2.1
"""
BAD_PLACES = (
    ":2:10: networks[0].vni: ",
    ":4:5: networks[1].agein: unknown key",
    ":6:41: networks[1].attachments[0].vlan: ",
    ":10:9: networks[2].attachments[0]: already attached to network 200 at line 7",
    ":12:5: switches[0]: 'dpid' is missing",
)


def test_a_bad_file_on_reload_changes_nothing(lab: Lab) -> None:
    """...and status and log say why, until a good one is read."""
    controller, (h1, _) = start(lab, configuration(red()), h1=(1, "10.0.0.1"), h2=(2, "10.0.0.2"))
    assert h1.ping("10.0.0.2").received == 1
    both_known(controller)
    before = controller.wait_status(lambda s: settled(lab, s), "both switches are programmed")
    assert before["config_problem"] == ""
    flows = [held(lab.vtep(n)) for n in (1, 2)]
    file = controller.config_file

    def refused(places: tuple[str, ...]) -> None:
        status = controller.wait_status(
            lambda s: all(f"{file}{place}" in s["config_problem"] for place in places),
            "the problem is in the status",
        )
        assert len(status["config_problem"].splitlines()) == len(places)
        for line in status["config_problem"].splitlines():
            assert line in controller.log_text().splitlines()
        same = ("generation", "networks", "switches")
        assert {key: status[key] for key in same} == {key: before[key] for key in same}
        assert [held(lab.vtep(n)) for n in (1, 2)] == flows
        assert h1.ping("10.0.0.2").received == 1

    controller.reload(BAD)
    refused(BAD_PLACES)
    controller.reload("networks:\n\t- vni: 100\n")
    refused((":2:1: not YAML: ",))
    file.unlink()
    controller.reload()
    refused((":1:1: cannot be read: No such file or directory",))

    status = reload(lab, controller, red(), BLUE)
    assert status["config_problem"] == ""
    assert [n["name"] for n in status["networks"] if n["vni"] == 0xFFFFFF] == ["blue"]


# --- starting ----------------------------------------------------------------------------


def test_a_bad_file_at_the_start_is_explained(lab: Lab) -> None:
    controller = lab.controller(BAD, start=False).start(wait=False)
    assert controller.wait_exit() not in (0, None)
    said = controller.log_text()
    for place in BAD_PLACES:
        assert f"\n{controller.config_file}{place}" in said
    assert "weft: not started" in said


def test_no_file_at_the_start_is_explained(lab: Lab) -> None:
    """No option, an empty one, a file that is not there, a directory."""
    controllers = [lab.controller("", start=False, port=6653 + n) for n in range(4)]
    for controller, option in zip(
        controllers, ("", "config =", "config = /run/none.yaml", "config = /run"), strict=True
    ):
        conf = controller.config_file.parent / "weft.conf"
        conf.write_text(f"[weft]\n{option}\n")
        controller.start(wait=False)
    said = []
    for controller in controllers:
        assert controller.wait_exit() not in (0, None)
        said.append(controller.log_text())
    assert "no configuration: set 'config = FILE.yaml' in group [weft]" in said[0]
    assert "no configuration: set 'config = FILE.yaml' in group [weft]" in said[1]
    assert "/run/none.yaml:1:1: cannot be read: No such file or directory" in said[2]
    assert "/run:1:1: cannot be read: Is a directory" in said[3]


# --- what a network may be told ----------------------------------------------------------


def test_static_endpoints_and_vteps_stand_whoever_speaks(lab: Lab) -> None:
    here, there = "02:00:00:00:00:51", "02:00:00:00:00:52"
    static = (
        f"endpoints: [{{mac: '{here}', switch: 1, port: h1}},"
        f" {{mac: '{there}', vtep: 192.0.2.200}}]\n    vteps: [192.0.2.201]"
    )
    controller, (h1, h2) = start(
        lab, configuration(red(options=static)), h1=(1, "10.0.0.1"), h2=(2, "10.0.0.2")
    )
    speaker = lab.kernel_vtep(200, 100, "10.0.0.200/24", mac=there, peers=[1])
    silent = lab.kernel_vtep(201, 100, "10.0.0.201/24")

    def statics(status: dict[str, Any]) -> dict[str, Any]:
        found = status["networks"][0]["endpoints"]
        return {e["mac"]: (e["vtep"], e.get("port_name")) for e in found if e["how"] == "static"}

    expected = {here: ("192.0.2.1", "h1"), there: ("192.0.2.200", None)}
    assert statics(controller.status()) == expected

    # Both addresses speak at the other switch, and one out of the tunnel.
    counter = h1.count_frames()
    h2.send_frames(BROADCAST, here, 20)
    h2.send_frames(BROADCAST, there, 20)
    assert counter.stop().frames == 40
    counter = h1.count_frames()
    speaker.send_frames(BROADCAST, here, 20, interface="vx100")
    assert counter.stop().frames == 20
    # What is learned later shows that all of this has been looked at.
    assert h2.ping("10.0.0.200").received == 1
    # A VTEP that nobody has heard of is on the flood list, else this would not be answered.
    assert h1.ping("10.0.0.201").received == 1
    learned = {h1.mac, h2.mac, silent.mac_of("vx100")}
    status = controller.wait_status(
        lambda s: learned <= {e["mac"] for e in s["networks"][0]["endpoints"]}, "the rest is known"
    )
    assert statics(status) == expected
    assert {"moved"}.isdisjoint(status["observations"])
    assert {(v["address"], v["how"]) for v in status["networks"][0]["vteps"]} == {
        ("192.0.2.1", "managed"),
        ("192.0.2.2", "managed"),
        ("192.0.2.200", "static"),
        ("192.0.2.201", "static"),
    }
    # Frames to them go where configuration says.
    counters = h1.count_frames(), silent.count_frames(interface="vx100")
    h2.send_frames(here, count=20)
    h2.send_frames(there, count=20)
    assert [counter.stop().frames for counter in counters] == [20, 0]


def test_a_network_that_does_not_flood(lab: Lab) -> None:
    """Only frames to known addresses are forwarded; addresses are learned all the same."""
    controller, (h1, h2, h3) = start(
        lab,
        configuration(red("{switch: 1, port: h3}", options="flooding: none")),
        h1=(1, "10.0.0.1"),
        h2=(2, "10.0.0.2"),
        h3=(1, "10.0.0.3"),
    )
    counters = [host.count_frames() for host in (h1, h2, h3)]
    h1.send_frames(BROADCAST, count=20)
    h1.send_frames(h2.mac, count=20)
    h2.send_frames(BROADCAST, count=20)
    controller.wait_status(
        lambda s: len(s["networks"][0]["endpoints"]) == 2 and settled(lab, s), "both are known"
    )
    assert [counter.stop().frames for counter in counters] == [0, 0, 0]
    counters = [host.count_frames() for host in (h1, h2, h3)]
    h1.send_frames(h2.mac, count=20)
    h2.send_frames(h1.mac, count=30)
    h3.send_frames(h1.mac, count=40)
    assert [counter.stop().frames for counter in counters] == [70, 20, 0]
    assert [lab.vtep(n).dump_groups() for n in (1, 2)] == [[], []]


def test_a_network_that_does_not_learn(lab: Lab) -> None:
    """Everything is flooded, nothing is punted; until it is told to learn."""
    controller, (h1, h2, h3) = start(
        lab,
        configuration(red("{switch: 2, port: h3}", options="learning: false")),
        h1=(1, "10.0.0.1"),
        h2=(2, "10.0.0.2"),
        h3=(2, "10.0.0.3"),
    )
    assert h1.ping("10.0.0.2").received == 1
    counters = [host.count_frames() for host in (h2, h3)]
    h1.send_frames(h2.mac, count=50)
    assert [counter.stop().frames for counter in counters] == [50, 50]
    status = reload(lab, controller, red("{switch: 2, port: h3}"))
    assert [switch_status(status, n)["packet_ins"] for n in (1, 2)] == [0, 0]
    assert status["networks"][0]["endpoints"] == []
    # A switch may keep quiet for two seconds about who spoke while it was told to learn.
    talk = [a.start_frames(b.mac, rate=20) for a, b in ((h1, h2), (h2, h1))]
    both_known(controller)
    for stream in talk:
        stream.stop()
    status = reload(lab, controller, red("{switch: 2, port: h3}", options="learning: false"))
    assert status["networks"][0]["endpoints"] == []
    lab.vtep(1).appctl("revalidator/wait")  # frames already seen are handled anew as well
    lab.vtep(2).appctl("revalidator/wait")
    counters = [host.count_frames() for host in (h2, h3)]
    h1.send_frames(h2.mac, count=50)
    assert [counter.stop().frames for counter in counters] == [50, 50]


def test_an_ageing_time_of_zero_means_never(lab: Lab) -> None:
    """Beside a network where everything ages within a second."""
    blue = BLUE.replace("name: blue", "name: blue\n    ageing: 1")
    controller, (h1, _, b1, _) = start(
        lab,
        configuration(red(options="ageing: 0"), blue),
        h1=(1, "10.0.0.1"),
        h2=(2, "10.0.0.2"),
        b1=(1, "10.0.0.1"),
        b2=(2, "10.0.0.2"),
    )

    def known(*numbers: int) -> None:
        controller.wait_status(
            lambda s: [len(n["endpoints"]) for n in s["networks"]] == list(numbers),
            f"{numbers} endpoints are known",
        )

    assert h1.ping("10.0.0.2").received == 1
    known(2, 0)
    assert b1.ping("10.0.0.2").received == 1
    known(2, 2)
    sources = [flow for flow in held(lab.vtep(1)) if "dl_src=02:" in flow and "0x64/" in flow]
    assert len(sources) == 1
    assert "idle_timeout" not in sources[0]
    known(2, 0)
