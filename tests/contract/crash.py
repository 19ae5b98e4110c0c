"""Kills a process that uses a store, again and again, and looks at what is left each time.

    python -m tests.contract.crash DIRECTORY SEED KILLS

Prints counts as JSON, or fails with what was wrong. Runs as a process of its own, which forks the
one to be killed: that takes milliseconds, starting Python would take a third of a second.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
import time
import traceback
from collections import deque
from contextlib import closing, suppress
from typing import Any, NoReturn

from controller.store import Delete, Guard, GuardFailed, Operation, Put, Store, Ticket
from controller.store.sqlite import SqliteStore

LANES = ("a", "b")
"""Each a thread's keys: five with the number of its last batch, one there for odd numbers only."""
KEYS = 5
DEPTH = 8
"""Batches under way in a lane at most."""


def batch(lane: str, number: int, size: int) -> list[Operation]:
    """What belongs together. ``size`` pads the values, so that some take many pages."""
    value = f"{number}:{'x' * size}"
    odd: Operation = Put(f"{lane}/odd", str(number)) if number % 2 else Delete(f"{lane}/odd")
    return [*(Put(f"{lane}/{key}", value) for key in range(KEYS)), odd]


def look(store: Store) -> dict[str, int]:
    """The revision, and the number of each lane's last batch; AssertionError if one is halved."""
    snapshot = store.load()
    assert "never" not in snapshot.entries, "a refused commit left something"
    found = {"revision": snapshot.revision}
    for lane in LANES:
        entries = [snapshot.entries.get(f"{lane}/{key}") for key in range(KEYS)]
        assert len(set(entries)) == 1, f"half a batch in lane {lane}: {entries}"
        number = int(entries[0].value.partition(":")[0]) if entries[0] else 0
        odd = snapshot.entries.get(f"{lane}/odd")
        assert (odd.value if odd else None) == (str(number) if number % 2 else None)
        found[lane] = number
    return found


def use(path: str, pipe: int, seed: int) -> NoReturn:
    """What the process to be killed does: says what it found, then each batch that is done."""

    def say(*words: object) -> None:
        os.write(pipe, (json.dumps(words) + "\n").encode())

    def fill(lane: str, number: int) -> None:
        try:
            rng = random.Random(f"{seed}{lane}")
            depth = rng.randint(1, DEPTH)
            under_way: deque[tuple[int, Ticket]] = deque()
            while True:
                number += 1
                size = rng.choice((0, 10, 500, 3000))
                under_way.append((number, store.submit(batch(lane, number, size))))
                if number % 3 == 0:
                    broken = [Put(f"{lane}/0", "broken"), Put("never", "")]
                    with suppress(GuardFailed):
                        store.commit(broken, [Guard("never", 1)])
                if len(under_way) == depth:
                    done, ticket = under_way.popleft()
                    say("done", lane, done, ticket.wait())
        except BaseException:
            traceback.print_exc()
            os._exit(1)

    try:
        store = SqliteStore(path)
        found = look(store)
        say("found", found, store.claim("process"))
        for lane in LANES[1:]:
            threading.Thread(target=fill, args=(lane, found[lane]), daemon=True).start()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    fill(LANES[0], found[LANES[0]])
    raise AssertionError("unreachable")


class Witness:
    """Remembers what was acknowledged, and holds the store to it."""

    def __init__(self) -> None:
        self.last = dict.fromkeys(("revision", *LANES), 0)
        self.generation = 0
        self.acknowledged = self.more = self.opened = 0
        self._unchecked: dict[int, tuple[str, int]] = {}

    def hear(self, line: str) -> None:
        """One line of the process."""
        match json.loads(line):
            case ["found", found, generation]:
                self.opened += 1
                self.compare(found)
                assert generation > self.generation, "a generation was given twice"
                self.generation = generation
            case ["done", lane, number, revision]:
                self.acknowledged += 1
                assert number == self.last[lane] + 1
                self.last[lane] = number
                assert revision not in self._unchecked, "a revision was given twice"
                self._unchecked[revision] = (lane, number)
                self.last["revision"] = max(self.last["revision"], revision)

    def compare(self, found: dict[str, int]) -> None:
        """What was found after a kill: everything acknowledged, at most what was under way."""
        for what, least in self.last.items():
            assert found[what] >= least, f"{what} was {least}, and is {found[what]}"
        for lane in LANES:
            assert found[lane] <= self.last[lane] + DEPTH
            self.more += found[lane] - self.last[lane]
        # Each batch changes something, and nothing else does.
        assert found["revision"] == sum(found[lane] for lane in LANES)
        self.last = dict(found)

    def audit(self, store: Store) -> None:
        """Looks for itself, also at whether the log agrees with what was acknowledged."""
        self.compare(look(store))
        start: Any = store.status()["oldest"]
        watch = store.watch("", start)
        state: dict[str, str | None] = {}
        while (change := watch.next(0)) is not None:
            start += 1
            assert change.revision == start
            state.update(change.entries)
            lane, number = self._unchecked.pop(start, (None, 0))
            if lane is not None:
                value = dict(change.entries)[f"{lane}/0"]
                assert value is not None
                assert value.partition(":")[0] == str(number)
        assert not [revision for revision in self._unchecked if revision > start]
        now = {key: entry.value for key, entry in store.load().entries.items()}
        assert state.items() >= now.items()
        assert not any(value for key, value in state.items() if key not in now)


def kill_once(path: str, seed: int, witness: Witness) -> None:
    """Starts the process, kills it at some moment, and takes in what it had said by then."""
    rng = random.Random(seed)
    # Some die while they open the store, most while they write.
    lines = 0 if rng.random() < 0.2 else rng.randint(1, 40)
    delay = rng.uniform(0, 0.015 if lines == 0 else 0.002)
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(reading)
        use(path, writing, seed)
    os.close(writing)
    with open(reading, encoding="utf-8") as said:
        try:
            heard = [said.readline() for _ in range(lines)]
            # Any moment is as good as any other: none is waited for.
            time.sleep(delay)
        finally:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
            _, status = os.waitpid(process, 0)
        assert os.WIFSIGNALED(status), "the process ended by itself"
        for line in heard + said.readlines():
            if line.endswith("\n"):
                witness.hear(line)


def main(directory: str, seed: int, kills: int) -> None:
    """Kills as often as that, and prints what came of it."""
    path = os.path.join(directory, "store.db")
    witness = Witness()
    for number in range(kills):
        kill_once(path, seed + number, witness)
        # Not each time: who closes the store tidies up what a kill left, and the next process
        # would never find what several left.
        if number % 20 == 19 or number == kills - 1:
            with closing(SqliteStore(path)) as store:
                witness.audit(store)
    counts = {"acknowledged": witness.acknowledged, "more": witness.more, "opened": witness.opened}
    print(json.dumps({"kills": kills, **counts}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
