"""What a script says beside the engine's placement, when its settings are taken over into a profile."""

import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path, PureWindowsPath
from typing import Any

from splitter.engine.reading.edits import KOBOLD_DESTS, LLAMA_DESTS
from splitter.engine.reading.items import items_of
from splitter.engine.reading.value import ReadCommand
from splitter.memory.settings import Settings

# Flags, by the engine's own name, that a profile keeps beside the settings; and those that change nothing.
LLAMA_OTHERS = "model hf_repo hf_file host port"
KOBOLD_OTHERS = """model model_param host port port_param usecuda usecublas usevulkan usehipblas tensor_split config
skiplauncher quiet splitter"""
CHANGES_FOLDER = re.compile(r'^[ \t@]*(?:cd|chdir|pushd)[ \t]+(?:/d[ \t]+)?"?([^"%&|\r\n]+?)"?[ \t]*$', re.I | re.M)


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


def folder_of(text: str) -> str | None:
    """The folder that a batch file changes to, written in full; None where it stays."""
    found = [match[1].strip() for match in CHANGES_FOLDER.finditer(text)]
    return next((folder for folder in reversed(found) if PureWindowsPath(folder).drive), None)


def model_in(folder: str, model: str) -> str:
    """The model's path from `folder`, as Windows writes it."""
    path = PureWindowsPath(model)
    return model if path.drive or path.root or model.startswith("hf:") else str(PureWindowsPath(folder) / path)


def program_of(read: ReadCommand, folder: Path) -> dict[str, Any]:
    """The engine's file that the script starts, where it lies beside it: `koboldcpp_cu12.exe` is another program than
    the one that would be found."""
    program = folder / read.program.replace("\\", "/")
    return {"engine.path": str(program.resolve())} if program.is_file() else {}
