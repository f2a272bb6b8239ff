"""Which flags of somebody's command a profile keeps. Pure."""

from collections.abc import Iterator
from dataclasses import fields

from splitter.engine.reading.edits import KOBOLD_DESTS, LLAMA_DESTS
from splitter.engine.reading.items import items_of
from splitter.engine.reading.value import ReadCommand
from splitter.memory.settings import Settings

# Flags, by the engine's own name, that a profile keeps beside the settings; and those that change nothing.
LLAMA_OTHERS = "model hf_repo hf_file host port"
KOBOLD_OTHERS = """model model_param host port port_param usecuda usecublas usevulkan usehipblas tensor_split config
skiplauncher quiet splitter"""


def not_kept(read: ReadCommand) -> tuple[str, ...]:
    """The flags of a command, as written, that a profile has no word for."""
    kobold = read.kind == "koboldcpp"
    table, others = (KOBOLD_DESTS, KOBOLD_OTHERS) if kobold else (LLAMA_DESTS, LLAMA_OTHERS)
    dests = {dest for field in fields(Settings) for dest in table.get(field.name, field.name).split()}
    kept = dests | set(others.split())
    return tuple(_lost(read, kept))


def _lost(read: ReadCommand, kept: set[str]) -> Iterator[str]:
    items = items_of(read.kind, read.argv[1:])
    for item in items:
        if item.dest is not None and item.dest not in kept:
            yield " ".join(item.words)
    if any(item.dest == "config" for item in items):
        written = {item.dest for item in items}
        yield from (f"--{dest}" for dest in read.flags if dest not in kept | written)
