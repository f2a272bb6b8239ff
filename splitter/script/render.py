"""A plan and its command as files to start it with. Pure: returns files, writes none."""

import re
import unicodedata

from splitter.engine.command import EngineCommand
from splitter.plan.plan import Plan
from splitter.script.batch import render_batch
from splitter.script.file import ScriptFile
from splitter.script.posix import render_posix


def render(
    plan: Plan, command: EngineCommand, name: str | None = None, remake: str | None = None
) -> tuple[ScriptFile, ...]:
    """The .bat and the .sh of one plan.

    `name` is the files' name without suffix (default: made from the model's), `remake` the command line that makes them
    again. Relative paths in the plan mean relative to the script. UsageError for what cmd.exe cannot carry.
    """
    stem = script_name(name or plan.facts.name)
    again = remake or f"splitter script {plan.facts.path} --rig {plan.rig.name} --engine {command.engine.kind}"
    return (
        ScriptFile(f"{stem}.bat", render_batch(plan, command, again)),
        ScriptFile(f"{stem}.sh", render_posix(plan, command, again), executable=True),
    )


def script_name(text: str) -> str:
    """A file name that every system and shortcut takes: ASCII letters, digits, `.`, `_` and `-`."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip("-.").lower()
    return slug or "launch"
