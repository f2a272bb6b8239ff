"""What a script says beside the engine's placement, when its settings are taken over into a profile."""

import re
from pathlib import Path, PureWindowsPath
from typing import Any

from splitter.engine.reading.value import ReadCommand

CHANGES_FOLDER = re.compile(r'^[ \t@]*(?:cd|chdir|pushd)[ \t]+(?:/d[ \t]+)?"?([^"%&|\r\n]+?)"?[ \t]*$', re.I | re.M)


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
