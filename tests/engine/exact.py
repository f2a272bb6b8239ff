"""llama.cpp's answers in bytes: a small library preloaded into llama-fit-params (exact_bytes.cpp), built on demand."""

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.engine.oracle import HERE, EngineDir, RigRow, engine_dir

DEVICES = 3
RIG: tuple[RigRow, ...] = (("GPU", 245760, 245760, 500),) * DEVICES
BREAKDOWN = re.compile(r"^EXACT (\S+) (\d+) (\d+) (\d+) *$", re.MULTILINE)
USED = re.compile(r"^USED (model|all) CUDA(\d+) (\d+) *$", re.MULTILINE)

Row = list[int]  # model, context, compute bytes


@dataclass(frozen=True)
class Exact:
    """Bytes by buffer type (`CUDA0`, ..., `CPU`, `CPU_REPACK`), and whether pipeline parallelism was enabled."""

    rows: dict[str, Row]
    pipeline: bool


@cache
def compiled(source: str) -> Path:
    """The library or program that `source` (.cpp beside this file) compiles to against the cached engine."""
    engine = engine_dir().path
    tree, shared = engine / "llama.cpp", source != "virtual_model"
    out = engine / f"{source}.so" if shared else engine / source
    includes = [f"-I{tree / part}" for part in ("include", "ggml/include", "common", "src")]
    libraries = [f"-L{engine / 'bin'}", f"-Wl,-rpath,{(engine / 'bin').resolve()}", "-lllama", "-lggml", "-lggml-base"]
    kind = ["-shared", "-fPIC"] if shared else []
    command = ["g++", "-std=c++17", "-O1", *kind, *includes, str(HERE / f"{source}.cpp"), "-o", str(out), *libraries]
    subprocess.run(command, check=True)
    return out


def exact_bytes(model: Path, args: Sequence[str]) -> Exact | None:
    """What every device and the host would hold on RIG; None where llama.cpp refuses the model or the flags."""
    out = _fit_print(model, args, {})
    rows = {name: [int(n) for n in sizes] for name, *sizes in BREAKDOWN.findall(out)}
    return Exact(rows, "pipeline parallelism enabled" in out) if rows else None


def loaded_bytes(model: Path, args: Sequence[str]) -> Exact | None:
    """The same from a real load, for `-sm tensor`: llama.cpp's own breakdown does not tell the devices apart there."""
    out = _fit_print(model, args, {"EXACT_LOAD": "1"})
    used = {(when, int(device)): int(size) for when, device, size in USED.findall(out)}
    compute = sum(int(sizes[-1]) for name, *sizes in BREAKDOWN.findall(out) if name.startswith("Meta"))
    if len(used) < 2 * DEVICES:
        return None
    rows = {}
    for device in range(DEVICES):
        model_bytes, all_bytes = used["model", device], used["all", device]
        rows[f"CUDA{device}"] = [model_bytes, all_bytes - model_bytes - compute, compute]
    return Exact(rows, pipeline=False)


def fit_rows(model: Path, args: Sequence[str], devices: int) -> dict[str, Row] | None:
    """What llama-fit-params says each of `devices` roomy devices would hold, in bytes; None where it refuses."""
    out = _fit_print(model, args, {}, devices)
    return {name: [int(n) for n in sizes] for name, *sizes in BREAKDOWN.findall(out)} or None


def _fit_print(model: Path, args: Sequence[str], extra: dict[str, str], count: int = DEVICES) -> str:
    engine: EngineDir = engine_dir()
    env = {**os.environ, **engine.env(RIG[:1] * count, LD_PRELOAD=str(compiled("exact_bytes"))), **extra}
    if "-kvu" in args:
        env["EXACT_KVU"] = "1"
        args = [arg for arg in args if arg != "-kvu"]
    devices = ",".join(f"CUDA{i}" for i in range(count))
    command = [str(engine.binary("llama-fit-params")), "-m", str(model), "--fit-print", "on", "-dev", devices]
    done = subprocess.run([*command, "-lv", "5", *args], capture_output=True, text=True, env=env, check=False)
    return done.stdout + done.stderr
