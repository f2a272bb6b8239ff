"""What the real llama-server holds on the emulated rig: its own buffer lines, and the most that each device handed out.

The model's weights are holes (RIG_EMULATOR_EMPTY), so a case costs a second; the server runs until it listens.
"""

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Timer

from splitter.run.endpoint import any_free_port
from tests.engine.exact import compiled
from tests.engine.oracle import EngineDir, RigRow, engine_dir

TIMEOUT_S = 120.0
DEVICE_MIB = 245760
BUFFER = re.compile(r"(\w+): +(\S+) +(?:(\S+) )?buffer size = +([\d.]+) MiB")
READY = "all slots are idle"  # not before: a signal that comes while it starts to listen is lost
TERMS = {"model": 0, "compute": 2, "output": 3}  # KV, RS and what else a cache is called: 1
Row = list[float]  # MiB: model, context, compute, output


@dataclass(slots=True)
class ServerAnswer:
    """`contexts`: one per context created (the main model's, then the draft's or MTP's), MiB by buffer type.

    `peaks` are bytes by device; `failed` is the server's last line where it did not come up.
    """

    contexts: list[dict[str, Row]] = field(default_factory=list)
    peaks: dict[str, int] = field(default_factory=dict)
    pipeline: bool = False
    failed: str = ""


def ask_server(
    model: Path, args: Sequence[str], devices: int, report: Path, emulator: Path | None = None
) -> ServerAnswer:
    """Starts the server on `devices` roomy devices, waits until it listens, stops it."""
    engine = engine_dir()
    port = any_free_port()
    command = [str(engine.binary("llama-server")), "-m", str(model), "--fit", "off", "-lv", "4", "--no-warmup"]
    command += ["--port", str(port), "-dev", ",".join(f"CUDA{i}" for i in range(devices)) or "none", *args]
    env = _env(engine, devices, report, emulator)
    return ask_command(command, env, report)


def ask_command(argv: Sequence[str], env: Mapping[str, str], report: Path) -> ServerAnswer:
    """What a server started by `argv` prints until it listens; `env` makes the emulator write `report`."""
    report.unlink(missing_ok=True)
    whole = {**os.environ, "LD_PRELOAD": str(compiled("no_prefetch")), **env}
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=whole) as process:
        stop = Timer(TIMEOUT_S, process.kill)
        stop.start()
        answer = _read(process)
        process.terminate()
        process.communicate()
        stop.cancel()
    answer.peaks = _peaks(report)
    return answer


def _env(engine: EngineDir, devices: int, report: Path, emulator: Path | None) -> dict[str, str]:
    rig: tuple[RigRow, ...] = (("GPU", DEVICE_MIB, DEVICE_MIB, 500),) * devices
    env = engine.env(rig, RIG_EMULATOR_REPORT=str(report), RIG_EMULATOR_EMPTY="1")
    return env if emulator is None else {**env, "GGML_BACKEND_PATH": str(emulator)}


def _read(process: "subprocess.Popen[str]") -> ServerAnswer:
    answer = ServerAnswer()
    last = ""
    assert process.stdout is not None
    for line in process.stdout:
        if READY in line:
            return answer
        if " E " in line or "error" in line:
            last = line.strip()[:300]
        read_line(answer, line)
    answer.failed = last or f"exit {process.wait()}"
    return answer


def read_line(answer: ServerAnswer, line: str) -> None:
    """One line of the log into the answer; weights are loaded before the context that they belong to."""
    answer.pipeline |= "pipeline parallelism enabled" in line
    opens = "load_tensors:" if "model buffer size" in line else "constructing llama_context"
    if opens in line and not (answer.contexts and _is_open(answer.contexts[-1], opens)):
        answer.contexts.append({})
    found = BUFFER.search(line)
    if found is None or not answer.contexts:
        return
    _, device, kind, size = found.groups()
    row, term = answer.contexts[-1].setdefault(device, [0.0] * 4), TERMS.get(kind or "", 1)
    row[term] = float(size) if kind == "compute" else row[term] + float(size)  # a graph may be reserved again


def _is_open(context: dict[str, Row], opens: str) -> bool:
    """Whether a line that opens a context belongs to the one begun: weights before it, nothing of its own yet."""
    begun = any(any(row[1:]) for row in context.values())
    return not begun and (opens == "load_tensors:" or bool(context))


def _peaks(report: Path) -> dict[str, int]:
    if not report.exists():
        return {}
    rows = [line.split("\t") for line in report.read_text(encoding="utf-8").splitlines()]
    return {row[0]: int(row[3].removeprefix("peak_bytes=")) for row in rows}
