"""Probes: at once, again soon, then now and then."""

from __future__ import annotations

from controller.model import Dpid, VtepAddress
from controller.warming import AGAIN_AFTER, Warmer

SWITCH = Dpid(1)
A, B = VtepAddress("192.0.2.1"), VtepAddress("192.0.2.2")


def test_a_new_peer_is_probed_at_once_then_again_then_every_interval() -> None:
    warmer = Warmer(60)
    asked = [now for now in range(200) if warmer.probes(SWITCH, [A], now)]
    assert asked == [0, AGAIN_AFTER, 61, 121, 181]


def test_only_the_new_peer_is_probed() -> None:
    warmer = Warmer(60)
    assert warmer.probes(SWITCH, [A], 0) == (A,)
    assert warmer.probes(SWITCH, [A, B], 0.5) == (B,)


def test_a_peer_that_left_and_came_back_is_new() -> None:
    warmer = Warmer(60)
    warmer.probes(SWITCH, [A], 0)
    assert warmer.probes(SWITCH, [], 0.1) == ()
    assert warmer.due(100) == []
    assert warmer.probes(SWITCH, [A], 0.2) == (A,)


def test_who_is_due_and_who_came_back() -> None:
    warmer = Warmer(60)
    warmer.probes(SWITCH, [A], 0)
    assert warmer.due(0.5) == []
    assert warmer.due(1) == [SWITCH]
    warmer.forget(SWITCH)
    assert warmer.probes(SWITCH, [A], 0.5) == (A,)
