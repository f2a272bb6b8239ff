"""`splitter launch --detach`: the same command line once more as a background process, and the wait for it."""

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from splitter.app.events import Events
from splitter.app.wire import error_item
from splitter.errors import EngineError, SplitterError
from splitter.folders import state_folder
from splitter.whole_file import write_whole

if TYPE_CHECKING:
    from splitter.run.entry import Entry

VARIABLE = "SPLITTER_BACKGROUND"  # the instance's id, for the process that is to supervise it in the background
POLL_S = 0.1
STOP_S = 30.0
# CREATE_NO_WINDOW and not DETACHED_PROCESS: with a console of its own, which nobody sees and no closing terminal takes
# away, the supervisor can still send the engine Ctrl-Break; a process without a console cannot.
WINDOWS_FLAGS = 0x08000000 | 0x00000200  # CREATE_NO_WINDOW | CREATE_NEW_PROCESS_GROUP


@dataclass(frozen=True, slots=True)
class Background:
    """Where the background process and the command that started it meet: in `words` is what it said before it had a
    log, in `refusal` the error that it ended with."""

    id: str

    @property
    def words(self) -> Path:
        return state_folder() / "launches" / f"{self.id}.txt"

    @property
    def refusal(self) -> Path:
        return state_folder() / "launches" / f"{self.id}.json"


@cache
def background() -> Background | None:
    """Who we are in the background; None in the foreground. What we start must not think that it is."""
    given = os.environ.pop(VARIABLE, None)
    return Background(given) if given else None


def leave_word(error: SplitterError) -> None:
    """Tells the command that started us in the background why we end."""
    place = background()
    if place is not None:
        with suppress(OSError):
            write_whole(place.refusal, json.dumps({**error_item(error), "exit_code": error.exit_code}), 0o600)


def launch_in_background(arguments: Sequence[str], columns: int, events: Events) -> "tuple[Entry, str]":
    """Starts `splitter ARGUMENTS` in the background and returns when its instance is ready: its entry, and what the
    process said till then. Raises the error that it ended with; Ctrl-C stops it."""
    place = Background(uuid.uuid4().hex)
    place.words.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    process = _start(arguments, place, columns)
    try:
        with events.step("starting in the background"):
            entry = _wait_ready(process, place)
        return entry, _text(place.words)
    except BaseException:
        _stop(process, place)
        raise
    finally:
        place.refusal.unlink(missing_ok=True)


def _start(arguments: Sequence[str], place: Background, columns: int) -> "subprocess.Popen[bytes]":
    environment = {**os.environ, VARIABLE: place.id, "COLUMNS": str(columns), "PYTHONUNBUFFERED": "1"}
    with place.words.open("wb") as words:
        return subprocess.Popen(
            [sys.executable, "-m", "splitter", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=words,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=sys.platform != "win32",
            creationflags=WINDOWS_FLAGS if sys.platform == "win32" else 0,
        )


def _wait_ready(process: "subprocess.Popen[bytes]", place: Background) -> "Entry":
    from splitter.run.registry import Registry

    registry = Registry()
    log_file = None
    while True:
        code = process.poll()
        entry = next((entry for entry in registry.entries() if entry.id == place.id), None)
        if entry is not None:
            log_file = entry.log_file
            if entry.ready_at is not None:
                return entry
        if code is not None:
            raise _refusal(code, place, log_file)
        time.sleep(POLL_S)


def _refusal(code: int, place: Background, log_file: str | None) -> SplitterError:
    """The error as the background process left it; its last words when it left none."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        said = json.loads(place.refusal.read_text(encoding="utf-8"))
        where = f" (log: {log_file})" if log_file else ""
        error = SplitterError(str(said["message"]), str(said["hint"]) + where)
        error.code, error.exit_code = str(said["code"]), int(said["exit_code"])
        return error
    words = _text(place.words).strip().splitlines()[-10:]
    message = "\n".join([f"the background process ended with exit code {code} before it was ready", *words])
    return EngineError(message, f"read {log_file}" if log_file else "launch it without --detach to see more")


def _stop(process: "subprocess.Popen[bytes]", place: Background) -> None:
    """Ends a background process that nobody waits for any more, and its traces."""
    from splitter.run.registry import Registry
    from splitter.run.stopping import ask

    registry = Registry()
    if process.poll() is None:
        entry = next((entry for entry in registry.entries() if entry.id == place.id), None)
        if entry is None:
            process.terminate()
        else:
            ask(registry, entry)
        try:
            process.wait(STOP_S)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            process.kill()
            process.wait()
    place.words.unlink(missing_ok=True)


def _text(path: Path) -> str:
    with suppress(OSError):
        return path.read_text(encoding="utf-8", errors="replace")
    return ""
