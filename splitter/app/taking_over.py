"""What a script says beside the engine's placement, when its settings are taken over into a profile."""

import re
from pathlib import Path, PureWindowsPath
from typing import Any

from splitter.engine.reading.value import ReadCommand

CHANGES_FOLDER = re.compile(
    r'^[ \t@]*(?:(?P<drive>[A-Za-z]:)|(?:cd|chdir|pushd)[ \t]+(?:/d[ \t]+)?"?(?P<folder>[^"%&|\r\n]+?)"?)[ \t]*\r?$',
    re.I | re.M,
)


def folder_of(text: str) -> str | None:
    """The folder that a batch file changes to, written in full; None where it stays."""
    drive, folder = "", None
    for match in CHANGES_FOLDER.finditer(text):
        if match["drive"]:
            drive = match["drive"]
            continue
        path = PureWindowsPath(match["folder"].strip())
        folder = str(path) if path.drive else str(PureWindowsPath(drive) / path) if drive and path.root else folder
    return folder


def model_in(folder: str, model: str) -> str:
    """The model's path from `folder`, as Windows writes it."""
    path = PureWindowsPath(model)
    return model if path.drive or path.root or model.startswith("hf:") else str(PureWindowsPath(folder) / path)


def program_of(read: ReadCommand, folder: Path) -> dict[str, Any]:
    """The engine's file that the script starts, where it lies beside it: `koboldcpp_cu12.exe` is another program than
    the one that would be found."""
    program = folder / read.program.replace("\\", "/")
    return {"engine.path": str(program.resolve())} if program.is_file() else {}
