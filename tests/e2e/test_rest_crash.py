"""Killed in mid-write, again and again: what was acknowledged is there, and nothing goes back."""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Iterator
from typing import Any, Final

import pytest
import requests

from tests.e2e.conftest import net, programmed, start_rest
from tests.support.lab import Lab, wait_until
from tests.support.rest import Rest

pytestmark = pytest.mark.ovs

SEED: Final = 20260131
KILLS: Final = 20
WRITERS: Final = 4
NETWORKS: Final = 5
"""Per writer: each has its own, so it knows what must be there."""
TRUNK: Final = {1: "h1", 2: "h2"}
QUICK: Final = {"rest_reads": 1_000_000, "rest_writes": 1_000_000}

State = dict[str, tuple[Any, int]]
"""What is configured by path below /v1/: what was written, and at which revision."""


class Writer:
    """Writes whatever comes to its mind, and knows what must have come of it."""

    def __init__(self, number: int, rest: Rest) -> None:
        self._random = random.Random(SEED + number)
        self._rest = rest
        self._vnis = [100 * (number + 1) + n for n in range(NETWORKS)]
        self.known: State = {}
        self.possible: dict[str, Any] = {}
        """What the request that was not answered would have made of each path; None: deleted."""
        self.latest = 0
        """The last revision that was acknowledged."""
        self.acknowledged = 0

    def write_until_it_fails(self, enough: threading.Event) -> None:
        while not enough.is_set():
            wanted = self._think()
            self.possible = wanted
            operations = [
                {"method": "DELETE", "path": f"/v1/{path}"} if body is None
                else {"method": "PUT", "path": f"/v1/{path}", "body": body}
                for path, body in wanted.items()
            ]  # fmt: skip
            try:
                if len(operations) == 1:
                    [operation] = operations
                    answer = self._rest.send(
                        operation["method"], operation["path"], (200, 201, 204),
                        operation.get("body"),
                    )  # fmt: skip
                else:
                    answer = self._rest.batch(*operations)
            except requests.RequestException:
                return
            assert answer.revision >= self.latest, "revisions went back"
            self.latest = answer.revision
            self.acknowledged += 1
            self.possible = {}
            for path, body in wanted.items():
                self._know(path, body, answer.revision)

    def _know(self, path: str, body: Any, revision: int) -> None:
        if body is None:
            for gone in [p for p in self.known if p == path or p.startswith(f"{path}/")]:
                del self.known[gone]
        elif self.known.get(path, (None, 0))[0] != body:
            self.known[path] = (body, revision)

    def _think(self) -> dict[str, Any]:
        """One write, or some that belong together."""
        vni = self._random.choice(self._vnis)
        network = f"networks/{vni}"
        ends = {f"{network}/attachments/{n}/{port}": {"vlan": vni} for n, port in TRUNK.items()}
        body = {"name": f"n{vni}", "ageing": self._random.randint(1, 3600)}
        if network not in self.known:
            return {network: body, **ends}
        match self._random.randrange(6):
            case 0:
                return {network: None}
            case 1:
                path = self._random.choice(list(ends))
                return {path: None if path in self.known else ends[path]}
            case 2:
                return {network: body, **dict.fromkeys(ends)}
            case 3:
                others = [f"networks/{v}" for v in self._vnis if f"networks/{v}" in self.known]
                return {path: {**body, "name": f"n{path[9:]}"} for path in others}
            case _:
                return {network: body}

    def check(self, there: State) -> None:
        """What is there, is what was acknowledged, or what was on its way; never a part of it."""
        mine = {p: s for p, s in there.items() if int(p.split("/")[1]) in self._vnis}
        if mine == self.known:
            return
        after = Writer(0, self._rest)
        after.known = dict(self.known)
        for path, body in self.possible.items():
            after._know(path, body, 0)
        unrevised = {path: body for path, (body, _) in mine.items()}
        assert unrevised == {path: body for path, (body, _) in after.known.items()}
        for path, (body, revision) in mine.items():
            if after.known[path][1]:
                assert revision == after.known[path][1], path
            else:
                assert revision > self.latest, (path, body)
        self.known = mine


def stored(rest: Rest) -> State:
    """All networks and attachments, with their revisions."""
    found: State = {}
    for network in rest.items("/v1/networks", limit=1000):
        path = f"networks/{network['vni']}"
        found[path] = ({m: network[m] for m in ("name", "ageing")}, network["revision"])
        for end in rest.items(f"/v1/{path}/attachments"):
            at = f"{path}/attachments/{int(end['switch'], 16)}/{end['port']}"
            found[at] = ({"vlan": end["vlan"]}, end["revision"])
    return found


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab(vteps=2) as lab:
        yield lab
        assert "Traceback" not in lab.controllers[0].log_text()


def test_killed_in_mid_write(lab: Lab) -> None:
    rest = start_rest(lab, 1, 2, options=QUICK)
    for number, name in TRUNK.items():
        lab.host(name, number)
        rest.wait_ports(number, name)
    controller = lab.controllers[0]
    dice = random.Random(SEED)
    writers = [Writer(n, controller.rest()) for n in range(WRITERS)]
    revision = 0
    for _ in range(KILLS):
        enough = threading.Event()
        threads = [threading.Thread(target=w.write_until_it_fails, args=[enough]) for w in writers]
        goal = sum(w.acknowledged for w in writers) + dice.randint(1, 150)
        for thread in threads:
            thread.start()
        wait_until(lambda: sum(w.acknowledged for w in writers) >= goal,  # noqa: B023
                   "so many were written", 30)  # fmt: skip
        controller.kill9()
        enough.set()
        for thread in threads:
            thread.join(30)
        controller.start()
        there, latest = stored(rest), rest.get("/v1/status")["revision"]
        assert latest >= max(revision, *(w.latest for w in writers))
        revision = latest
        for writer in writers:
            writer.check(there)
    print("acknowledged:", sum(w.acknowledged for w in writers), "revision:", revision)
    # The switches come to hold what is configured at last, and nothing else.
    rest.settle(1, 2)
    there = stored(rest)
    for number, port in TRUNK.items():
        wanted = {body["vlan"] for path, (body, _) in there.items()
                  if path.endswith(f"attachments/{number}/{port}")}  # fmt: skip
        text = "".join(programmed(lab.vtep(number)))
        assert {int(v) for v in re.findall("dl_vlan=([0-9]+) ", text)} == wanted
    flows = {n: programmed(lab.vtep(n)) for n in TRUNK}
    lab.restart(controller)
    rest.settle(1, 2)
    for number in TRUNK:
        sent = rest.get(f"/v1/switches/{number}")["status"]["sent"]
        assert not any(sent.values()), "they held it already"
        assert programmed(lab.vtep(number)) == flows[number]
    rest.batch(*net(7777))
    assert rest.get("/v1/status")["revision"] == revision + 1
