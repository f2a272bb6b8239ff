"""Runs llama-bench, the benchmark that comes with llama-server."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from splitter.bench.llama_bench import llama_bench_args, llama_bench_points
from splitter.bench.points import Shape
from splitter.bench.records.record import Point
from splitter.engine.capture import captured
from splitter.engine.command import EngineCommand, EngineRef
from splitter.engine.engines import ENGINES
from splitter.engine.log.last_words import last_words
from splitter.errors import EngineError, EngineNotFoundError
from splitter.plan.plan import Plan

TOOL = "llama-bench"


def find_llama_bench(engine: EngineRef) -> str:
    """The llama-bench beside `engine`'s llama-server. EngineNotFoundError when there is none."""
    if engine.path is not None and ENGINES[engine.kind].tools_beside:
        named = Path(engine.path)
        for folder in (named.parent, named.resolve().parent):
            if tool := shutil.which(str(folder / TOOL)):
                return tool
    raise EngineNotFoundError(
        f"there is no {TOOL} beside {engine.path or engine.kind}", "use a full release of llama.cpp, or leave it out"
    )


def run_llama_bench(
    plan: Plan, command: EngineCommand, shapes: Sequence[Shape], repetitions: int, timeout_s: float
) -> tuple[tuple[Point, ...], tuple[str, ...]]:
    """The points, and the command that gave them. EngineError with its last words when it fails or takes too long."""
    argv = (find_llama_bench(command.engine), *llama_bench_args(plan, shapes, repetitions))
    try:
        done = captured(argv, timeout_s, command.env)
    except subprocess.TimeoutExpired:
        raise EngineError(f"{TOOL} did not finish within {timeout_s:g} s", "measure fewer tokens") from None
    except OSError as error:
        raise EngineError(f"{TOOL} cannot be started: {error.strerror}", f"check {argv[0]}") from None
    if done.returncode:
        blamed = last_words(done.stderr.splitlines())
        said = blamed.sentence if blamed else f"exit code {done.returncode}"
        raise EngineError(f"{TOOL} failed: {said}", "see whether `splitter bench` without it works")
    try:
        rows = json.loads(done.stdout)
    except ValueError:
        rows = None
    return llama_bench_points(rows, shapes), argv
