"""What the REST API manages, without any switch: ``python -m bench.rest``.

A controller of its own, with a store on disk, and clients on the same machine, which take CPU as
well: compare only within one run. Figures are the best and the median of several runs.
"""

from __future__ import annotations

import http.client
import json
import socket
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from mininet_topos.hosts import wait_until
from tests.support.crowd import Crowd
from tests.support.lab import Controller

RUNS = 5
REQUESTS = 400
NETWORKS, ENDPOINTS = 1000, 10
FOLLOWERS = 50
HOST = "127.0.0.1"


class Client:
    """One connection that is kept."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection(HOST, port, timeout=60)

    def send(self, method: str, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body)
        self._connection.request(method, path, data, {"Content-Type": "application/json"})
        answer = self._connection.getresponse()
        text = answer.read()
        assert answer.status < 300, text
        return json.loads(text)

    def close(self) -> None:
        self._connection.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def fill(client: Client) -> None:
    """Networks with endpoints, in one batch."""
    operations = []
    for n in range(NETWORKS):
        path = f"/v1/networks/{n + 1}"
        operations.append({"method": "PUT", "path": path, "body": {"name": f"net{n}"}})
        for e in range(ENDPOINTS):
            where = f"{path}/endpoints/02:10:{n >> 8:02x}:{n & 255:02x}:00:{e:02x}"
            operations.append({"method": "PUT", "path": where, "body": {"vtep": "203.0.113.1"}})
    client.send("POST", "/v1/batch", {"operations": operations})


def seconds(work: Callable[[], object]) -> float:
    begin = time.monotonic()
    work()
    return time.monotonic() - begin


def gets(client: Client) -> None:
    for _ in range(REQUESTS):
        client.send("GET", "/v1/networks/1")


def puts(client: Client, vni: int, numbers: Iterator[int], requests: int) -> None:
    """Each of them changes something."""
    for _ in range(requests):
        client.send("PUT", f"/v1/networks/{vni}", {"name": f"changed{next(numbers)}"})


def puts_of_many(clients: list[Client], numbers: Iterator[int]) -> None:
    each = REQUESTS // len(clients)
    with ThreadPoolExecutor(len(clients)) as pool:
        for n, client in enumerate(clients):
            pool.submit(puts, client, 10 + n, numbers, each)


def pages(client: Client, path: str) -> None:
    cursor = ""
    while cursor is not None:
        cursor = client.send("GET", f"{path}?limit=1000{cursor and '&cursor='}{cursor}")["next"]


def fan_out(crowd: Crowd, client: Client, numbers: Iterator[int]) -> None:
    """Changes, until the last of them is known to each follower."""
    puts(client, 1, numbers, REQUESTS)
    newest = int(client.send("GET", "/v1/status")["revision"]) - crowd_began[0]
    wait_until(lambda: all(r.heard(newest) for r in crowd.readers), "all have heard it", 60)


crowd_began = [0]
"""The revision at the start: since then there was an event for each."""


def show(what: str, unit: str, work: Callable[[], object], times: float | None = None) -> None:
    """``times``: how often something is done in one run, of which so many a second are shown."""
    took = [seconds(work) for _ in range(RUNS)]
    figures = took if times is None else [-times / each for each in took]
    best, median = (abs(f) for f in (min(figures), statistics.median(figures)))
    print(f"{what:44} {best:9.2f} / {median:9.2f} {unit}")


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        options = {"rest_port": free_port(), "rest_reads": 10**6, "rest_writes": 10**6}
        options_all: dict[str, object] = {**options, "status_file": ""}
        controller = Controller(
            Path(directory), port=free_port(), host=HOST, rest=True, options=options_all
        ).start()
        port = options["rest_port"]
        try:
            with closing(Client(port)) as client:
                measure(client, port)
        finally:
            controller.stop()


def measure(client: Client, port: int) -> None:
    numbers = count()
    fill(client)
    crowd_began[0] = client.send("GET", "/v1/status")["revision"] - 1
    show("GET of a network, 1 client", "requests/s", partial(gets, client), REQUESTS)
    one = partial(puts, client, 1, numbers, REQUESTS)
    show("PUT of a network, 1 client", "requests/s", one, REQUESTS)
    clients = [Client(port) for _ in range(16)]
    many = partial(puts_of_many, clients, numbers)
    show("PUT of a network, 16 clients", "requests/s", many, REQUESTS)
    for each in clients:
        each.close()
    for path, items in (("/v1/networks", NETWORKS), ("/v1/endpoints", NETWORKS * ENDPOINTS)):
        show(f"{path}, {items} items, 1000 a page", "s", partial(pages, client, path))
    crowd = Crowd((HOST, port), ["fast"] * FOLLOWERS)
    told = partial(fan_out, crowd, client, numbers)
    show(f"events to {FOLLOWERS} followers", "events/s", told, REQUESTS * FOLLOWERS)
    crowd.close()


if __name__ == "__main__":
    main()
