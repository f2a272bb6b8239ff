"""A plan for the embedded engine: llama.cpp's own server from the wheel `xllamacpp`, as a child process of Python."""

from splitter.engine.command import EngineCommand, EngineRef, Server
from splitter.engine.flags import program
from splitter.engine.llama_server.command import load_args, server_args, slot_args
from splitter.plan.plan import Plan

MODULE = "splitter.engine.embedded.server"


def embedded_command(plan: Plan, engine: EngineRef, server: Server) -> EngineCommand:
    """The embedded server takes llama-server's flags; `engine.path` is the Python that runs it."""
    flags = (*load_args(plan, engine.version), *slot_args(plan, engine.version), *server_args(server, engine.version))
    python = engine.path or program("python", plan)
    return EngineCommand(engine, (python, "-m", MODULE, *flags), {}, server, plan.facts.path)
