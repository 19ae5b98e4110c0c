"""What the core costs, without any switch: CPU time by ``python -m bench.core``.

Learning a new endpoint (observation to plans), and auditing a switch (full program against
what is installed), for networks of several sizes. Figures are CPU microseconds, the best and
the median of several runs; compare only within one run.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial

from controller.engine import Engine
from controller.learning import Observation
from controller.model import Attachment, Config, Dpid, Mac, Network, Port, Vni
from controller.overlay import SwitchFacts
from controller.pipeline import program
from tests.support.fabric import address

VNI = Vni(100)
RUNS = 5


def engine_of(switches: int) -> Engine:
    """One network over so many switches, one port each."""
    attachments = tuple(Attachment(Dpid(n), 1) for n in range(1, switches + 1))
    engine = Engine()
    engine.configure(Config({VNI: Network(VNI, attachments=attachments)}), 0)
    ports = {1: Port(1, "p1"), 100: Port(100, "vxlan0")}
    for n in range(1, switches + 1):
        facts = SwitchFacts(ports, ("vxlan0",), ovsdb_vtep=address(n))
        engine.update_switch(Dpid(n), facts, 0)
    engine.flush(0)
    return engine


def learn(engine: Engine, endpoints: int, switches: int) -> None:
    for n in range(endpoints):
        mac = Mac(b"\x02\x00" + n.to_bytes(4, "big"))
        engine.observe(Observation(Dpid(n % switches + 1), VNI, mac, 1, None), 0)
        engine.flush(0)


def measure(work: Callable[[], object]) -> float:
    begin = time.process_time()
    work()
    return (time.process_time() - begin) * 1e6


def main() -> None:
    print(f"{'switches':>8} {'endpoints':>9} {'learn, us each':>22} {'audit, us per flow':>22}")
    for switches, endpoints in ((1, 1000), (3, 1000), (10, 500), (30, 200)):
        learned, audited = [], []
        for _ in range(RUNS):
            engine = engine_of(switches)
            learned.append(measure(partial(learn, engine, endpoints, switches)) / endpoints)
            installed = program(engine.overlay, Dpid(1))
            audit = measure(partial(engine.audit, Dpid(1), installed))
            audited.append(audit / len(installed.flows))
        shown = "".join(
            f"{min(figures):9.1f} / {statistics.median(figures):9.1f}" + "  "
            for figures in (learned, audited)
        )
        print(f"{switches:>8} {endpoints:>9}  {shown}")


if __name__ == "__main__":
    main()
