"""Fuzzes one reader with atheris (coverage-guided): pip install 'tensor-splitter[fuzz]', then

    python -m tests.fuzz header --minutes 10      header profile rig log script command entry record

An input may take SLOWEST_S seconds and the process MEMORY_MIB; an input that breaks this, or that raises anything but a
SplitterError, is kept as tests/fuzz/corpus/TARGET/finding-HASH, once per place in the code. Fuzzing goes on behind it.
`--keep KIB` adds so much of what reached new code to the corpus. Ends with one line of figures; exit code 1: findings.
"""

import argparse
import hashlib
import os
import resource
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

import atheris

with atheris.instrument_imports(include=["splitter"]):
    from tests.fuzz.targets import TARGETS, survives

from tests.fuzz.seeds import CORPUS, seeds

SLOWEST_S = 2.0
HANGS_S = 30
MEMORY_MIB = 1024
LONGEST_BYTES = 8192


class Watched:
    """Runs inputs, counts them and keeps what breaks a rule."""

    def __init__(self, target: str) -> None:
        self.target, self.runs, self.slowest_s, self.slowest = target, 0, 0.0, b""
        self.found: dict[str, Path] = {}

    def __call__(self, data: bytes) -> None:
        self.runs += 1
        started_s = time.process_time()
        try:
            survives(self.target, data)
        except Exception as error:  # noqa: BLE001  every kind is a finding
            self._keep(_place(error), data)
        took_s = time.process_time() - started_s
        if took_s > self.slowest_s:
            self.slowest_s, self.slowest = took_s, data
        if took_s > SLOWEST_S:
            self._keep("slow", data)

    def _keep(self, place: str, data: bytes) -> None:
        if place in self.found:
            return
        path = CORPUS / self.target / f"finding-{hashlib.sha256(data).hexdigest()[:12]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        self.found[place] = path
        print(f"FINDING {self.target}: {place} ({path})", flush=True)

    def figures(self) -> str:
        peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        return (
            f"{self.target}: {self.runs} executions, {len(self.found)} findings, peak memory {peak_mib} MiB, "
            f"slowest input {self.slowest_s * 1000:.0f} ms ({len(self.slowest)} bytes)"
        )


def _place(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    last = frames[-1]
    return f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}: {str(error)[:120]!r}"


def main() -> None:
    """Fuzzes until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--keep", type=int, default=0, metavar="KIB")
    options = parser.parse_args()
    watched, work = Watched(options.target), Path(tempfile.mkdtemp(prefix="splitter-fuzz-"))
    for number, data in enumerate([*seeds(options.target), *_corpus(options.target)]):
        (work / f"seed-{number}").write_bytes(data)
    _fuzz(watched, work, time.monotonic() + options.minutes * 60, options)


def _fuzz(watched: Watched, work: Path, until_s: float, options: argparse.Namespace) -> None:
    def one(data: bytes) -> None:
        if time.monotonic() > until_s:
            _end(watched, work, options)
        watched(data)

    limits = [f"-timeout={HANGS_S}", f"-rss_limit_mb={MEMORY_MIB}", f"-max_len={LONGEST_BYTES}", "-verbosity=0"]
    folder = CORPUS / watched.target
    folder.mkdir(parents=True, exist_ok=True)
    setup: Any = atheris.Setup
    setup([sys.argv[0], str(work), *limits, f"-artifact_prefix={folder}/finding-"], one)
    atheris.Fuzz()


def _end(watched: Watched, work: Path, options: argparse.Namespace) -> None:
    """Leaves at once, from within the run: libFuzzer never comes back, and takes any exception for a crash."""
    _grow(watched.target, work, options.keep)
    shutil.rmtree(work)
    print(f"{watched.figures()}, {options.minutes:g} minutes", flush=True)
    os._exit(1 if watched.found else 0)


def _corpus(target: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((CORPUS / target).glob("*"))]


def _grow(target: str, work: Path, kib: int) -> None:
    """Keeps the smallest of the inputs that reached new code, up to `kib` in all."""
    folder, left = CORPUS / target, kib * 1024
    for path in sorted(work.iterdir(), key=lambda path: path.stat().st_size):
        left -= path.stat().st_size
        if left < 0:
            return
        if not path.name.startswith("seed-"):
            shutil.copy(path, folder / path.name[:16])


if __name__ == "__main__":
    main()
