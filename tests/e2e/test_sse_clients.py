"""Fifty followers of the events, of which some stall, while thousands of addresses are learned."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.support.crowd import Crowd
from tests.support.echo import EchoProbe
from tests.support.lab import CONTROLLER_ADDRESS, OPENFLOW_PORT, Controller, Host, Lab, wait_until
from tests.support.rest import Rest

pytestmark = pytest.mark.ovs

API = ("127.0.0.1", 8080)
RATE = 700
"""New addresses a second."""
BURST = 2000
CAPACITY = 10_000
"""Events that the controller keeps."""
PACES = ["fast"] * 30 + ["slow"] * 10 + ["stalled"] * 10


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(vteps=2) as lab:
        yield lab


def rss(controller: Controller) -> float:
    """Resident memory in MiB."""
    text = Path(f"/proc/{controller.pid}/status").read_text()
    line = next(line for line in text.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


class Burst:
    """Addresses that nobody has seen, from a real host, until each one is learned."""

    def __init__(self, host: Host, rest: Rest) -> None:
        self._host, self._rest = host, rest
        self._numbers = count()
        self.events = 0

    def learn(self) -> float:
        """Learn some more; seconds from the first frame until the last is known."""
        first = f"02:20:{next(self._numbers):02x}:00:00:00"
        begun = time.monotonic()
        self._host.send_frames("02:ff:00:00:00:01", first, BURST, rate=RATE, sources=BURST)
        self._rest.wait("/v1/status", lambda s: s["endpoints"] >= BURST, "all are learned", 30)
        self.events += BURST
        return time.monotonic() - begun

    def forget(self) -> None:
        """Forget them all: as many events again."""
        flushed = self._rest.send("DELETE", "/v1/networks/100/endpoints", 200).body["flushed"]
        assert flushed == BURST
        self.events += BURST


def test_fifty_clients_of_which_some_stall(lab: Lab) -> None:
    host = lab.host("h1", 1)
    lab.host("h2", 2)
    controller = lab.controller(rest=True, options={"status_file": "", "packet_in_rate": 10_000})
    rest = controller.rest()
    rest.put("/v1/networks/100", {"name": "red"})
    for n in (1, 2):
        rest.put(f"/v1/networks/100/attachments/{n}/h{n}")
    rest.settle(1, 2)
    burst = Burst(host, rest)
    with EchoProbe(CONTROLLER_ADDRESS, OPENFLOW_PORT, controller.pid) as probe:
        alone = burst.learn()
        burst.forget()
        alone = min(alone, burst.learn())
        burst.forget()
        before = rss(controller)
        burst.events = 0
        crowd = Crowd(API, PACES)
        rest.wait("/metrics", lambda text: "weft_event_readers 50" in text, "all are there")
        begin = time.monotonic()
        together = [burst.learn()]
        while burst.events < 1.4 * CAPACITY:
            burst.forget()
            together.append(burst.learn())
        end = time.monotonic()
        grown = rss(controller) - before
        fast, slow, stalled = (crowd.of(pace) for pace in ("fast", "slow", "stalled"))
        newest = int(rest.metrics()["weft_events_total"])
        wait_until(lambda: all(r.heard(newest) for r in fast), "all who read have heard all", 20)
        for reader in slow + stalled:
            reader.pace = "fast"
        wait_until(lambda: all(r.heard(newest) for r in crowd.readers), "the others, too", 30)
        crowd.close()
    echoes = probe.between(begin, end)
    shown = ", ".join(f"{seconds:.2f}" for seconds in together)
    print(f"{BURST} learned in s: alone {alone:.2f}, with 50 clients {shown}; +{grown:.0f} MiB")
    print(echoes)

    for reader in fast:
        seen, gaps = reader.numbers()
        assert not gaps
        assert seen[-1] == newest
        assert len(seen) >= burst.events
    for reader in slow:
        seen, _ = reader.numbers()  # nothing is missing that no gap speaks of
        assert seen[-1] == newest
    for reader in stalled:
        seen, gaps = reader.numbers()
        assert len(gaps) == 1
        assert gaps[0]["missed"] >= 1
        assert seen[-CAPACITY:] == list(range(newest - CAPACITY + 1, newest + 1))
    assert min(together) < 1.5 * alone + 0.5
    assert grown < 60
    assert echoes.worst < 0.1, str(echoes)
    assert echoes.as_measured < 0.1, str(echoes)
