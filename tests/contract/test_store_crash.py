"""What is left when the process, the disk or the file goes away under the store."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from controller.store.sqlite import SqliteStore
from tests.contract.crash import LANES, batch, look

ROOT = Path(__file__).parents[2]
KILLS = 300


def run(module: str, *arguments: object) -> str:
    """What a module of this package prints; fails with what it complains of."""
    command = [sys.executable, "-m", f"tests.contract.{module}", *map(str, arguments)]
    done = subprocess.run(
        command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_kill_loses_nothing_acknowledged_and_halves_nothing(tmp_path: Path) -> None:
    counts = json.loads(run("crash", tmp_path, 1, KILLS))
    assert counts["kills"] == KILLS
    # It was in the midst of it: there was much to lose.
    assert counts["acknowledged"] > 10 * KILLS
    assert counts["opened"] > KILLS / 2


def test_a_full_disk_fails_what_does_not_fit_and_nothing_else(tmp_path: Path) -> None:
    run("full_disk", tmp_path)


def test_a_torn_log_leaves_whole_batches(tmp_path: Path) -> None:
    """As after a power cut on a disk that lied about having written: the end is missing, or
    something in it. What is left is some moment of the past, not a mixture of several."""
    path = tmp_path / "store.db"
    moments = [{"revision": 0, **dict.fromkeys(LANES, 0)}]
    with closing(SqliteStore(path)) as store:
        for number in range(1, 16):
            for lane in LANES:
                store.commit(batch(lane, number, 500))
                moments.append(look(store))
        files = {end: Path(f"{path}{end}").read_bytes() for end in ("", "-wal")}

    rng = random.Random(1)
    log = files["-wal"]
    cut = [log[: rng.randrange(len(log))] for _ in range(40)]
    flipped = []
    for _ in range(40):
        damaged = bytearray(log)
        damaged[rng.randrange(len(log))] ^= 1 << rng.randrange(8)
        flipped.append(bytes(damaged))
    found = []
    for number, torn in enumerate([log, *cut, *flipped]):
        copy = tmp_path / str(number) / "store.db"
        copy.parent.mkdir()
        copy.write_bytes(files[""])
        Path(f"{copy}-wal").write_bytes(torn)
        with closing(SqliteStore(copy)) as store:
            found.append(look(store))
            assert found[-1] in moments
            assert store.commit(batch("c", 1, 0)) == found[-1]["revision"] + 1
        shutil.rmtree(copy.parent)
    assert found[0] == moments[-1]
    assert len({moment["revision"] for moment in found}) > 10
