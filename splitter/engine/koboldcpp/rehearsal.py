"""Has koboldcpp read a command without loading anything: `--exportconfig FILE` parses, writes the settings and ends."""

import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

from splitter.engine.capture import captured
from splitter.engine.command import EngineCommand
from splitter.engine.log.last_words import last_words
from splitter.errors import EngineError
from splitter.printable import printable

TIMEOUT_S = 60.0  # a release unpacks itself first
QUOTED = 300


def rehearse(command: EngineCommand) -> None:
    """EngineError where its parser refuses `command`. What hinders the rehearsal itself is no refusal.

    The key is not passed on: it would stand in the written settings.
    """
    with tempfile.TemporaryDirectory(prefix="splitter-") as folder, suppress(OSError, subprocess.TimeoutExpired):
        argv = (*command.argv, "--exportconfig", str(Path(folder) / "rehearsal.kcpps"))
        done = captured(argv, TIMEOUT_S, command.env)
        if done.returncode == 2:  # argparse's; a crash or a missing library tells nothing about the command
            raise refusal(command, (done.stdout + done.stderr).splitlines())


def refusal(command: EngineCommand, lines: list[str]) -> EngineError:
    """The error of a refused command, from what was said."""
    kind = command.engine.kind
    blamed = last_words(lines)
    if blamed:
        return EngineError(f"{kind} would not start: {blamed.sentence}", blamed.hint)
    said = printable(next((line for line in reversed(lines) if line.strip()), "no reason given"), QUOTED)
    hint = "state the engine's real version with --engine-version, or update the engine"
    return EngineError(f"{kind} would not start: {said}", hint)
