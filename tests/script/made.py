"""Plans whose files lie where a test put them, and the scripts made of them."""

from pathlib import Path
from typing import Any

from splitter.engine.command import EngineCommand, EngineRef, Server
from splitter.engine.commands import build_command
from splitter.plan.plan import Plan
from splitter.script.file import ScriptFile
from splitter.script.posix import render_posix
from splitter.script.render import render
from tests.commands.plans import facts, koboldcpp_plan, plan, rig, with_model


def planned(
    engine: str | None,
    model: str,
    kind: str = "llama-server",
    os: str = "windows",
    version: str = "11434",
    server: Server | None = None,
    **settings: Any,
) -> tuple[Plan, EngineCommand]:
    """A plan for the engine and the model at these places, and its command."""
    if kind == "koboldcpp":
        made = with_model(koboldcpp_plan(**settings), model)
    else:
        made = plan(model=facts(path=model), on=rig(os=os), **settings)
    return made, build_command(made, EngineRef(kind, engine, version), server or Server())


def files(engine: str | None, model: str, **options: Any) -> tuple[EngineCommand, tuple[ScriptFile, ...]]:
    """The command and its .bat and .sh."""
    made, command = planned(engine, model, **options)
    return command, render(made, command, name="run")


def posix_file(engine: str | None, model: str, **options: Any) -> tuple[EngineCommand, ScriptFile]:
    """The command and its .sh alone: the names may be such that no .bat could hold them."""
    options = {"os": "linux", **options}
    made, command = planned(engine, model, **options)
    return command, ScriptFile("run.sh", render_posix(made, command, "splitter script"), executable=True)


def put(folder: Path, file: ScriptFile) -> Path:
    """Writes one rendered file into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / file.name
    path.write_bytes(file.content)
    path.chmod(0o755 if file.executable else 0o644)
    return path
