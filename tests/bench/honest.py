"""Issue 7, Show 1: what `bench` reports against the engine's own log, at rest and with another program on the machine.

    python -m tests.bench.honest

llama-server on the emulator with known bandwidths (RIG_EMULATOR_TIME_SCALE): the reported speeds against the `eval
time` lines that the engine itself logged for the same requests; then the same with two busy loops beside it.
"""

import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from splitter.bench.client import identify
from splitter.bench.measure import Sweep, measure_points
from splitter.bench.records.record import Point
from splitter.bench.stopping import Stopping
from splitter.engine.command import EngineCommand, EngineRef, Server
from splitter.run.endpoint import any_free_port
from splitter.run.log_file import LogFile
from splitter.run.supervisor import launch
from tests.engine.oracle import engine_dir
from tests.plan.real_time import RIGS, TIME_SCALE, small_model

LINE = re.compile(r"^.*?(prompt )?eval time =\s+[\d.]+ ms /\s+(\d+) tokens.*?([\d.]+) tokens per second", re.MULTILINE)


def command(model: Path, rig: str, *flags: str) -> EngineCommand:
    """All layers on the cards of one of real_time's rigs, in scaled time."""
    engine, server = engine_dir(), Server(port=any_free_port())
    program = str(engine.binary("llama-server"))
    order = ",".join(f"CUDA{i}" for i in range(len(RIGS[rig])))
    where = ("--fit", "off", "--device", order, "-ngl", "99", "-c", "512", "-ub", "32", "-np", "1", *flags)
    argv = (program, "-m", str(model), *where, "--host", server.host, "--port", str(server.port))
    env = engine.env(RIGS[rig], RIG_EMULATOR_TIME_SCALE=str(TIME_SCALE))
    return EngineCommand(EngineRef("llama-server", program), argv, env, server, str(model))


def logged(log: str) -> tuple[list[float], list[float]]:
    """The engine's own prompt and generation speeds, one of each per request."""
    found = LINE.findall(log)
    return [float(v) for prompt, _, v in found if prompt], [float(v) for prompt, _, v in found if not prompt]


def measured(planned: EngineCommand, log: Path, repetitions: int) -> Point:
    """One point, with the engine's log beside it."""
    with launch(planned, on_log=LogFile(log).write) as instance:
        target = identify(instance.wait_ready().url, None, None, 300)
        sweep = Sweep(64, 12, stopping=Stopping(repetitions=repetitions, budget_s=None))
        (point,) = measure_points(target, sweep)
    return point


def errors(point: Point, log: str) -> tuple[float, float]:
    """How far the reported medians are from the log's, as shares; the warm-up's lines are left out."""
    prompt, generation = (values[-point.repetitions :] for values in logged(log))
    assert len(generation) == point.repetitions, log[-3000:]
    assert point.prompt_tokens_per_s is not None
    assert point.generation_tokens_per_s is not None
    return (
        point.prompt_tokens_per_s.median / statistics.median(prompt) - 1,
        point.generation_tokens_per_s.median / statistics.median(generation) - 1,
    )


def busy(count: int, stack: ExitStack) -> None:
    """Another program on the machine, until `stack` closes."""
    for _ in range(count):
        loop = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        stack.callback(loop.wait)
        stack.callback(loop.kill)


def main(rigs: Sequence[str], repetitions: int = 5) -> None:
    with tempfile.TemporaryDirectory() as folder:
        model, log = small_model(Path(folder)), Path(folder) / "engine.log"
        for rig in rigs:
            for loops in (0, 2):
                log.unlink(missing_ok=True)
                with ExitStack() as stack:
                    busy(loops, stack)
                    point = measured(command(model, rig), log, repetitions)
                prompt, generation = errors(point, log.read_text(encoding="utf-8", errors="replace"))
                found = point.generation_tokens_per_s
                assert found is not None
                text = f"{rig:28} {loops} busy loops: {found.median:6.2f} t/s ({found.minimum:.2f}-{found.maximum:.2f})"
                sys.stdout.write(
                    f"{text}, to the log: prompt {100 * prompt:+.2f} %, generation {100 * generation:+.2f} %"
                )
                sys.stdout.write(f"; warnings: {'; '.join(point.warnings) or 'none'}\n")
                sys.stdout.flush()
                assert max(abs(prompt), abs(generation)) < 0.03


if __name__ == "__main__":
    main(sys.argv[1:] or list(RIGS)[:2])
