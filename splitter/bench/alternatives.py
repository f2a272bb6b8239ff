"""What a plan is compared with: the engine's own placement, a split by free memory, a given command. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from splitter.engine.command import EngineCommand, EngineRef, Server
from splitter.engine.reading.value import ReadCommand
from splitter.rig.backend import BACKENDS

# Flags that say where layers go, with the number of their values; None: all words up to the next flag.
LLAMA_WHERE = {"--device": 1, "-dev": 1, "-ts": 1, "--tensor-split": 1, "-sm": 1, "-mg": 1}
LLAMA_HOW_MUCH = {"-ngl": 1, "--fit": 1, "-ncmoe": 1, "-cmoe": 0, "-ot": 1}
KOBOLD_WHERE = {"--tensor_split": None, "--splitmode": 1}
KOBOLD_HOW_MUCH = {"--gpulayers": 1, "--moecpu": 1, "--overridetensors": 1}
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
    kobold = command.engine.kind == "koboldcpp"
    where, how_much = (KOBOLD_WHERE, KOBOLD_HOW_MUCH) if kobold else (LLAMA_WHERE, LLAMA_HOW_MUCH)
    auto = ("--gpulayers", "-1") if kobold else ("--fit", "on")
    env = {name: value for name, value in command.env.items() if name not in CARD_VARIABLES}
    own = replace(command, argv=(*without(command.argv, {**where, **how_much}), *auto), env=env)
    split = replace(command, argv=without(command.argv, where), env=env)
    return (
        Alternative("plan", command),
        Alternative("fit", own, "the engine's own placement"),
        Alternative("proportional", split, "the plan's layers, split by free memory"),
    )


def given(read: ReadCommand, engine: EngineRef, server: Server, env_files: Mapping[str, str]) -> Alternative:
    """Somebody's command as it is, but on our address and with our key."""
    flags = without(read.argv[1:], SERVER_FLAGS)
    in_argv = read.kind == "llama-server" and server.api_key_file is not None
    key = ("--api-key-file", str(server.api_key_file)) if in_argv else ()
    program = engine.path or read.program
    argv = (program, *flags, "--host", server.host, "--port", str(server.port), *key)
    command = EngineCommand(engine, argv, dict(read.env), server, read.model or "", env_files)
    return Alternative("command", command, "the given command")
