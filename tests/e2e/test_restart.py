"""Whatever is restarted, cut or replugged: nothing known is lost, and no frame with it."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import ONE_EACH, networks, programmed, resolved, settled, start
from tests.support.lab import Lab, wait_until

pytestmark = pytest.mark.ovs


def test_the_controller_is_killed_and_restarted_under_traffic(lab: Lab) -> None:
    overlay = start(lab, networks(ONE_EACH))
    h1, h2, h3 = (lab.host(f"h{n}", n, f"10.0.0.{n}/24") for n in (1, 2, 3))
    kernel = lab.kernel_vtep(200, 100, "10.0.0.200/24", peers=[1, 2, 3])
    for host in (h1, h3):
        assert host.ping("10.0.0.2", 2).received == 2
    assert kernel.ping("10.0.0.1", 2).received == 2
    overlay.wait_known(h1, h2, h3)
    far = kernel.mac_of("vx100")
    overlay.controller.wait_status(
        lambda _: len(overlay.endpoints().get(far, {}).get("heard_by", ())) == 3,
        "the kernel's endpoint was heard by all three",
    )
    overlay.wait_settled()
    known = overlay.endpoints()
    dumps = {n: programmed(overlay.vtep(n)) for n in (1, 2, 3)}
    counter = h2.count_frames()
    stream = h1.start_frames(h2.mac)
    overlay.controller.kill9()
    overlay.controller.start()
    overlay.wait_settled()
    overlay.controller.wait_status(lambda _: overlay.endpoints() == known, "all is known again")
    sent = stream.stop()
    received = counter.stop()
    assert sent.sent > 1000
    assert (received.lost(sent), received.duplicated, received.reordered) == (0, 0, 0)
    # Nothing had changed, so nothing was sent; nothing was learned again either.
    assert all(not any(sent.values()) for sent in overlay.changes().values()), overlay.changes()
    assert {n: programmed(overlay.vtep(n)) for n in (1, 2, 3)} == dumps
    assert h3.ping("10.0.0.200", 2).received == 2
    assert overlay.packet_ins() == 0


def test_what_changed_while_the_controller_was_down_is_put_right(lab: Lab) -> None:
    overlay = start(lab, networks(ONE_EACH))
    h1, h2, h3 = (lab.host(f"h{n}", n, f"10.0.0.{n}/24") for n in (1, 2, 3))
    assert h1.ping("10.0.0.2").received == 1
    assert h3.ping("10.0.0.2").received == 1
    overlay.wait_known(h1, h2, h3)
    overlay.wait_settled()
    overlay.controller.kill9()
    lab.vtep(3).del_port("h3")
    overlay.controller.start()
    overlay.controller.wait_status(
        lambda s: settled(s) and h3.mac not in overlay.endpoints(), "h3 is gone", 20
    )
    assert {h1.mac, h2.mac} <= overlay.endpoints().keys()
    for n in (1, 2, 3):
        assert not [f for f in lab.vtep(n).dump_flows() if f"dl_dst={h3.mac}" in f]
    assert h1.ping("10.0.0.2").received == 1


def test_the_connection_is_cut_and_mended_under_traffic(lab: Lab) -> None:
    overlay = start(lab, networks(ONE_EACH))
    h1, h2 = lab.host("h1", 1, "10.0.0.1/24"), lab.host("h2", 2, "10.0.0.2/24")
    assert h1.ping("10.0.0.2").received == 1
    overlay.wait_known(h1, h2)
    overlay.wait_settled()
    before = overlay.changes()
    counter = h2.count_frames()
    stream = h1.start_frames(h2.mac)
    targets = lab.vtep(1).vsctl("get-controller", "br-int").split()
    lab.vtep(1).vsctl("set", "controller", "br-int", 'target="tcp:198.51.100.254:1"')
    overlay.controller.wait_status(
        lambda _: not overlay.switches()[1]["connected"], "switch 1 is gone"
    )
    lab.vtep(1).vsctl("set", "controller", "br-int", f'target="{targets[0]}"')
    overlay.wait_settled()
    sent, received = stream.stop(), counter.stop()
    assert received.lost(sent) == 0
    assert not any(overlay.changes()[1].values())
    assert overlay.changes()[2] == before[2]


def test_a_switch_restarts_and_is_whole_again(lab: Lab) -> None:
    overlay = start(lab, networks(ONE_EACH))
    h1, h2 = lab.host("h1", 1, "10.0.0.1/24"), lab.host("h2", 2, "10.0.0.2/24")
    assert h1.ping("10.0.0.2").received == 1
    overlay.wait_known(h1, h2)
    overlay.wait_settled()
    flows = programmed(lab.vtep(2))
    lab.vtep(2).restart_vswitchd()
    wait_until(
        lambda: programmed(lab.vtep(2)) == flows,
        "all its flows are back",
        20,
    )
    overlay.wait_settled()
    resolved(lab.vtep(2), "192.0.2.1")
    assert h1.ping("10.0.0.2", 3).received == 3


def test_a_port_is_removed_and_added_again_under_another_number(lab: Lab) -> None:
    overlay = start(lab, networks(ONE_EACH))
    h1, h2 = lab.host("h1", 1, "10.0.0.1/24"), lab.host("h2", 2, "10.0.0.2/24")
    assert h1.ping("10.0.0.2").received == 1
    overlay.wait_known(h1, h2)
    lab.vtep(2).del_port("h2")
    overlay.controller.wait_status(
        lambda s: h2.mac not in overlay.endpoints() and settled(s), "h2 is forgotten"
    )
    assert not [f for f in lab.vtep(1).dump_flows() if f"dl_dst={h2.mac}" in f]
    assert "192.0.2.2" not in "".join(lab.vtep(1).dump_groups()), "nobody is there any more"
    lab.vtep(2).add_port("h2", 77)
    overlay.controller.wait_status(
        lambda s: overlay.switches()[2]["ports"].get("77") == "h2" and settled(s), "h2 is back"
    )
    assert h1.ping("10.0.0.2", 3).received == 3
    overlay.wait_known(h1, h2)
    assert overlay.endpoints()[h2.mac]["port"] == 77


def test_a_cable_is_pulled_and_plugged_in_again(lab: Lab) -> None:
    overlay = start(lab, networks(ONE_EACH))
    h1, h2 = lab.host("h1", 1, "10.0.0.1/24"), lab.host("h2", 2, "10.0.0.2/24")
    assert h1.ping("10.0.0.2").received == 1
    overlay.wait_known(h1, h2)
    h2.run("ip", "link", "set", "eth0", "down")
    overlay.controller.wait_status(lambda _: h2.mac not in overlay.endpoints(), "h2 is forgotten")
    h2.run("ip", "link", "set", "eth0", "up")
    assert h1.ping("10.0.0.2", 3).received >= 2
    overlay.wait_known(h2)
