"""What a plan is compared with: the engine's own placement, a split by free memory, fewer or more machines, a given
command. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from splitter.engine.command import EngineCommand, EngineRef, Server
from splitter.engine.engines import ENGINES
from splitter.engine.reading.value import ReadCommand
from splitter.rig.backend import BACKENDS

# Where a server listens and its key: ours take their place in a given command.
SERVER_FLAGS = {"--host": 1, "--port": 1, "--port-param": 1, "--api-key": 1, "--api-key-file": 1, "--password": 1}
CARD_VARIABLES = frozenset(name for backend in BACKENDS for name in backend.variables)


@dataclass(frozen=True, slots=True)
class Alternative:
    """One of the commands that are measured in turn; `note` is for people."""

    name: str
    command: EngineCommand
    note: str = ""


def without(argv: Sequence[str], flags: Mapping[str, int | None]) -> tuple[str, ...]:
    """`argv` less the flags and their values, in both spellings (`--flag X`, `--flag=X`)."""
    kept: list[str] = []
    at = 0
    while at < len(argv):
        name, equals, _ = argv[at].partition("=")
        if name not in flags:
            kept.append(argv[at])
            at += 1
            continue
        count = flags[name]
        at += 1 if equals else 1 + (_until_flag(argv, at + 1) if count is None else count)
    return tuple(kept)


def _until_flag(argv: Sequence[str], at: int) -> int:
    return next((i for i, word in enumerate(argv[at:]) if word.startswith("--")), len(argv) - at)


def alternatives(command: EngineCommand) -> tuple[Alternative, ...]:
    """The plan's command, the engine's own placement, and the plan's layers split by free memory.

    All have the plan's context, batches and cache: only where the layers go differs.
    """
    engine = ENGINES[command.engine.kind]
    env = {name: value for name, value in command.env.items() if name not in CARD_VARIABLES}
    bare = without(command.argv, {**engine.where_flags, **engine.amount_flags})
    own = replace(command, argv=(*bare, *engine.own_placement), env=env)
    split = replace(command, argv=without(command.argv, engine.where_flags), env=env)
    return (
        Alternative("plan", command),
        Alternative("fit", own, "the engine's own placement"),
        Alternative("proportional", split, "the plan's layers, split by free memory"),
    )


def given(read: ReadCommand, engine: EngineRef, server: Server, env_files: Mapping[str, str]) -> Alternative:
    """Somebody's command as it is, but on our address and with our key."""
    flags = without(read.argv[1:], SERVER_FLAGS)
    flag = ENGINES[read.kind].key_flag
    key = (flag, str(server.api_key_file)) if flag and server.api_key_file is not None else ()
    program = engine.path or read.program
    argv = (program, *flags, "--host", server.host, "--port", str(server.port), *key)
    command = EngineCommand(engine, argv, dict(read.env), server, read.model or "", env_files)
    return Alternative("command", command, "the given command")
