"""Plans whose files lie where a test put them, and the scripts made of them."""

from pathlib import Path
from typing import Any

from splitter.engine.command import EngineCommand, EngineRef, Server
from splitter.engine.commands import build_command
from splitter.plan.request import EngineKind
from splitter.script.file import ScriptFile
from splitter.script.render import render
from tests.engine_room.plans import facts, koboldcpp_plan, plan, rig, with_model


def files(
    engine: str | None,
    model: str,
    kind: EngineKind = "llama-server",
    os: str = "windows",
    version: str = "11434",
    server: Server | None = None,
    **settings: Any,
) -> tuple[EngineCommand, tuple[ScriptFile, ...]]:
    """The command and its .bat and .sh."""
    if kind == "koboldcpp":
        made = with_model(koboldcpp_plan(**settings), model)
    else:
        made = plan(model=facts(path=model), on=rig(os=os), **settings)
    command = build_command(made, EngineRef(kind, engine, version), server or Server())
    return command, render(made, command, name="run")


def put(folder: Path, file: ScriptFile) -> Path:
    """Writes one rendered file into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / file.name
    path.write_bytes(file.content)
    path.chmod(0o755 if file.executable else 0o644)
    return path
