"""A switch that uses up its packet-ins is told of, now and then."""

from __future__ import annotations

from controller.apps.pace import QUIET, Pace
from controller.model import Dpid

ONE, TWO = Dpid(1), Dpid(2)


def test_who_reaches_the_rate_is_told_of_once_in_a_while() -> None:
    pace = Pace(100)
    counts = {ONE: 0, TWO: 0}
    assert pace.exceeded(counts, 50.0) == []
    counts[TWO] += 100
    assert pace.exceeded(counts, 50.5) == [], "too early to look"
    assert pace.exceeded(counts, 51.0) == [TWO]
    counts[TWO] += 100
    assert pace.exceeded(counts, 52.0) == [], "told already"
    counts[ONE] += 90
    assert pace.exceeded(counts, 53.0) == [], "below the rate"
    counts[TWO] += 10_000
    assert pace.exceeded(counts, 51.0 + QUIET) == [TWO]
