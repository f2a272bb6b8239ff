"""The steps of `splitter script`: which files, and the line that makes them again."""

import re
import shlex
import subprocess
from dataclasses import dataclass

from splitter.app.planning import Planned
from splitter.errors import UsageError
from splitter.script.file import ScriptFile
from splitter.script.render import render, render_kcpps_file, render_task_file, render_unit_file

# Options of `splitter script` that say where, not what.
PLACES = {"-o", "--output"}


@dataclass(frozen=True, slots=True)
class Kinds:
    """Which files are wanted beside the .bat and the .sh, and whether they stay in one folder."""

    kcpps: bool
    systemd: bool
    one_folder: bool
    task: bool = False


def rendered(planned: Planned, kinds: Kinds, name: str | None, remake: str) -> tuple[ScriptFile, ...]:
    """The files of a plan whose paths are named from the root. UsageError for kinds that exclude each other."""
    if kinds.systemd and kinds.one_folder:
        raise UsageError("a systemd unit needs full paths, which --portable leaves out", "give one of them")
    if kinds.task and kinds.one_folder:
        raise UsageError("a Windows task needs full paths, which --portable leaves out", "give one of them")
    plan, command = planned.plan, planned.command
    extra = []
    if kinds.kcpps:
        extra.append(render_kcpps_file(plan, command, name, remake, one_folder=kinds.one_folder))
    if kinds.systemd:
        extra.append(render_unit_file(plan, command, name, remake))
    if kinds.task:
        extra.append(render_task_file(plan, command, name, remake))
    return (*render(plan, command, name, remake, one_folder=kinds.one_folder), *extra)


def remake_line(arguments: list[str], windows: bool, one_folder: bool) -> str:
    """The command line as it was typed, without the folder to write to; `one_folder`: without any other folder."""
    words, skip = ["splitter"], False
    for word in arguments:
        if not skip and word not in PLACES and not word.startswith("--output="):
            words.append(re.split(r"[\\/]", word)[-1] if one_folder and _is_path(word) else word)
        skip = word in PLACES
    return subprocess.list2cmdline(words) if windows else shlex.join(words)


def _is_path(word: str) -> bool:
    return re.match(r"[A-Za-z]:[\\/]|[\\/~.]", word) is not None
