"""Finds the engine command in a script or a file that stands for one (dialects.py has the kinds). Pure."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import PureWindowsPath

from splitter.engine.reading.command import MAX_TEXT, first_engine_command
from splitter.engine.reading.dialects import commands_in, one_entry, shell_of
from splitter.engine.reading.value import ReadCommand, ReadText
from splitter.errors import UsageError


def read_script(
    text: str, name: str, env: Mapping[str, str] | None = None, *, kind: str | None = None,
    version: str | None = None, entry: str = "", read_text: ReadText | None = None,
) -> ReadCommand:  # fmt: skip
    """The first engine command in the script `text` called `name` (its suffix tells the dialect).

    `env` are variables in force before it, `entry` names the service, model or preset of a file that holds several.
    A relative model path stays relative to the script. UsageError when it holds no engine command or one that cannot
    be understood.
    """
    if len(text) > MAX_TEXT:
        raise UsageError(f"{name} is larger than {MAX_TEXT} characters", "give the script that starts the engine")
    text = text.removeprefix("\ufeff")
    if name.lower().endswith((".kcpps", ".kcppt")):
        from splitter.engine.koboldcpp.read import read_kcpps

        return read_kcpps(text, env or {}, version)
    commands = one_entry(commands_in(text, name, env or {}, read_text), entry)
    read = first_engine_command(commands, kind, version, read_text)
    read = replace(read, around=replace(read.around, shell=shell_of(text, name)))
    return replace(read, model=_beside(read.model)) if read.model else read


def _beside(model: str) -> str:
    """A path relative to the script without its `./` or `.\\`, with slashes that both systems take."""
    if model.startswith(("hf:", "http:", "https:")):
        return model
    windows = PureWindowsPath(model)
    relative = not (windows.drive or windows.root) and "\\" in model
    return windows.as_posix() if relative else model.removeprefix("./")
