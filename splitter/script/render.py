"""A plan and its command as files to start it with. Pure: returns files, writes none."""

import re
import unicodedata

from splitter.engine.command import EngineCommand
from splitter.plan.plan import Plan
from splitter.script.batch import render_batch
from splitter.script.file import ScriptFile
from splitter.script.kcpps import render_kcpps
from splitter.script.portable import portable
from splitter.script.posix import render_posix
from splitter.script.systemd import render_unit
from splitter.script.task import render_task

# Names that Windows keeps for devices, whatever suffix follows.
DEVICES = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?")
LONGEST_NAME = 80


def render(
    plan: Plan, command: EngineCommand, name: str | None = None, remake: str | None = None, *, one_folder: bool = False
) -> tuple[ScriptFile, ...]:
    """The .bat and the .sh of one plan.

    `name` is the files' name without suffix (default: made from the model's), `remake` the command line that makes them
    again, `one_folder` whether everything lies beside the script and nowhere else. Relative paths in the plan mean
    relative to the script. UsageError for what cmd.exe cannot carry.
    """
    stem, again = _stem(plan, name), remake or _remake(plan, command)
    windows, posix = (portable(plan, command, system) if one_folder else (plan, command) for system in (True, False))
    return (
        ScriptFile(f"{stem}.bat", render_batch(*windows, again)),
        ScriptFile(f"{stem}.sh", render_posix(*posix, again), executable=True),
    )


def render_kcpps_file(
    plan: Plan, command: EngineCommand, name: str | None = None, remake: str | None = None, *, one_folder: bool = False
) -> ScriptFile:
    """koboldcpp's own settings file, complete by itself."""
    used = portable(plan, command, plan.rig.host.os == "windows") if one_folder else (plan, command)
    return ScriptFile(f"{_stem(plan, name)}.kcpps", render_kcpps(*used, remake or _remake(plan, command)))


def render_unit_file(
    plan: Plan, command: EngineCommand, name: str | None = None, remake: str | None = None
) -> ScriptFile:
    """The systemd user unit; engine and files must be known by their full paths."""
    stem = _stem(plan, name)
    return ScriptFile(f"{stem}.service", render_unit(plan, command, stem, remake or _remake(plan, command)))


def render_task_file(
    plan: Plan, command: EngineCommand, name: str | None = None, remake: str | None = None
) -> ScriptFile:
    """The Windows task; engine and files must be known by their full paths."""
    stem = _stem(plan, name)
    return ScriptFile(f"{stem}.xml", render_task(plan, command, stem, remake or _remake(plan, command)))


def script_name(text: str) -> str:
    """A file name that every system and shortcut takes: at most 80 ASCII letters, digits, `.`, `_` and `-`."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip("-.").lower()[:LONGEST_NAME].rstrip("-.")
    return f"run-{slug}" if DEVICES.fullmatch(slug) else slug or "launch"


def _stem(plan: Plan, name: str | None) -> str:
    return script_name(name or plan.facts.name)


def _remake(plan: Plan, command: EngineCommand) -> str:
    return f"splitter script {plan.facts.path} --rig {plan.rig.name} --engine {command.engine.kind}"
