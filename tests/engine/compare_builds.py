"""What moved from one build of llama.cpp to another, family by family, without building either.

    nice -n 10 python -m tests.engine.compare_builds 2026.9.11063 2026.10.11549 [ARCHITECTURE...]

Builds are versions of the wheel xllamacpp, whose last number is llama.cpp's build, or `llama-server` for the pinned
one; wheels are fetched once into the cache. Each build serves one model of every family of the recorded archive, cut to
few layers, on the CPU: its buffer lines (weights, caches, compute) are compared. A card's buffers come from the same
graph and caches: a family that moved is to be looked at, and asked anew on the emulated rig. Prints a line for each
family that moved or that a build refuses.
"""

import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from splitter.run.endpoint import any_free_port
from tests.engine.oracle import CACHE, engine_dir
from tests.engine.real_server import Row, ServerAnswer, ask_command
from tests.engine.record_server import read_archive, restored
from tests.memory.server_answers import ARCHIVE, served

FLAGS = ["-c", "8192", "-np", "2", "-ub", "1024", "-lv", "4", "--no-warmup"]
PINNED = "llama-server"
Held = dict[str, Row]


def wheel(version: str) -> Path:
    """The folder of an unpacked wheel, downloaded when first asked for."""
    folder = CACHE / "wheels" / version
    if not folder.exists():
        into = CACHE / "wheels" / "downloads"
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:"]
        subprocess.run([*command, "-d", str(into), f"xllamacpp=={version}"], check=True)
        (found,) = into.glob(f"xllamacpp-{version}-*.whl")
        with zipfile.ZipFile(found) as archive:
            archive.extractall(folder)
    return folder


def ask(build: str, model: Path, folder: Path) -> ServerAnswer:
    """What one build prints while it loads `model` on the CPU."""
    port = ["--port", str(any_free_port())]
    if build == PINNED:
        argv = [str(engine_dir().binary(PINNED)), "-m", str(model), "--fit", "off", "-dev", "none", *FLAGS, *port]
        return ask_command(argv, {}, folder / "report")
    argv = [sys.executable, "-m", "splitter.engine.embedded.server", "-m", str(model), *FLAGS, *port]
    return ask_command(argv, {"PYTHONPATH": str(wheel(build))}, folder / "report")


def held(answer: ServerAnswer) -> Held:
    """MiB of model, caches and compute on the host, over all contexts; repacked weights are weights."""
    rows = [row for context in answer.contexts for row in context.values()]
    return {"host": [sum(row[term] for row in rows) for term in range(3)]} if rows else {}


def families(only: Sequence[str]) -> Mapping[str, str]:
    """A model of each family in the archive, by architecture."""
    found: dict[str, str] = {}
    for case in served():
        if not only or case.facts.architecture in only:
            found.setdefault(case.facts.architecture, case.model)
    return found


def compared(old: str, new: str, only: Sequence[str]) -> Iterator[tuple[str, Held, Held]]:
    """Each family with what both builds hold; nothing for one that refuses it."""
    heads, cases = read_archive(ARCHIVE)
    with tempfile.TemporaryDirectory() as name:
        for family, model in sorted(families(only).items()):
            restored(Path(name), heads, [case for case in cases if case["model"] == model])
            path = Path(name) / f"{model}.gguf"
            yield family, held(ask(old, path, Path(name))), held(ask(new, path, Path(name)))
            path.unlink()


def main() -> None:
    old, new, *only = sys.argv[1:]
    same = 0
    print(f"{old} -> {new}: weights, caches, compute of the host in MiB")
    for family, before, after in compared(old, new, only):
        if before == after and before:
            same += 1
            continue
        cells = ["refused" if not one else " ".join(f"{x:9.2f}" for x in one["host"]) for one in (before, after)]
        print(f"  {family:20} {cells[0]} -> {cells[1]}", flush=True)
    print(f"{same} families are the same")


if __name__ == "__main__":
    main()
