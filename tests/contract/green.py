"""Uses a store from green threads, in a process patched as osken-manager patches itself.

    python -m tests.contract.green DIRECTORY

Prints what it measured as JSON, or fails with what was wrong.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings

warnings.simplefilter("ignore")

from os_ken.lib import hub  # noqa: E402 - as osken-manager: patch first, then import

hub.patch(thread=False)
hub.patch(thread=True)

import queue  # noqa: E402
import threading  # noqa: E402

from eventlet import patcher, tpool  # noqa: E402

from controller.store import Put  # noqa: E402
from controller.store.native import threading as native_threading  # noqa: E402
from controller.store.schema import connect  # noqa: E402
from controller.store.sqlite import SqliteStore  # noqa: E402

COMMITS = 500
CALLERS = 10
SOON = 30.0


class Ticker:
    """A green thread that only wants its turn, and notes how long it had to wait for it."""

    def __init__(self) -> None:
        self.ticks = 0
        self.gap = 0.0
        hub.spawn(self._run)

    def _run(self) -> None:
        last = time.monotonic()
        while True:
            hub.sleep(0.001)
            now = time.monotonic()
            self.gap = max(self.gap, now - last)
            self.ticks += 1
            last = now


def main(directory: str) -> None:
    """Commits from green threads while the hub goes on; then while the file is held."""
    assert patcher.is_monkey_patched("thread")
    assert patcher.is_monkey_patched("os")
    assert native_threading.Thread is not threading.Thread
    path = os.path.join(directory, "store.db")
    store = SqliteStore(path)
    assert "store-writer" in {thread.name for thread in native_threading.enumerate()}

    ticker = Ticker()
    watch = store.watch("", 0)
    watching = hub.spawn(lambda: [tpool.execute(watch.next, SOON) for _ in range(COMMITS)])
    seen: queue.Queue[int] = queue.Queue()

    def caller(number: int) -> None:
        for turn in range(COMMITS // CALLERS):
            seen.put(tpool.execute(store.commit, [Put(f"{number}", f"{turn}" * 1000)]))

    callers = [hub.spawn(caller, number) for number in range(CALLERS)]
    hub.joinall([*callers, watching])
    revisions = sorted(seen.get() for _ in range(COMMITS))
    assert revisions == list(range(1, COMMITS + 1))
    gap = ticker.gap

    # Whatever keeps the writer waiting, green threads do not wait with it.
    other = connect(path)
    other.execute("BEGIN IMMEDIATE")
    ticket = store.submit([Put("late", "")])
    waiting = hub.spawn(tpool.execute, ticket.wait)
    before = ticker.ticks
    while ticker.ticks < before + 100:
        hub.sleep(0.001)
    try:
        ticket.wait(0)
    except TimeoutError:
        pass
    else:
        raise AssertionError("committed although the file is held")
    other.execute("COMMIT")
    other.close()
    assert waiting.wait() == COMMITS + 1
    tpool.execute(store.close)
    print(json.dumps({"gap": gap}))


if __name__ == "__main__":
    main(sys.argv[1])
