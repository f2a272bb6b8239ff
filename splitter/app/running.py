"""An engine that a program launched: supervised by a thread of its own until it is stopped."""

import threading
import time
from types import TracebackType
from typing import Any, Self

from splitter.app.events import Events
from splitter.app.launching import LaunchPlace, Started, started
from splitter.app.planning import Planned, plan_launch
from splitter.app.wishes import Wishes
from splitter.bench.plain import to_plain
from splitter.run.snapshot import Snapshot
from splitter.run.watch import Watch

LOOK_S = 0.2  # the main thread stays free for Ctrl-C


class Running:
    """A launched engine, ready to answer. Leaving the `with` stops it.

    It is restarted and planned anew as its supervision says; other terminals see it in `splitter ps`. No signal is
    touched: several may run in one process.
    """

    def __init__(self, planned: Planned, wishes: Wishes, events: Events, *, name: str | None, log_file: str | None):
        place = LaunchPlace(wishes, name, log_file, time.time(), on_stop=self._ask_stop)
        self._planned, self._place, self._events = planned, place, events
        self._watch = Watch(planned.plan.rig)
        self._started: Started | None = None
        self._error: BaseException | None = None
        self._code: int | None = None
        self._stop_asked = False
        self._ready, self._ended = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="splitter supervisor", daemon=True)
        self._thread.start()
        try:
            while not self._ready.wait(LOOK_S):
                pass
        except BaseException:
            self.stop()
            raise
        if self._error is not None:
            raise self._error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where it answers, such as http://127.0.0.1:8080."""
        return self._now().instance.url

    @property
    def pid(self) -> int:
        """The engine's process."""
        return self._now().instance.pid

    @property
    def phase(self) -> str:
        """ready, degraded, waiting, replanning, ... exited or failed."""
        return self._now().instance.phase

    @property
    def planned(self) -> Planned:
        """The plan in force: after memory ran out, another one than at first."""
        return self._now().planned

    @property
    def log(self) -> tuple[str, ...]:
        """The last lines that the engine wrote."""
        return self._now().instance.lines

    def metrics(self) -> dict[str, Any]:
        """What is known of it now: tokens per second, slots, memory and load per card, use of RAM and CPU."""
        reading = self._watch.sample()
        plain: dict[str, Any] = to_plain(
            {
                "tokens_per_s": reading.tokens_per_s,
                "tokens": reading.tally,
                "slots": reading.slots,
                "cards": reading.cards.cards,
                "engine": reading.engine,
            }
        )
        snapshot = reading.snapshot
        return {"phase": self.phase, "restarts": snapshot.restarts if snapshot else 0, **plain}

    def wait(self, timeout_s: float | None = None) -> int | None:
        """The exit code once it ended, None while it runs on. EngineError when it failed."""
        until_s = None if timeout_s is None else time.monotonic() + timeout_s
        while not self._ended.wait(LOOK_S):
            if until_s is not None and time.monotonic() >= until_s:
                return None
        if self._error is not None and not self._stop_asked:
            raise self._error
        return self._code

    def stop(self) -> int | None:
        """Stops it and everything it started; the exit code. Twice is fine."""
        self._stop_asked = True
        self._ask_stop()
        self._thread.join()
        return self._code

    def _ask_stop(self) -> None:
        self._stop_asked = True
        if self._started is not None and not self._ended.is_set():
            self._started.instance.ask_stop()

    def _now(self) -> Started:
        if self._started is None:
            raise RuntimeError("the engine was not started")
        return self._started

    def _run(self) -> None:
        supervision = self._planned.task.supervision
        try:
            with started(
                self._planned, self._place, supervision, self._events, show=self._watch.on_line, watchers=(self._take,)
            ) as running:
                self._started = running
                if self._stop_asked:
                    return
                running.instance.wait_ready()
                self._ready.set()
                self._code = running.instance.wait()
        except BaseException as error:  # noqa: BLE001 - it is raised again in the thread that waits
            self._error = error
        finally:
            if self._started is not None:
                self._code = self._started.instance.exit_code
            self._watch.close()
            self._ended.set()
            self._ready.set()

    def _take(self, snapshot: Snapshot) -> None:
        self._watch.watcher(snapshot)


def launch_model(wishes: Wishes, events: Events, *, name: str | None = None, log_file: str | None = None) -> Running:
    """Plans, proves where it can, starts the engine and returns when it is ready. EngineError when it does not get
    there."""
    return Running(plan_launch(wishes, events), wishes, events, name=name, log_file=log_file)
