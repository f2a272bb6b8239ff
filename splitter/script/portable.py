"""One folder with everything in it, on any drive: the plan and its command with every file by its bare name. Pure."""

from dataclasses import replace

from splitter.engine.command import EngineCommand
from splitter.engine.engines import ENGINES
from splitter.errors import UsageError
from splitter.plan.plan import Plan
from splitter.script.download import is_reference
from splitter.script.located import engine_name, file_name, named_paths


def portable(plan: Plan, command: EngineCommand, windows: bool) -> tuple[Plan, EngineCommand]:
    """`plan` and `command` as they read inside the folder. UsageError for an engine that is no single program."""
    kind, key = command.engine.kind, command.server.api_key_file
    if ENGINES[kind].package:
        raise UsageError(f"the {kind} engine is part of a Python installation, not in one folder", "use llama-server")
    if command.by_python:
        raise UsageError(f"{command.engine.path} needs the folder that it lies in", f"use a release of {kind}")
    settings, program = plan.settings, engine_name(command, windows)
    bare = {path: _bare(path) for path in named_paths(plan, command)}
    near = replace(
        plan,
        facts=replace(plan.facts, path=bare[plan.facts.path]),
        settings=replace(
            settings,
            mmproj=settings.mmproj and bare[settings.mmproj],
            draft_model=settings.draft_model and bare[settings.draft_model],
        ),
    )
    return near, replace(
        command,
        engine=replace(command.engine, path=program),
        argv=(program, *(bare.get(word, word) for word in command.argv[1:])),
        server=replace(command.server, api_key_file=key and bare[key]),
        model_path=bare[plan.facts.path],
        env_files={name: _bare(path) for name, path in command.env_files.items()},
    )


def _bare(path: str) -> str:
    return path if is_reference(path) else file_name(path)
