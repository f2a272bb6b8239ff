"""The real llama.cpp as an oracle: the pinned build, the rig emulator, skeleton models and the dry run.

The engine is built once by build_engine.sh (10-20 minutes on two cores) and cached under ~/.cache/splitter-engine.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "splitter-engine"

VERSION = "11434"

RigRow = tuple[str, int, int, int]  # name, total MiB, free MiB, GB/s

RIGS: dict[str, tuple[RigRow, ...]] = {
    "phoenix": (("GTX 1050 Ti", 4096, 3900, 112), ("RTX 2080", 8192, 7800, 448), ("GTX 1060 6GB", 6144, 5900, 192)),
    "budget-pair": (("GTX 1660 SUPER", 6144, 5800, 336), ("RTX 3070", 8192, 7700, 448)),
    "twelve-and-twentyfour": (("RTX 3060", 12288, 11900, 360), ("RTX 4090", 24564, 23500, 1008)),
    "mining-four": (("GTX 1070", 8192, 7950, 256),) * 4,
    "ampere-mix": (
        ("RTX 3090", 24576, 24000, 936),
        ("RTX 3090", 24576, 24000, 936),
        ("RTX 3060", 12288, 11900, 360),
        ("Tesla P40", 24576, 24200, 347),
    ),
    "single-3060": (("RTX 3060", 12288, 11800, 360),),
    "mx-pair": (("GeForce MX150", 2048, 1900, 48), ("GeForce MX450", 2048, 1850, 80)),
    "flagship-mix": (
        ("RTX 5090", 32607, 31800, 1792),
        ("RTX 3090", 24576, 24100, 936),
        ("RTX A4000", 16376, 16000, 448),
    ),
}


@dataclass(frozen=True)
class EngineDir:
    """A finished build: `bin/llama-server` and friends, and the emulator backend."""

    path: Path

    def binary(self, name: str) -> Path:
        return self.path / "bin" / name

    def env(self, rig: Sequence[RigRow], **extra: str) -> dict[str, str]:
        """The environment in which the engine sees `rig`."""
        devices = ";".join(":".join(map(str, row)) for row in rig)
        return {"GGML_BACKEND_PATH": str(self.path / "libggml-rig.so"), "RIG_EMULATOR": devices, **extra}


@dataclass(frozen=True)
class Held:
    """What llama.cpp says one device would hold; MiB rounded down."""

    device: str
    model_mib: int
    context_mib: int
    compute_mib: int


@cache
def engine_dir() -> EngineDir:
    """Builds the engine, or reuses the cached build."""
    target = str(CACHE / VERSION)  # named here: a test may have moved XDG_CACHE_HOME since
    out = subprocess.run(["bash", str(HERE / "build_engine.sh"), target], stdout=subprocess.PIPE, text=True, check=True)
    return EngineDir(Path(out.stdout.strip().splitlines()[-1]))


@cache
def skeleton(name: str) -> Path:
    """A GGUF with the true shapes of a public model and a hole for its weights (see skeletons.py)."""
    path = CACHE / "skeletons" / f"{name}.gguf"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as made:  # another worker of the tests may want it too
            subprocess.run([sys.executable, str(HERE / "skeletons.py"), made, name], check=True)
            (Path(made) / path.name).replace(path)
    return path


def dry_run(model: Path, rig: Sequence[RigRow], args: Sequence[str]) -> list[Held]:
    """llama-fit-params --fit-print: what each device would hold, host last. `args` without -m; -dev added if absent."""
    engine = engine_dir()
    devices = [] if "-dev" in args or "--device" in args else ["-dev", ",".join(f"CUDA{i}" for i in range(len(rig)))]
    command = [str(engine.binary("llama-fit-params")), "-m", str(model), "--fit-print", "on", *devices, *args]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **engine.env(rig)}, check=False)
    rows = re.findall(r"^(\w+) (\d+) (\d+) (\d+) *$", done.stdout, re.MULTILINE)
    if not rows:
        raise AssertionError(f"{command}: exit {done.returncode}\n{(done.stdout + done.stderr)[-2000:]}")
    return [Held(device, int(m), int(c), int(b)) for device, m, c, b in rows]
