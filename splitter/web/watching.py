"""Watches instances that other processes supervise: one thread per instance that somebody looks at, memory flat."""

import threading
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from splitter.engine.command import EngineCommand, EngineRef, Server
from splitter.engine.engines import ENGINES
from splitter.run.entry import Entry
from splitter.run.log_reader import Mark, new_lines, tail
from splitter.run.reading import Reading
from splitter.run.registry import Registry
from splitter.run.snapshot import Snapshot
from splitter.run.watch import Watch

INTERVAL_S = 1.0
IDLE_S = 30.0  # nobody looked: the thread ends
SAMPLES = 300
FIRST_LINES = 400


class Watched:
    """One instance: `latest` is the newest sample, `history` (time, tokens per second) of the last minutes."""

    def __init__(self, entry: Entry) -> None:
        self.entry, self.latest = entry, Reading()
        self.history: deque[tuple[float, float | None]] = deque(maxlen=SAMPLES)
        self.ended = False
        self._watch, self._mark = Watch(), Mark()
        self._looked_s = time.monotonic()
        self._thread = threading.Thread(target=self._run, name=f"watch {entry.name}", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it still samples."""
        return self._thread.is_alive()

    def looked(self) -> None:
        """Somebody looks."""
        self._looked_s = time.monotonic()

    def _run(self) -> None:
        while time.monotonic() - self._looked_s < IDLE_S:
            entry = next((found for found in Registry().entries() if found.id == self.entry.id), None)
            if entry is None:
                self.ended = True
                return
            self._sample(entry)
            time.sleep(INTERVAL_S)

    def _sample(self, entry: Entry) -> None:
        self.entry = entry
        self._watch.watcher(snapshot_of(entry))
        with suppress(OSError):
            for line in self._new_lines(entry):
                self._watch.on_line(line)
        self.latest = self._watch.sample()
        self.history.append((time.time(), self.latest.tokens_per_s))

    def _new_lines(self, entry: Entry) -> list[str]:
        if entry.log_file is None:
            return []
        read = tail(Path(entry.log_file), FIRST_LINES) if self._mark == Mark() else new_lines(
            Path(entry.log_file), self._mark
        )  # fmt: skip
        lines, self._mark = read
        return lines


class Watches:
    """The instances that are looked at."""

    def __init__(self) -> None:
        self._watched: dict[str, Watched] = {}
        self._lock = threading.Lock()

    def of(self, entry: Entry) -> Watched:
        """The watch of `entry`, begun where there is none."""
        with self._lock:
            self._watched = {key: kept for key, kept in self._watched.items() if kept.alive}
            found = self._watched.setdefault(entry.id, None) or Watched(entry)  # type: ignore[arg-type]
            self._watched[entry.id] = found
        found.looked()
        return found


def snapshot_of(entry: Entry) -> Snapshot:
    """What an entry tells, as its own supervisor would."""
    command = EngineCommand(
        EngineRef(entry.engine_kind, None, entry.engine_version),
        entry.argv or (entry.engine_kind,),
        {},
        Server(entry.host, entry.port, entry.api_key_file),
        entry.model_path,
    )
    known = entry.engine_kind in ENGINES
    return Snapshot(
        entry.phase,  # type: ignore[arg-type]  # another version's phase is only shown
        entry.engine_pid if known else None,
        entry.url,
        entry.restarts,
        entry.restarts + 1,
        entry.started_at,
        entry.ready_s,
        None,
        command,
    )


def planned_bytes(entry: Entry) -> Mapping[str, int]:
    """What the plan puts on each card."""
    return {card.id: card.used_bytes for card in entry.devices}
