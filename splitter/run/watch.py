"""Watches a running instance from a thread of its own: the supervisor's loop never waits for it.

It asks the engine at most once a second, and only one page that is made between two decodes; what requests cost is read
from the log lines that the engine writes anyway.
"""

import http.client
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Self

from splitter.engine.engines import ENGINES
from splitter.engine.http import Slots
from splitter.errors import EngineError
from splitter.rig.device import Rig
from splitter.rig.sensors import Sensors
from splitter.run import endpoint
from splitter.run.keys import key_of
from splitter.run.process_use import ProcessMeter
from splitter.run.reading import ProcessUse, Reading, rate_now
from splitter.run.snapshot import Snapshot
from splitter.run.tally import Tally, after_line, after_restart, after_slots

INTERVAL_S = 1.0
ASK_S = 1.0  # an engine that reads a long prompt may answer late: unknown this time
SERVING = {"ready", "degraded"}


class Watch:
    """`watcher` and `on_line` go to `supervisor.launch`; `latest` is the newest sample; `on_reading` gets each, from
    the watch's thread. In a `with` the thread runs."""

    def __init__(
        self,
        rig: Rig | None = None,
        on_reading: Callable[[Reading], None] | None = None,
        interval_s: float = INTERVAL_S,
        sensors: Sensors | None = None,
    ) -> None:
        self.latest = Reading()
        self.on_reading = on_reading
        self._interval_s = interval_s
        self._sensors = sensors or Sensors(rig)
        self._snapshot: Snapshot | None = None
        self._tally = Tally()
        self._key: str | None = None
        self._lock, self._sampling = threading.Lock(), threading.Lock()
        self._ended = threading.Event()
        self._history: deque[tuple[float, int]] = deque(maxlen=30)
        self._own = ProcessMeter()
        self._engine: ProcessMeter | None = None
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(timeout=3 * ASK_S)
        self.close()

    def close(self) -> None:
        """Gives the driver back: from now on `sample` is the last one. Twice is fine."""
        self._ended.set()
        with self._sampling:
            self._sensors.close()

    def watcher(self, snapshot: Snapshot) -> None:
        """Takes the supervisor's news; returns at once."""
        before = self._snapshot
        if before is None or before.pid != snapshot.pid:
            self._engine = None
        if before is None or before.generation != snapshot.generation:
            with self._lock:
                self._tally = after_restart(self._tally)
        self._snapshot = snapshot

    def on_line(self, line: str) -> None:
        """Takes one line of the engine's log."""
        with self._lock:
            self._tally = after_line(self._tally, line)

    def sample(self) -> Reading:
        """Everything now; once it is closed, as it was last."""
        with self._sampling:
            if not self._ended.is_set():
                self.latest = self._sample()
            return self.latest

    def _sample(self) -> Reading:
        snapshot = self._snapshot
        slots = self._ask_slots(snapshot) if snapshot and snapshot.pid and snapshot.phase in SERVING else None
        with self._lock:
            if slots and slots.generated is not None:
                self._tally = after_slots(self._tally, slots.generated)
            tally = self._tally
        self._history.append((time.monotonic(), tally.generated_tokens))
        told = slots is not None and slots.generated is not None
        return Reading(
            snapshot,
            self._sensors.read(),
            slots,
            tally,
            rate_now(tuple(self._history)) if told else None,
            self._read_engine(snapshot),
            self._own.read(),
        )

    def _run(self) -> None:
        while not self._ended.is_set():
            self.sample()
            if self.on_reading:
                self.on_reading(self.latest)
            self._ended.wait(self._interval_s)

    def _read_engine(self, snapshot: Snapshot | None) -> ProcessUse | None:
        if snapshot is None or snapshot.pid is None:
            return None
        meter = self._engine or ProcessMeter(snapshot.pid)
        self._engine = meter
        return meter.read()

    def _ask_slots(self, snapshot: Snapshot) -> Slots | None:
        """None when the engine does not tell, or not in time."""
        command = snapshot.command
        if "--sleep-idle-seconds" in command.argv:  # being asked for its slots would keep it awake
            return None
        engine = ENGINES[command.engine.kind]
        try:
            answer = endpoint.ask(snapshot.url, engine.slots_path, api_key=self._read_key(snapshot), timeout_s=ASK_S)
        except (OSError, http.client.HTTPException):
            return None
        return engine.slots(answer.json(), command.argv) if answer.status == 200 else None

    def _read_key(self, snapshot: Snapshot) -> str | None:
        if self._key is None:
            with suppress(EngineError):
                self._key = key_of(snapshot.command.server)
        return self._key
