"""Finds the engine command in a script: .bat/.cmd, .sh, a systemd unit or a .kcpps file. Pure over the text."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import PureWindowsPath

from splitter.engine.reading.cmd import cmd_commands
from splitter.engine.reading.command import MAX_TEXT, first_engine_command, looks_like_cmd
from splitter.engine.reading.shell import shell_commands
from splitter.engine.reading.systemd import unit_commands
from splitter.engine.reading.value import ReadCommand
from splitter.errors import UsageError

SCRIPT_SUFFIXES = (".bat", ".cmd", ".sh", ".service", ".kcpps")
Commands = Iterator[tuple[list[str], dict[str, str]]]


def read_script(
    text: str, name: str, env: Mapping[str, str] | None = None, *, kind: str | None = None,
    version: str | None = None,
) -> ReadCommand:  # fmt: skip
    """The first engine command in the script `text` called `name` (its suffix tells the dialect).

    `env` are variables in force before it. A relative model path stays relative to the script.
    UsageError when it holds no engine command or one that cannot be understood.
    """
    if len(text) > MAX_TEXT:
        raise UsageError(f"{name} is larger than {MAX_TEXT} characters", "give the script that starts the engine")
    text = text.removeprefix("\ufeff")
    if name.lower().endswith((".kcpps", ".kcppt")):
        from splitter.engine.koboldcpp.read import read_kcpps

        return read_kcpps(text, env or {}, version)
    read = first_engine_command(_commands(text, name, env or {}), kind, version)
    return replace(read, model=_beside(read.model)) if read.model else read


def _beside(model: str) -> str:
    """A path relative to the script without its `./` or `.\\`, with slashes that both systems take."""
    if model.startswith(("hf:", "http:", "https:")):
        return model
    windows = PureWindowsPath(model)
    relative = not (windows.drive or windows.root) and "\\" in model
    return windows.as_posix() if relative else model.removeprefix("./")


def _commands(text: str, name: str, env: Mapping[str, str]) -> Commands:
    lowered = name.lower()
    if lowered.endswith(".service"):
        return unit_commands(text, env)
    if lowered.endswith((".bat", ".cmd")) or (not lowered.endswith(".sh") and looks_like_cmd(text)):
        return cmd_commands(text, env)
    return shell_commands(text, env)
