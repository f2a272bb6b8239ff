"""Issue 4, Show 2: predicted against measured tokens per second, in real time on emulated rigs.

    python -m tests.plan.real_time

The emulator makes every device take (weight bytes read / its bandwidth) x TIME_SCALE per pass, so a model of 60 MB
behaves like one of 60 GB. The rigs are the oracle's with about a hundredth of their memory.
"""

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from splitter.model.facts import ModelFacts
from splitter.model.load import load_model
from splitter.plan.evaluate import evaluate
from splitter.plan.overhead import no_overhead
from splitter.plan.plan import Plan
from splitter.plan.request import Request
from splitter.plan.solve import solve
from splitter.plan.speed import BOUND
from splitter.rig.device import Device, Host, Rig
from splitter.units import MIB
from tests.engine.oracle import RigRow, engine_dir
from tests.plan.builders import ONE_TOKEN
from tests.plan.table import flags

MAKE_MODEL = Path(__file__).parents[2] / "examples" / "make_model.py"
SHAPE = ["--layers", "24", "--embd", "512", "--ffn", "1024", "--heads", "8", "--kv-heads", "2"]
TIME_SCALE = 2500
CONTEXT, UBATCH, TOKENS = 512, 32, 16
RIGS: dict[str, tuple[RigRow, ...]] = {
    "phoenix / 100": (("GTX 1050 Ti", 40, 24, 112), ("RTX 2080", 80, 48, 448), ("GTX 1060 6GB", 60, 34, 192)),
    "budget-pair / 100": (("GTX 1660 SUPER", 60, 42, 336), ("RTX 3070", 80, 52, 448)),
    "twelve-and-twentyfour / 300": (("RTX 3060", 40, 40, 360), ("RTX 4090", 80, 52, 1008)),
    "flagship-mix / 500": (("RTX 5090", 65, 44, 1792), ("RTX 3090", 49, 38, 936), ("RTX A4000", 33, 32, 448)),
}
SEED_SPLIT = (1.5, 4.5, 3.0)


@dataclass(frozen=True)
class Measured:
    """One planner on one rig; tokens per second in scaled time."""

    rig: str
    planner: str
    predicted: float
    measured: float

    def error(self) -> float:
        return self.measured / self.predicted - 1


def small_model(folder: Path) -> Path:
    """A model of some 60 MB that generates."""
    path = folder / "small.gguf"
    if not path.exists():
        subprocess.run([sys.executable, str(MAKE_MODEL), "-o", str(path), *SHAPE], check=True)
    return path


def as_rig(name: str) -> Rig:
    devices = (
        Device(f"CUDA{i}", n, total * MIB, free * MIB, b * 1e9) for i, (n, total, free, b) in enumerate(RIGS[name])
    )
    return Rig(name, Host(ram_bandwidth_bytes_per_s=40e9), tuple(devices))


def ours(facts: ModelFacts, rig: Rig) -> Plan:
    """Layer mode, all layers on the devices: the host's own speed is not emulated."""
    fixed = {"context_size": CONTEXT, "ubatch_size": UBATCH, "parallel": 1, "gpu_layers": facts.layers + 1}
    request = Request(fixed=fixed, margin_bytes=(0,), workload=ONE_TOKEN)
    return solve(facts, rig, request, constants=BOUND, overhead=no_overhead, details=False)


def given(facts: ModelFacts, rig: Rig, split: Sequence[float]) -> Plan:
    """All devices in PCI order with `split`, () for llama.cpp's own."""
    order = tuple(device.id for device in rig.devices)
    base = ours(facts, rig).settings
    settings = type(base)(CONTEXT, facts.layers + 1, order, tuple(split), parallel=1, ubatch_size=UBATCH)
    return evaluate(facts, rig, settings, margin_bytes=(0,), constants=BOUND, overhead=no_overhead)


def fit_split(model: Path, rig: str) -> tuple[float, ...]:
    """The -ts that `llama-fit-params` prints, () where it keeps the default."""
    engine = engine_dir()
    order = ",".join(f"CUDA{i}" for i in range(len(RIGS[rig])))
    command = [
        str(engine.binary("llama-fit-params")),
        "-m",
        str(model),
        "-c",
        str(CONTEXT),
        "-fitt",
        "0",
        "-dev",
        order,
    ]
    env = {**os.environ, **engine.env(RIGS[rig])}
    out = subprocess.run(command, capture_output=True, text=True, env=env, check=True).stdout
    match = re.search(r"-ts ([\d,]+)", out)
    return tuple(float(x) for x in match[1].split(",")) if match else ()


def tokens_per_second(model: Path, rig: str, args: Sequence[str]) -> float:
    """llama-server's own timing of one generation with these flags."""
    engine = engine_dir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(engine.binary("llama-server")), "-m", str(model), "--port", str(port), "--fit", "off"]
    env = {**os.environ, **engine.env(RIGS[rig], RIG_EMULATOR_TIME_SCALE=str(TIME_SCALE))}
    log = model.with_suffix(".log")
    with log.open("wb") as out, subprocess.Popen([*command, *args], env=env, stdout=out, stderr=out) as server:
        try:
            _wait(server, f"http://127.0.0.1:{port}/health", log)
            body = {"prompt": "The card", "n_predict": TOKENS, "ignore_eos": True, "temperature": 0}
            request = urllib.request.Request(f"http://127.0.0.1:{port}/completion", json.dumps(body).encode())
            with urllib.request.urlopen(request, timeout=120) as answer:
                timings = json.load(answer)["timings"]
            assert timings["predicted_n"] == TOKENS
            return float(timings["predicted_per_second"])
        finally:
            server.kill()


def _wait(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    for _ in range(600):
        assert server.poll() is None, log.read_text(errors="replace")[-1500:]
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise AssertionError("llama-server did not get ready")


def compare(model: Path, name: str) -> list[Measured]:
    """Ours, fit's and (on phoenix) the seed's split on one rig."""
    facts, rig = load_model(str(model)), as_rig(name)
    plans = {"ours": ours(facts, rig), "fit": given(facts, rig, fit_split(model, name))}
    if "phoenix" in name:
        plans["seed 1.5,4.5,3"] = given(facts, rig, SEED_SPLIT)
    results = []
    for planner, plan in plans.items():
        roofline = plan.speed.generation_tokens_per_s
        assert roofline is not None
        assert plan.fits(), (name, planner, [w.message for w in plan.warnings])
        measured = tokens_per_second(model, name, flags(plan.settings))
        results.append(Measured(name, planner, roofline / TIME_SCALE, measured))
    return results


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        small = small_model(Path(folder))
        for rig_name in RIGS:
            for m in compare(small, rig_name):
                text = f"{m.rig:28} {m.planner:16} predicted {m.predicted:6.2f} measured {m.measured:6.2f} t/s"
                sys.stdout.write(f"{text} {100 * m.error():+5.1f} %\n")
                sys.stdout.flush()
