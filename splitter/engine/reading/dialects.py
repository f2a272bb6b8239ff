"""Which language a command or a script is written in, and the commands it holds. Pure.

The suffix decides where there is one; a pasted text is told by what only one language has.
"""

import re
from collections.abc import Iterator, Mapping

from splitter.engine.reading.cmd import cmd_commands
from splitter.engine.reading.documents import (
    Named,
    looks_like_preset,
    looks_like_yaml,
    preset_commands,
    quadlet_commands,
    yaml_commands,
)
from splitter.engine.reading.powershell import looks_like_powershell, powershell_commands
from splitter.engine.reading.shell import shell_commands
from splitter.engine.reading.systemd import unit_commands
from splitter.engine.reading.value import ReadText, Shell
from splitter.errors import UsageError

# What a script may use without having set it, as a path that this project's other rooms understand.
PLACES: Mapping[str, str] = {"HOME": "~", "PWD": ".", "USERPROFILE": "~"}


def commands_in(text: str, name: str, env: Mapping[str, str], read_text: ReadText | None = None) -> Iterator[Named]:
    """The commands in `text`, whose file is called `name` ("" for pasted text): (entry, words, variables).

    The entry is the service, model or preset a command belongs to, "" in scripts. UsageError for broken quoting.
    """
    lowered = name.lower()
    if lowered.endswith((".yaml", ".yml")) or (not name and looks_like_yaml(text)):
        yield from yaml_commands(text, env, name or "the text")
    elif lowered.endswith(".ini") or (not name and looks_like_preset(text)):
        yield from preset_commands(text, env)
    else:
        for words, known in _script_commands(text, lowered, {**PLACES, **env}, read_text):
            yield "", words, {key: value for key, value in known.items() if PLACES.get(key) != value}


def _script_commands(
    text: str, name: str, env: Mapping[str, str], read_text: ReadText | None
) -> Iterator[tuple[list[str], dict[str, str]]]:
    if name.endswith(".container") or (not name and re.search(r"^\[Container\]", text, re.MULTILINE)):
        return quadlet_commands(text)
    if name.endswith(".service") or (not name and re.search(r"^\[Service\]", text, re.MULTILINE)):
        return unit_commands(text, env, read_text)
    if name.endswith(".ps1") or (not name.endswith((".bat", ".cmd", ".sh", ".bash")) and looks_like_powershell(text)):
        return powershell_commands(text, env)
    if name.endswith((".bat", ".cmd")) or (not name.endswith((".sh", ".bash")) and looks_like_cmd(text)):
        return cmd_commands(text, env)
    return shell_commands(text, env)


def looks_like_cmd(text: str) -> bool:
    """Whether `text` is written for cmd.exe rather than for a POSIX shell."""
    signs = re.search(r"\.exe\b|(?:^|[\s\"])[A-Za-z]:\\|%[\w~]+%|%~dp0|\^\s*\n", text, re.IGNORECASE)
    return bool(signs) and not re.search(r"\$\w|\$\{|'", text)


def shell_of(text: str, name: str) -> Shell:
    """The shell that a command from `text` is shown for."""
    lowered = name.lower()
    if lowered.endswith(".ps1") or (not lowered and looks_like_powershell(text)):
        return "powershell"
    if lowered.endswith((".bat", ".cmd")) or (not lowered and looks_like_cmd(text)):
        return "cmd"
    return "posix"


def one_entry(commands: Iterator[Named], wanted: str) -> Iterator[Named]:
    """The commands of the entry `wanted` ("" = all). UsageError, naming those there are, when there is none."""
    if not wanted:
        yield from commands
        return
    everything = list(commands)
    chosen = [item for item in everything if item[0] == wanted]
    if not chosen:
        names = ", ".join(dict.fromkeys(item[0] for item in everything)) or "none"
        raise UsageError(f"there is no entry {wanted}", f"the file holds: {names}")
    yield from chosen
