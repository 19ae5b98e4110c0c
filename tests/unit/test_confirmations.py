"""A write is timed until the last switch has confirmed it, and no other is."""

from __future__ import annotations

from controller.apps.confirmations import MOST, Confirmations
from controller.model import Dpid

ONE, TWO = Dpid(1), Dpid(2)


def test_a_write_is_timed_until_the_last_switch_has_confirmed_it() -> None:
    applied: dict[Dpid, int] = {ONE: 1, TWO: 1}
    seen: list[float] = []
    writes = Confirmations(applied.get, seen.append)
    writes.begin(10.0, {})
    writes.begin(10.0, {ONE: 2, TWO: 3})
    applied[ONE] = 2
    writes.look(11.0)
    assert seen == []
    applied[TWO] = 4
    writes.look(12.5)
    writes.look(13.0)
    assert seen == [2.5]


def test_a_switch_that_goes_confirms_nothing() -> None:
    applied = {ONE: 1, TWO: 1}
    seen: list[float] = []
    writes = Confirmations(applied.get, seen.append)
    writes.begin(10.0, {ONE: 2})
    writes.begin(10.0, {TWO: 2})
    del applied[ONE]
    applied[TWO] = 2
    writes.look(11.0)
    applied[ONE] = 2
    writes.look(12.0)
    assert seen == [1.0]


def test_no_more_than_so_many_are_timed() -> None:
    seen: list[float] = []
    writes = Confirmations(lambda dpid: 1, seen.append)
    for number in range(MOST + 10):
        writes.begin(float(number), {ONE: 1})
    writes.look(float(MOST + 10))
    assert len(seen) == MOST
    assert max(seen) == MOST
