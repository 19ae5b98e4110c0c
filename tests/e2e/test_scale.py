"""Ten thousand networks and a hundred thousand endpoints, beside switches that go on learning."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from tests.support.echo import EchoProbe
from tests.support.lab import CONTROLLER_ADDRESS, OPENFLOW_PORT, Controller, Host, Lab, wait_until
from tests.support.rest import Rest

pytestmark = pytest.mark.ovs

FIRST = 1000
"""The lowest VNI."""
NETWORKS = 10_000
PER_NETWORK = 10
ATTACHED = 24
"""Networks that are on the switches, one VLAN each."""
PER_BATCH = 1000
PROMPT = 0.1
"""Seconds that a switch's echo may take."""
LEARNED = "02:20:"
"""What the learned addresses begin with."""


def operations(begin: int, end: int) -> Iterator[dict[str, Any]]:
    """The writes that make some networks."""
    for n in range(begin, end):
        path = f"/v1/networks/{FIRST + n}"
        yield {"method": "PUT", "path": path, "body": {"name": f"net{n}"}}
        for switch in (1, 2) if n < ATTACHED else ():
            where = f"{path}/attachments/{switch}/h{switch}"
            yield {"method": "PUT", "path": where, "body": {"vlan": 100 + n}}
        for e in range(PER_NETWORK):
            where = f"{path}/endpoints/02:10:{n >> 8:02x}:{n & 255:02x}:00:{e:02x}"
            yield {"method": "PUT", "path": where, "body": {"vtep": f"203.0.113.{1 + e}"}}


def tagged(numbers: Iterator[int]) -> list[bytes]:
    """A frame of an address that nobody has seen in each of the attached networks."""
    frames = []
    for n in range(ATTACHED):
        source = bytes.fromhex("0220") + next(numbers).to_bytes(4, "big")
        tag = bytes.fromhex("8100") + (100 + n).to_bytes(2, "big")
        frames.append(bytes.fromhex("02ff00000001") + source + tag + b"\x88\xb5" + bytes(46))
    return frames


@contextlib.contextmanager
def learning(host: Host) -> Iterator[None]:
    """New addresses speak, a few in each attached network at a time, one time after the other."""
    done = threading.Event()

    def speak() -> None:
        numbers = count()
        while not done.wait(0.1):
            host.send_raw(tagged(numbers))

    thread = threading.Thread(target=speak, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def learned(rest: Rest) -> int:
    """How often something was learned since the start."""
    found: int = rest.get("/v1/status")["observations"].get("learned", 0)
    return found


def page_by_page(rest: Rest, path: str) -> list[Any]:
    return rest.items(path, limit=1000)


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab(vteps=2) as lab:
        yield lab


def test_lists_are_read_while_learning_goes_on(lab: Lab) -> None:
    h1, _ = lab.host("h1", 1), lab.host("h2", 2)
    # Reading as fast as it goes is the point, so the limit of requests must not be.
    options = {"status_file": "", "rest_reads": 10_000}
    controller = lab.controller(rest=True, options=options)
    rest = controller.rest()
    rest.settle(1, 2)
    told: list[tuple[str, float, float]] = []

    @contextlib.contextmanager
    def phase(name: str) -> Iterator[None]:
        begin = time.monotonic()
        yield
        told.append((name, begin, time.monotonic()))

    with EchoProbe(CONTROLLER_ADDRESS, OPENFLOW_PORT, controller.pid) as probe:
        with phase("idle"):
            time.sleep(1)  # the measure of it is time
        with phase("loading"):
            for first in range(0, NETWORKS, PER_BATCH):
                rest.batch(*operations(first, first + PER_BATCH))
        rest.settle(1, 2)
        with learning(h1):
            rest.wait("/v1/status", lambda s: s["observations"].get("learned", 0), "it learns")
            before = learned(rest)
            with phase("networks"):
                networks = page_by_page(rest, "/v1/networks")
            with phase("endpoints"):
                endpoints = page_by_page(rest, "/v1/endpoints")
            with phase("configuration"):
                configuration = rest.get("/v1/configuration")
            with phase("metrics"):
                rest.get("/metrics")
            with phase("VTEPs"):
                vteps = page_by_page(rest, "/v1/vteps")
            after = learned(rest)
    phases = {name: probe.between(begin, end) for name, begin, end in told}
    for name, begin, end in told:
        print(f"{name:14} {end - begin:5.1f} s, {phases[name]}")
    print(f"{after - before} addresses learned meanwhile")

    vnis = [network["vni"] for network in networks]
    assert vnis == list(range(FIRST, FIRST + NETWORKS))
    known = [(e["vni"], e["mac"]) for e in endpoints]
    assert known == sorted(set(known))
    static = [key for key in known if not key[1].startswith(LEARNED)]
    assert len(static) == NETWORKS * PER_NETWORK
    assert len(configuration["networks"]) == NETWORKS
    assert {v["address"] for v in vteps} >= {f"203.0.113.{1 + e}" for e in range(PER_NETWORK)}
    assert after > before
    for name, echoes in phases.items():
        assert echoes.worst < PROMPT, f"{name}: {echoes}"
        assert echoes.as_measured < PROMPT, f"{name}: {echoes}"

    restarts_soon(controller, rest)


def restarts_soon(controller: Controller, rest: Rest) -> None:
    """Started again, it has all of it, and its switches."""
    controller.stop()
    begin = time.monotonic()
    controller.start(wait=False)
    wait_until(lambda: answers(rest), "the API is there again", 60)
    rest.settle(1, 2)
    took = time.monotonic() - begin
    status = rest.get("/v1/status")
    assert status["networks"] == NETWORKS
    assert status["endpoints"] >= NETWORKS * PER_NETWORK
    print(f"started again, switches and all, in {took:.1f} s")
    assert took < 30


def answers(rest: Rest) -> bool:
    try:
        rest.get("/readyz")
    except OSError:
        return False
    return True
