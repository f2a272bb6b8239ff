"""The running instances, in the user's state folder: one JSON file and one lock file each.

The supervisor holds its lock as long as it lives and the system lets go of it however the supervisor ends: a lock that
is free, not a process number that may be another's by now, says that an entry is stale. Everything that makes or
removes a file here happens under one short lock of all.
"""

import os
import signal
import threading
import time
import uuid
from _thread import interrupt_main
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import FileLock, Timeout

from splitter.errors import SplitterError
from splitter.folders import state_folder
from splitter.plan.plan import Plan
from splitter.run.conflict import conflict, unique_name
from splitter.run.entry import SAME_MOMENT_S, Entry, from_json, reserved, seen, to_json
from splitter.run.guard import KILL, kill_group
from splitter.run.process import kill_tree
from splitter.run.snapshot import Snapshot
from splitter.whole_file import write_whole

BUSY_S = 20.0  # another splitter holds the lock of all for milliseconds
POLL_S = 0.3


class Registry:
    """The entries in `folder` (default: the user's)."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or state_folder() / "instances"

    def entries(self) -> tuple[Entry, ...]:
        """Those whose supervisor lives, oldest first; what dead ones left is swept."""
        if not self.folder.is_dir():
            return ()
        with self.locked():
            return self._living()

    def claim(
        self,
        wanted: Entry,
        free_bytes: Mapping[str, int],
        read_at: float,
        *,
        exact: bool = False,
        instance_id: str | None = None,
        log_of: Callable[[str], Path] | None = None,
        on_stop: Callable[[], None] | None = None,
    ) -> "Claim":
        """The right to start `wanted`, held until it is released.

        `free_bytes` per device id was read at `read_at`; `exact`: the name is the user's own and must be free;
        `log_of` names the log file of an instance; `on_stop` is called, from a thread, when somebody wants it stopped:
        what has several instances in one process stops this one alone. EngineError for a taken port, DoesNotFitError
        for a card that is promised to others.
        """
        with self.locked():
            others = self._living()
            if refused := conflict(wanted, free_bytes, read_at, others):
                raise refused
            taken = [file.stem for file in self.folder.glob("*.json")]
            if exact and wanted.name in taken:
                raise SplitterError(
                    f"{wanted.name} runs already", f"splitter stop {wanted.name}, or use another --name"
                )
            name = unique_name(wanted.name, taken)
            log_file = str(log_of(name)) if log_of else wanted.log_file
            entry = supervised_here(replace(wanted, name=name, log_file=log_file), instance_id)
            lock = self.lock(name)
            lock.acquire(timeout=0)
            write_whole(self.file(name), to_json(entry), 0o600)
            return Claim(self, entry, lock, on_stop or interrupt)

    def file(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    def stop_file(self, name: str) -> Path:
        """Whoever puts it there asks for this instance to be stopped, and for no other one of the same process."""
        return self.folder / f"{name}.stop"

    def lock(self, name: str) -> FileLock:
        return FileLock(self.folder / f"{name}.lock", mode=0o600, thread_local=False)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """The lock of all. SplitterError when the folder cannot be used or the lock is not let go."""
        path = self.folder.with_name(f"{self.folder.name}.lock")
        lock = FileLock(path, mode=0o600, thread_local=False)
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock.acquire(timeout=BUSY_S)
        except Timeout:
            raise SplitterError(f"another splitter process keeps {path} locked", "end it and try again") from None
        except OSError as error:
            message = f"the list of running instances in {self.folder} cannot be used: {error.strerror}"
            raise SplitterError(message, "make the folder writable, or choose another with XDG_STATE_HOME") from None
        try:
            yield
        finally:
            lock.release()

    def _living(self) -> tuple[Entry, ...]:
        living = []
        for name in sorted({file.stem for file in self.folder.glob("*.*") if not file.name.startswith(".")}):
            entry = self._read(name)
            if self._sweep(name, entry) and entry is not None:
                living.append(entry)
        self._sweep_partial()
        return tuple(sorted(living, key=lambda entry: entry.started_at))

    def _read(self, name: str) -> Entry | None:
        try:
            entry = from_json(self.file(name).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError):
            return None
        return entry if entry is not None and entry.name == name else None

    def _sweep(self, name: str, entry: Entry | None) -> bool:
        """Whether the supervisor of `name` lives; what a dead one left is ended and removed."""
        lock = self.lock(name)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return True
        if entry is not None:
            end_orphan(entry)
        self.remove(name, lock)
        return False

    def remove(self, name: str, lock: FileLock) -> None:
        """Takes the files of an instance away; only under the lock of all, holding its own lock."""
        self.file(name).unlink(missing_ok=True)
        self.stop_file(name).unlink(missing_ok=True)
        lock.release()
        Path(lock.lock_file).unlink(missing_ok=True)

    def _sweep_partial(self) -> None:
        """What a supervisor left that died while it wrote."""
        for file in self.folder.glob(".*.partial"):
            writer = file.name.split(".")[-2]
            if not writer.isdigit() or created(int(writer)) is None:
                file.unlink(missing_ok=True)


class Claim:
    """A live entry. Leaving the `with` takes it out of the registry."""

    def __init__(self, registry: Registry, entry: Entry, lock: FileLock, on_stop: Callable[[], None]) -> None:
        self.entry = entry
        self._registry, self._lock, self._on_stop = registry, lock, on_stop
        self._released = threading.Event()
        self._listener = threading.Thread(target=self._listen, name="stop requests", daemon=True)
        self._listener.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def watch(self, snapshot: Snapshot) -> None:
        """A watcher for `supervisor.launch`: writes what changed. A full disk does not end the engine."""
        engine_created = created(snapshot.pid) if snapshot.pid else None
        self.entry = seen(self.entry, snapshot, engine_created, time.time())
        with suppress(OSError, SplitterError), self._registry.locked():
            write_whole(self._registry.file(self.entry.name), to_json(self.entry), 0o600)

    def replanned(self, plan: Plan) -> None:
        """From the next change on the entry tells what another plan holds."""
        self.entry = replace(self.entry, devices=tuple(reserved(planned) for planned in plan.devices))

    def release(self) -> None:
        """Twice is fine. What cannot be removed now is swept by whoever reads the registry next."""
        if self._released.is_set():
            return
        self._released.set()
        self._listener.join()
        with suppress(OSError, SplitterError), self._registry.locked():
            self._registry.remove(self.entry.name, self._lock)
        self._lock.release()

    def _listen(self) -> None:
        asked = self._registry.stop_file(self.entry.name)
        while not self._released.wait(POLL_S):
            if asked.exists():
                with suppress(OSError):
                    asked.unlink()
                self._on_stop()


def interrupt() -> None:
    """What Ctrl-C does, to this process. The main thread is woken, which `interrupt_main` alone does not do."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    else:
        interrupt_main()


def while_running(registry: Registry, instance_id: str, look_s: float) -> Iterator[bool]:
    """True every `look_s` as long as the instance runs, then once False. The registry is asked every second."""
    asked_s, runs = time.monotonic(), True
    while runs:
        yield True
        time.sleep(look_s)
        if time.monotonic() - asked_s >= 1:
            asked_s = time.monotonic()
            runs = any(entry.id == instance_id for entry in registry.entries())
    yield False


def supervised_here(entry: Entry, instance_id: str | None) -> Entry:
    """The entry with this process as its supervisor, started now."""
    return replace(
        entry,
        id=instance_id or uuid.uuid4().hex,
        supervisor_pid=os.getpid(),
        supervisor_created=created(os.getpid()) or 0.0,
        started_at=time.time(),
    )


def created(pid: int | None) -> float | None:
    """When the process began, None when there is none."""
    import psutil

    try:
        return None if pid is None else psutil.Process(pid).create_time()
    except psutil.Error:
        return None


def is_ours(pid: int | None, began: float | None) -> bool:
    """Whether `pid` is still the process that began then."""
    now = created(pid)
    return now is not None and began is not None and abs(now - began) <= SAME_MOMENT_S


def end_orphan(entry: Entry) -> None:
    """Kills the engine of a supervisor that died, if one is left and it is provably that engine."""
    if entry.engine_pid is None or not is_ours(entry.engine_pid, entry.engine_created):
        return
    group = group_of(entry.engine_pid)
    kill_tree(entry.engine_pid)
    if group is not None and group != group_of(os.getpid()):
        kill_group(group, KILL)


def group_of(pid: int) -> int | None:
    """The process group on POSIX."""
    with suppress(OSError):
        return os.getpgid(pid) if hasattr(os, "getpgid") else None
    return None
