"""Issue 7, Show 5: `tune` killed with signal 9 at random moments; the database stays whole and the tune goes on.

    python -m tests.bench.kill_tune [KILLS]

Prints, for each kill, the trials that were kept; at the end that the last run ended by itself. No engine may outlive
its supervisor (run/process.py guards them): orphans are counted, ended here, and fail the run.
"""

import json
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.bench.emulated import RIGS, World, from_line, small_model

WORDS = ("-c", "512", "-np", "1", "-ngl", "25", "--prompt-tokens", "16", "--generate", "4", "--minutes", "10")
ORPHAN_S = 5.0
LONGEST_S = 25.0  # on a busy machine the first trial alone takes ten seconds


@dataclass(frozen=True)
class Killed:
    """One kill: seconds after the start, trials kept before and after, engines that outlived the supervisor."""

    after_s: float
    before: int
    kept: int
    orphans: int


def kept_trials(path: Path) -> int:
    """Trials in a database that must be whole, each with its record."""
    if not path.exists():
        return 0
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        if "tune_trials" not in tables:
            return 0
        documents = [json.loads(text) for (text,) in connection.execute("SELECT document FROM tune_trials")]
        records = {number for (number,) in connection.execute("SELECT id FROM records")}
    assert {document["record_id"] for document in documents} <= records
    return len(documents)


def trial_records(path: Path) -> list[int]:
    """The records of the kept trials, in order."""
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT document FROM tune_trials ORDER BY position").fetchall()
    return [json.loads(text)["record_id"] for (text,) in rows]


def kill_once(world: World, words: tuple[str, ...], after_s: float) -> Killed | None:
    """Starts, kills after `after_s` seconds; None when the tune had ended before."""
    before = kept_trials(world.database())
    process = world.start("tune", *words)
    try:
        process.communicate(timeout=after_s)
    except Exception:  # noqa: BLE001 - a timeout is what is wanted
        family = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.wait()
        orphans = end_orphans(family)
        return Killed(after_s, before, kept_trials(world.database()), orphans)
    assert process.returncode == 0, process.returncode
    return None


def end_orphans(family: list[psutil.Process]) -> int:
    """How many of `family` live on; they are ended."""
    _, alive = psutil.wait_procs(family, timeout=ORPHAN_S)
    for process in alive:
        process.kill()
    psutil.wait_procs(alive, timeout=ORPHAN_S)
    return len(alive)


def kills(world: World, count: int, seed: int, longest_s: float) -> Iterator[Killed]:
    """`count` kills at random moments, some before the first trial is over; a tune that ends before is begun anew."""
    rnd = random.Random(seed)
    words = (*WORDS, "--from", from_line(world, [f"CUDA{i}" for i in (1, 0)], [52, 42]))
    while count > 0:
        found = kill_once(world, words, rnd.uniform(0.3, longest_s))
        if found is not None:
            count -= 1
            yield found
    done = world.run("tune", *words)
    assert done["ended_by"] == "nothing better"
    assert Path(done["profile"]).is_file()


def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), small_model(Path(folder)), RIGS["budget-pair / 100"], time_scale=300)
        begin = time.monotonic()
        for number, killed in enumerate(kills(world, count, 7, LONGEST_S), 1):
            sys.stdout.write(
                f"kill {number} after {killed.after_s:4.1f} s: {killed.before} trials before, {killed.kept} kept, "
                f"{killed.orphans} engines outlived it\n"
            )
            sys.stdout.flush()
            assert killed.orphans == 0, killed
        spent = time.monotonic() - begin
        sys.stdout.write(f"database whole after each, the last run resumed and ended by itself ({spent:.0f} s)\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
