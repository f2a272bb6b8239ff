"""Launches an engine, waits until it is ready, and stops it whatever happens: owns the loop and the clock."""

import queue
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from splitter.engine.command import EngineCommand
from splitter.errors import EngineError
from splitter.run import endpoint
from splitter.run.failure import describe
from splitter.run.lifecycle import Action, Answered, Ended, Event, Limits, Phase, State, StopAsked, Tick, step
from splitter.run.process import Process, exit_words
from splitter.run.snapshot import Snapshot, Watcher

FIRST_PROBE_S, LAST_PROBE_S = 0.02, 0.5  # the time between two probes doubles
IDLE_S = 0.5  # on Windows a wait without a timeout keeps Ctrl-C from being heard
STOP_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")

Handler = Callable[[int, FrameType | None], Any]


class Instance:
    """A launched engine. Use it in a `with`: leaving it stops the engine, also on Ctrl-C, SIGTERM and SIGHUP.

    While it lives, SIGTERM, SIGHUP and Ctrl-Break raise KeyboardInterrupt in the main thread as Ctrl-C does; while it
    stops, each of them climbs one rung of the stop ladder instead.
    """

    def __init__(
        self,
        command: EngineCommand,
        limits: Limits,
        on_log: Callable[[str], None] | None,
        log_file: Path | None,
        watchers: Sequence[Watcher] = (),
    ) -> None:
        self.command = command
        self.url = endpoint.url_of(command.server)
        self.api_key = endpoint.read_key(command.server)
        self.ready_s: float | None = None
        self._limits = limits
        self._watchers = watchers
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._probe_s = FIRST_PROBE_S
        self._handlers = handle_signals(raise_interrupt)
        try:
            self._started_s = time.monotonic()
            self._state = State(since_s=self._started_s)
            self._started_at = time.time()
            self._process = Process(command, on_line=on_log, on_exit=self._on_exit, log_file=log_file)
        except BaseException:
            restore_signals(self._handlers)
            raise
        self._tell_watchers()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def phase(self) -> Phase:
        """Where it is in its life."""
        return self._state.phase

    @property
    def pid(self) -> int:
        """The engine's process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative when a signal ended it."""
        return self._state.exit_code

    @property
    def lines(self) -> tuple[str, ...]:
        """The last lines of its log."""
        return self._process.lines()

    def snapshot(self) -> Snapshot:
        """What is known of it now."""
        pid = None if self._state.ended else self.pid
        failure = self._state.failure
        return Snapshot(self.phase, pid, self.url, 0, 1, self._started_at, self.ready_s, failure, self.command)

    def wait_ready(self) -> Self:
        """Returns when the endpoint answers and it is this child that answers.

        EngineError with the engine's last words when it ends first, when another process answers on its port, or when
        it is not ready in time; it is stopped then.
        """
        while self.phase == "starting":
            self._turn(self._next_probe())
            if self.phase == "starting":
                self._probe()
        if self.phase == "ready":
            return self
        self._run_until_ended()
        raise self._failure()

    def wait(self, timeout_s: float | None = None) -> int | None:
        """The exit code once it ends by itself, None when `timeout_s` passes first; EngineError when it dies."""
        until_s = None if timeout_s is None else time.monotonic() + timeout_s
        while not self._state.ended:
            left_s = IDLE_S if until_s is None else min(IDLE_S, until_s - time.monotonic())
            if left_s <= 0:
                return None
            self._turn(left_s)
        self._close()
        if self.phase == "failed":
            raise self._failure()
        return self.exit_code

    def stop(self) -> int | None:
        """Stops it and everything it started; the exit code. EngineError when it cannot be killed. Twice is fine."""
        if not self._state.ended:
            set_signals(self._handlers, lambda _number, _frame: self._events.put(StopAsked()))
            if self.phase != "stopping":
                self._handle(StopAsked())
            self._run_until_ended()
        self._close()
        if self._state.failure == "unkillable":
            raise self._failure()
        return self.exit_code

    def _probe(self) -> None:
        said = endpoint.health(self.command.engine.kind, self.url, self.api_key)
        if said in {"ready", "no_model"}:
            self._handle(Answered(endpoint.listens(self.pid, self.command.server.port), said == "ready"))

    def _failure(self) -> EngineError:
        return describe(self.command, self._state, self._limits, exit_words(self.exit_code), self.lines)

    def _run_until_ended(self) -> None:
        while not self._state.ended:
            self._turn(FIRST_PROBE_S)
        self._close()

    def _next_probe(self) -> float:
        self._probe_s = min(LAST_PROBE_S, self._probe_s * 2)
        return self._probe_s / 2

    def _turn(self, wait_s: float) -> None:
        """One event, or the passing of `wait_s`."""
        try:
            event: Event = self._events.get(timeout=wait_s)
        except queue.Empty:
            event = Tick()
        self._handle(event)

    def _handle(self, event: Event) -> None:
        before = self._state.phase
        self._state, actions = step(self._state, event, time.monotonic(), self._limits)
        for action in actions:
            self._act(action)
        if self.phase == "ready" and before != "ready":
            self.ready_s = self._state.since_s - self._started_s
        if self.phase != before:
            self._tell_watchers()

    def _tell_watchers(self) -> None:
        snapshot = self.snapshot()
        for watcher in self._watchers:
            watcher(snapshot)

    def _act(self, action: Action) -> None:
        match action:
            case "interrupt":
                self._process.interrupt()
            case "terminate":
                self._process.terminate()
            case "kill":
                self._process.kill()

    def _on_exit(self, exit_code: int) -> None:
        self._events.put(Ended(exit_code))

    def _close(self) -> None:
        restore_signals(self._handlers)
        self._handlers = {}


def launch(
    command: EngineCommand,
    *,
    on_log: Callable[[str], None] | None = None,
    log_file: Path | None = None,
    start_timeout_s: float | None = None,
    limits: Limits | None = None,
    watchers: Sequence[Watcher] = (),
) -> Instance:
    """Starts the engine. `on_log` gets each line it writes, from a thread; `watchers` get a snapshot after every change
    of phase or process, from the loop's thread.

    EngineError when the port is taken (nothing is started then) or the program cannot be started.
    """
    limits = limits or Limits()
    if start_timeout_s is not None:
        limits = replace(limits, start_timeout_s=start_timeout_s)
    endpoint.require_free(command.server)
    return Instance(command, limits, on_log, log_file, watchers)


def raise_interrupt(_number: int, _frame: FrameType | None) -> None:
    """What Ctrl-C does."""
    raise KeyboardInterrupt


def handle_signals(handler: Handler) -> dict[int, Any]:
    """Gives every stop signal the `handler`; what they had. Only the main thread may: others change nothing."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    numbers = [getattr(signal, name) for name in STOP_SIGNALS if hasattr(signal, name)]
    return {number: signal.signal(number, handler) for number in numbers}


def set_signals(handlers: Mapping[int, Any], handler: Handler) -> None:
    """Gives the signals in `handlers` another handler."""
    for number in handlers:
        signal.signal(number, handler)


def restore_signals(handlers: Mapping[int, Any]) -> None:
    """Gives the signals in `handlers` back what they had."""
    for number, before in handlers.items():
        signal.signal(number, before if before is not None else signal.SIG_DFL)
