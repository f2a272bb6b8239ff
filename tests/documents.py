"""The documents' shell blocks as commands, and what they print.

    python -m tests.documents

writes the output of each command anew into the ```text block that follows it.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE, STDOUT

from splitter.errors import EXIT_INTERRUPTED
from tests.engine.skeletons import qwen2

ROOT = Path(__file__).parents[1]
SERVES = re.compile(r"splitter (ui|gateway(?! key))\b")
PROGRAMS = ("splitter", ".venv/bin/splitter")
SHOWN = re.compile(r"```sh\n(?P<line>[^\n]+)\n```\n\n```text\n(?P<output>.*?)```", re.DOTALL)
BIG = "Qwen2.5-32B-Instruct-Q4_K_M"


def documents() -> tuple[Path, ...]:
    """Every document that a person reads."""
    return (
        *sorted(ROOT.glob("*.md")),
        *sorted((ROOT / "docs").glob("*.md")),
        *sorted((ROOT / "examples").glob("*.md")),
    )


def commands(document: Path) -> Iterator[str]:
    """The splitter commands of a document's shell blocks."""
    for block in re.findall(r"```sh\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL):
        yield from (line for line in block.splitlines() if shlex.split(line)[:1] and shlex.split(line)[0] in PROGRAMS)


def furnish(folder: Path) -> None:
    """What the commands name: `model.gguf` is the example model, the big one has its true shape and no weights."""
    (folder / "examples").symlink_to(ROOT / "examples", target_is_directory=True)
    (folder / "model.gguf").symlink_to(ROOT / "examples" / "tiny.gguf")
    qwen2(BIG, (64, 5120, 27648, 40, 8, 152064), "Q4_K_M").write(folder)


def run(line: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """The command as a terminal of 80 columns runs it, in `folder`; what serves gets a Ctrl-C once it speaks."""
    command = [sys.executable, "-m", "splitter", *shlex.split(line)[1:]]
    env = {**os.environ, "COLUMNS": "80", "PYTHONPATH": str(ROOT)}
    if not SERVES.match(line):
        return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    with subprocess.Popen(command, cwd=folder, env=env, stdout=PIPE, stderr=STDOUT, text=True) as child:
        first = child.stdout.readline() if child.stdout else ""
        child.send_signal(signal.SIGINT)
        out, _ = child.communicate()
    ended = 0 if child.returncode == EXIT_INTERRUPTED else child.returncode
    return subprocess.CompletedProcess(command, ended, first + out, out)


def said(line: str, folder: Path) -> str:
    """Its standard output, without the blanks at the ends of lines."""
    return "".join(f"{text.rstrip()}\n" for text in run(line, folder).stdout.splitlines())


def write(folder: Path) -> None:
    """Every output of every document anew."""
    for document in documents():
        text = document.read_text(encoding="utf-8")
        made = SHOWN.sub(
            lambda found: found[0].replace(f"```text\n{found['output']}", f"```text\n{said(found['line'], folder)}"),
            text,
        )
        document.write_text(made, encoding="utf-8")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        os.environ |= dict.fromkeys(("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"), name)
        furnish(Path(name))
        write(Path(name))
