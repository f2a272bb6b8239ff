"""What the real llama-server holds on the emulated rig: its own buffer lines, and the most that each device handed out.

The model's weights are holes (RIG_EMULATOR_EMPTY), so a case costs a second; the server runs until it listens.
"""

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Timer

from splitter.run.endpoint import any_free_port
from tests.engine.oracle import EngineDir, RigRow, engine_dir

TIMEOUT_S = 120.0
DEVICE_MIB = 245760
BUFFER = re.compile(r"(\w+): +(\S+) +(?:(\S+) )?buffer size = +([\d.]+) MiB")
CONTEXT_STARTS = re.compile(r"llama_context: constructing|n_seq_max +=")
READY = "server is listening on"
LISTENING = re.compile(r"listening on http")
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


def ask_server(model: Path, args: Sequence[str], devices: int, report: Path, emulator: Path | None = None) -> ServerAnswer:
    """Starts the server on `devices` roomy devices, waits until it listens, stops it."""
    engine = engine_dir()
    port = any_free_port()
    command = [str(engine.binary("llama-server")), "-m", str(model), "--fit", "off", "-lv", "4"]
    command += ["--port", str(port), "-dev", ",".join(f"CUDA{i}" for i in range(devices)) or "none", *args]
    env = {**os.environ, **_env(engine, devices, report, emulator)}
    report.unlink(missing_ok=True)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env) as process:
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
        if LISTENING.search(line):
            return answer
        if " E " in line or "error" in line:
            last = line.strip()[:300]
        read_line(answer, line)
    answer.failed = last or f"exit {process.wait()}"
    return answer


def read_line(answer: ServerAnswer, line: str) -> None:
    """One line of the log into the answer. Model lines come before the context that they belong to."""
    if "constructing llama_context" in line:
        answer.contexts.append({})
    answer.pipeline |= "pipeline parallelism enabled" in line
    found = BUFFER.search(line)
    if found is None:
        return
    where, device, kind, size = found.groups()
    if not answer.contexts or (where == "load_tensors" and answer.contexts[-1]):
        pass
    term = TERMS.get(kind or "", 1)
    target = _target(answer, where)
    row = target.setdefault(device, [0.0, 0.0, 0.0, 0.0])
    row[term] += float(size)


def _target(answer: ServerAnswer, where: str) -> dict[str, Row]:
    """Weights are loaded before their context is made: they open its entry."""
    if where == "load_tensors" and (not answer.contexts or any(row[2] for row in answer.contexts[-1].values())):
        answer.contexts.append({})
    return answer.contexts[-1]


def _peaks(report: Path) -> dict[str, int]:
    if not report.exists():
        return {}
    rows = [line.split("\t") for line in report.read_text(encoding="utf-8").splitlines()]
    return {row[0]: int(row[3].removeprefix("peak_bytes=")) for row in rows}
