"""Launches an engine, keeps it alive as told, and stops it whatever happens: owns the loop and the clock."""

import queue
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

from splitter.engine.command import EngineCommand
from splitter.engine.engines import ENGINES
from splitter.engine.log.shortage import Shortage, shortage
from splitter.engine.supervision import UNSUPERVISED, Supervision
from splitter.errors import EngineError, SplitterError
from splitter.run import endpoint
from splitter.run.failure import describe
from splitter.run.interrupts import leave, listen
from splitter.run.keys import key_of
from splitter.run.lifecycle import (
    Action,
    Answered,
    Ended,
    Event,
    Failure,
    NotStarted,
    Phase,
    RenewAsked,
    Replanned,
    State,
    StopAsked,
    Tick,
    Unanswered,
    sleep_s,
    step,
)
from splitter.run.process import Process
from splitter.run.snapshot import Snapshot, Watcher

WORKING_S = 0.05  # CPU time that an engine which is merely slow to answer spends during one probe

Replan = Callable[[Shortage], EngineCommand]


@dataclass(frozen=True, slots=True)
class Hooks:
    """Who is told what. `on_log` gets each line of the engine, from a thread; `watchers` a snapshot after every change
    of phase or process, from the loop's thread; `replan` a shortage of memory, to answer with another command (or to
    refuse with a SplitterError); `prepare` is asked before every start but the first, and gives its command."""

    on_log: Callable[[str], None] | None = None
    watchers: Sequence[Watcher] = ()
    replan: Replan | None = None
    prepare: Callable[[], EngineCommand] | None = None
    clock: Callable[[], float] = time.monotonic


class Instance:
    """A launched engine. Use it in a `with`: leaving it stops the engine, whatever happens.

    One that was made in the main thread hears of every interrupt (`run.interrupts`): each raises KeyboardInterrupt
    there; while it stops, each climbs one rung of the stop ladder instead. It touches no signal. `wait_ready` and
    `wait` run the loop, in one thread: restarts happen inside them.
    """

    def __init__(self, command: EngineCommand, supervision: Supervision, hooks: Hooks) -> None:
        self.command = command
        self.url = endpoint.url_of(command.server)
        self.api_key = key_of(command.server)
        self.ready_s: float | None = None
        self._supervision, self._hooks, self._clock = supervision, hooks, hooks.clock
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._state = State(since_s=self._clock())
        self._error: SplitterError | None = None
        self._refusal: SplitterError | None = None
        self._shortage: Shortage | None = None
        self._interrupted = False
        self._on_interrupt: Callable[[], bool] = self._interrupt
        listen(self._hear)
        try:
            self._start()
        except BaseException:
            leave(self._hear)
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
        """The process id of the latest start."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it first runs; negative when a signal ended it."""
        return self._state.exit_code

    @property
    def lines(self) -> tuple[str, ...]:
        """The last lines of the latest start's log."""
        return self._process.lines()

    def snapshot(self) -> Snapshot:
        """What is known of it now."""
        state = self._state
        return Snapshot(
            phase=state.phase,
            pid=self.pid if state.runs else None,
            url=self.url,
            restarts=state.generation - 1,
            generation=state.generation,
            started_at=self._started_at,
            ready_s=self.ready_s,
            failure=state.failure,
            command=self.command,
        )

    def wait_ready(self) -> Self:
        """Returns when the endpoint answers and it is this child that answers.

        EngineError with the engine's last words when it ends first and is not to be started again, when another process
        answers on its port, or when it is not ready in time; it is stopped then.
        """
        while self.phase != "ready" and not self._state.ended:
            self._turn()
        if self.phase == "ready":
            return self
        self._close()
        raise self._failure()

    def wait(self, timeout_s: float | None = None) -> int | None:
        """The exit code once it ends and stays ended, None when `timeout_s` passes first; EngineError when it fails."""
        until_s = None if timeout_s is None else self._clock() + timeout_s
        while not self._state.ended:
            left_s = None if until_s is None else until_s - self._clock()
            if left_s is not None and left_s <= 0:
                return None
            self._turn(left_s)
        self._close()
        if self.phase == "failed":
            raise self._failure()
        return self.exit_code

    def ask_stop(self) -> None:
        """Asks it to stop, from any thread: `wait_ready` and `wait` then return or raise. Again: one rung on."""
        self._events.put(StopAsked())

    def ask_renew(self, *, stuck: bool = False) -> None:
        """Asks, from any thread, to start it anew with all that it needs elsewhere. Nothing while it starts or ends."""
        self._events.put(RenewAsked(stuck))

    def stop(self) -> int | None:
        """Stops it and everything it started; the exit code. EngineError when it cannot be killed. Twice is fine."""
        if not self._state.ended:
            self._on_interrupt = self._climb
            self._interrupted = False
            if self.phase != "stopping" or not self._state.asked:
                self._handle(StopAsked())
            while not self._state.ended:
                self._turn()
        self._close()
        if self._state.failure == "unkillable":
            raise self._failure()
        return self.exit_code

    def _turn(self, longest_s: float | None = None) -> None:
        """One event, or the passing of time until something is due. KeyboardInterrupt once a stop signal came."""
        if self._interrupted:
            raise KeyboardInterrupt
        wait_s = sleep_s(self._state, self._clock(), self._supervision)
        try:
            event: Event = self._events.get(timeout=wait_s if longest_s is None else min(wait_s, longest_s))
        except queue.Empty:
            event = Tick()
        self._handle(event)

    def _handle(self, event: Event) -> None:
        """One step, its effects, and word of it to the watchers."""
        if isinstance(event, Ended):
            event = replace(event, out_of_memory=self._notice_shortage())
        before = self._state
        self._state, actions = step(before, event, self._clock(), self._supervision)
        if self.phase == "ready" and before.phase == "starting":
            self.ready_s = self._state.since_s - before.since_s
        if self.phase != before.phase:
            self._tell_watchers()
        for action in actions:
            self._act(action)

    def _act(self, action: Action) -> None:
        match action:
            case "interrupt":
                self._process.interrupt()
            case "terminate":
                self._process.terminate()
            case "kill":
                self._process.kill()
            case "probe":
                self._probe()
            case "start":
                self._restart()
            case "replan":
                self._replan()

    def _probe(self) -> None:
        """Asks the endpoint. Whose answer it is costs a look at all sockets: that is checked while it loads only."""
        kind = self.command.engine.kind
        if self.phase == "starting":
            said = endpoint.health(kind, self.url, self.api_key)
            if said in {"ready", "no_model"}:
                self._handle(Answered(endpoint.listens(self.pid, self.command.server.port), said == "ready"))
            return
        spent_s = endpoint.cpu_time_s(self.pid)
        pulse = endpoint.pulse(kind, self.url, self.api_key)
        if pulse == "well":
            self._handle(Answered())
        elif pulse == "failing" or endpoint.cpu_time_s(self.pid) - spent_s < WORKING_S:
            self._handle(Unanswered())

    def _hear(self) -> bool:
        """A stop signal came, to the main thread."""
        return self._on_interrupt()

    def _interrupt(self) -> bool:
        """What Ctrl-C does, and a note of it: Python drops an exception that is raised in a finalizer or a callback of
        its garbage collector, and the loop would go on as if nobody had asked."""
        self._interrupted = True
        self._events.put(Tick())
        return True

    def _climb(self) -> bool:
        self._events.put(StopAsked())
        return False

    def _start(self) -> None:
        with self._interrupts_wait():
            self._started_at = time.time()
            self._process = Process(
                self.command,
                on_line=self._hooks.on_log,
                on_exit=lambda code: self._events.put(Ended(code)),
            )

    def _restart(self) -> None:
        self.ready_s = None
        try:
            if self._hooks.prepare is not None:
                self.command = self._hooks.prepare()
            endpoint.require_free(self.command.server)
            self._start()
        except SplitterError as error:
            self._error = error
            self._handle(NotStarted())
            return
        self._error = None
        self._tell_watchers()

    def _notice_shortage(self) -> bool:
        """Whether the process that just ended blames a device without room."""
        loading = self.phase == "starting"
        self._shortage = shortage(
            self.lines, ENGINES[self.command.engine.kind].names_in_log(self.command), loading=loading
        )
        return self._shortage is not None and self._hooks.replan is not None

    def _replan(self) -> None:
        if self._shortage is None or self._hooks.replan is None:
            return
        try:
            self.command = self._hooks.replan(self._shortage)
        except SplitterError as error:
            self._refusal = error
        self._handle(Replanned(possible=self._refusal is None))

    def _failure(self) -> SplitterError:
        if self._error is not None:
            return self._error
        if self._refusal is None or self._shortage is None:
            return describe(self.command, self._state, self._supervision, self.lines)
        died: Failure = "died" if self._shortage.stage == "running" else "died_loading"
        told = describe(self.command, replace(self._state, failure=died), self._supervision, self.lines)
        return EngineError(f"{told.message}; no other plan satisfies the request: {self._refusal.message}", told.hint)

    def _tell_watchers(self) -> None:
        """A watcher that cannot write its file does not take the engine down."""
        snapshot = self.snapshot()
        for watcher in self._hooks.watchers:
            with suppress(OSError):
                watcher(snapshot)

    @contextmanager
    def _interrupts_wait(self) -> Iterator[None]:
        """A signal between the birth of a process and its being known here would leave an orphan: it waits."""
        came: list[bool] = []

        def note() -> bool:
            came.append(True)
            return False

        self._on_interrupt = note
        try:
            yield
        finally:
            self._on_interrupt = self._interrupt
        if came:
            self._close_started()
            raise KeyboardInterrupt

    def _close_started(self) -> None:
        """Nobody holds a first process yet when the constructor is interrupted; later ones are stopped by `stop`."""
        if self._state.generation == 1:
            self._process.kill()

    def _close(self) -> None:
        leave(self._hear)


def launch(
    command: EngineCommand,
    *,
    on_log: Callable[[str], None] | None = None,
    start_timeout_s: float | None = None,
    supervision: Supervision = UNSUPERVISED,
    watchers: Sequence[Watcher] = (),
    replan: Replan | None = None,
    prepare: Callable[[], EngineCommand] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Instance:
    """Starts the engine; see Hooks for who is told what. Without `supervision` it is never started again.

    EngineError when the port is taken (nothing is started then) or the program cannot be started.
    """
    if start_timeout_s is not None:
        supervision = replace(supervision, ready_timeout_s=start_timeout_s)
    endpoint.require_free(command.server)
    return Instance(command, supervision, Hooks(on_log, watchers, replan, prepare, clock))
