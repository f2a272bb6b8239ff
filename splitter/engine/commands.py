"""Plan -> EngineCommand, for each engine."""

from splitter.engine.command import EngineCommand, EngineRef, Server
from splitter.engine.engines import ENGINES
from splitter.errors import UsageError
from splitter.plan.plan import Plan


def build_command(plan: Plan, engine: EngineRef, server: Server) -> EngineCommand:
    """The command that tells `engine` the whole plan and nothing else.

    Raises UsageError when the engine's version has no words for a part of the plan; the hint says what to change; and
    for a server that others can reach without a key.
    """
    if server.beyond_loopback() and not server.api_key_file:
        raise UsageError(
            f"others can reach {server.host}, and no API key protects it",
            "give a key with --api-key-file FILE, or listen on 127.0.0.1",
        )
    return ENGINES[engine.kind].command(plan, engine, server)
