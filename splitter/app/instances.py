"""What `ps`, `logs` and `stop` share: which instance is meant."""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from splitter.app.events import Events
from splitter.app.launching import logs_folder
from splitter.errors import EngineError, SplitterError, UsageError
from splitter.run.entry import Entry
from splitter.run.log_reader import Mark, tail
from splitter.run.registry import Registry


def named(entries: Sequence[Entry], name: str) -> Entry:
    """The running instance called `name`. SplitterError that names the nearest when there is none."""
    found = next((entry for entry in entries if entry.name == name), None)
    if found is None:
        raise _unknown(name, [entry.name for entry in entries])
    return found


def log_of(entries: Sequence[Entry], name: str | None) -> tuple[str, Path, Entry | None]:
    """The name, the log and, while it runs, the entry of the instance `name`, or of the only or the last one."""
    if name is None and len(entries) > 1:
        running = ", ".join(entry.name for entry in entries)
        raise UsageError(f"several instances run: {running}", "say which: splitter logs NAME")
    entry = next((entry for entry in entries if name in {None, entry.name}), None)
    if entry is not None and entry.log_file:
        return entry.name, Path(entry.log_file), entry
    ended = sorted(logs_folder().glob("*.log"), key=lambda file: file.stat().st_mtime)
    if name is None and ended:
        return ended[-1].stem, ended[-1], None
    file = next((file for file in ended if file.stem == name), None)
    if file is None:
        raise _unknown(name, [*(entry.name for entry in entries), *(file.stem for file in ended)])
    return file.stem, file, None


def log_lines(name: str | None, count: int) -> tuple[str, Path, Entry | None, list[str], Mark]:
    """What `log_of` says of the instance `name`, the last `count` lines of its log, and where the reading ended."""
    called, path, entry = log_of(Registry().entries(), name)
    try:
        lines, mark = tail(path, count)
    except OSError as error:
        raise SplitterError(f"the log {path} cannot be read: {error.strerror}", "check who may read it") from None
    return called, path, entry, lines, mark


def stop_instances(names: Sequence[str] | None, timeout_s: float, events: Events) -> tuple[Entry, ...]:
    """Stops the instances `names`, all with None, and returns when they are gone. EngineError for one that stays."""
    from splitter.run.stopping import stop

    registry = Registry()
    entries = registry.entries()
    chosen = entries if names is None else tuple(named(entries, name) for name in dict.fromkeys(names))
    with events.step("stopping"):
        left = stop(registry, chosen, timeout_s)
    if left:
        stuck = ", ".join(f"{entry.name} (pid {entry.supervisor_pid})" for entry in left)
        raise EngineError(
            f"still running after it was killed: {stuck}", "it is probably stuck in the driver: restart the machine"
        )
    return tuple(chosen)


def _unknown(name: str | None, known: Sequence[str]) -> SplitterError:
    if name is None:
        return SplitterError("nothing has been launched yet", "splitter launch MODEL")
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    listed = ", ".join(dict.fromkeys(known))
    hint = (
        f"did you mean {near[0]}?"
        if near
        else f"known instances: {listed}"
        if known
        else "none is running: see `splitter ps`"
    )
    return SplitterError(f"there is no instance called {name!r}", hint)
