"""What `ps`, `logs` and `stop` share: which instance is meant."""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from splitter.app.launching import logs_folder
from splitter.errors import SplitterError, UsageError
from splitter.run.entry import Entry


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
