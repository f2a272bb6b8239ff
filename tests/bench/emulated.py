"""Small emulated rigs in slowed time for the tuner and the calibration: rig file, engine environment, verb.

The emulator makes each card take (weight bytes / its bandwidth) x TIME_SCALE per pass, so that a model of 60 MB is as
slow as one of tens of GB and the host's own work is hidden behind the waiting. The rig file promises what the driver
takes on a real card on top of what the emulator has, so that the planner's own overhead changes nothing.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from splitter.memory.overhead import device_overhead
from splitter.units import MIB
from tests.engine.oracle import engine_dir
from tests.plan.real_time import MAKE_MODEL

TIME_SCALE = 1000
# So slow that the cards' time hides the work of a busy machine's cores: more than 0.13 s per token.
TIME_SCALES = {
    "phoenix / 100": 800,
    "budget-pair / 100": 1000,
    "twelve-and-twentyfour / 300": 1900,
    "flagship-mix / 500": 3300,
}
ROOM_MIB = 200  # a card of so much more memory loses the same to the driver everywhere
Card = tuple[int, int, int]  # free MiB, true GB/s, GB/s that the rig file claims

RIGS: dict[str, tuple[Card, ...]] = {
    "phoenix / 100": ((24, 112, 112), (48, 448, 448), (34, 192, 192)),
    "budget-pair / 100": ((42, 336, 336), (52, 448, 448)),
    "twelve-and-twentyfour / 300": ((40, 360, 360), (52, 1008, 1008)),
    "flagship-mix / 500": ((44, 1792, 1792), (38, 936, 936), (32, 448, 448)),
}


@dataclass(frozen=True)
class World:
    """A folder with a model, a rig and the user's folders; `cards` as the emulator and the rig file see them."""

    folder: Path
    model: Path
    cards: tuple[Card, ...]
    time_scale: float = TIME_SCALE
    extra: Mapping[str, str] = field(default_factory=dict)

    def rig_file(self) -> Path:
        path = self.folder / "rig.yaml"
        rows = [f"  - {self._row(i, free, claimed)}" for i, (free, _, claimed) in enumerate(self.cards)]
        host = "host: {ram_mib: 16384, ram_free_mib: 8192, ram_gb_per_s: 20, cores: 2, os: linux}"
        path.write_text("\n".join(["name: emulated", host, "devices:", *rows]) + "\n", encoding="utf-8")
        return path

    def _row(self, index: int, free: int, claimed: int) -> str:
        total = (free + ROOM_MIB) * MIB
        lost = sum(size for _, size in device_overhead(total))
        values = f"total_mib: {total // MIB}, free_mib: {free + lost / MIB:.0f}, gb_per_s: {claimed}"
        return f"{{name: emulated card {index}, id: CUDA{index}, {values}, uuid: GPU-{self.folder.name}-{index}}}"

    def env(self) -> dict[str, str]:
        rows = [(f"card {i}", free + ROOM_MIB, free + 1, true) for i, (free, true, _) in enumerate(self.cards)]
        homes = {f"XDG_{name}_HOME": str(self.folder / name.lower()) for name in ("CONFIG", "CACHE", "DATA", "STATE")}
        scale = str(self.time_scale)
        return {**os.environ, **homes, **engine_dir().env(rows, RIG_EMULATOR_TIME_SCALE=scale), **self.extra}

    def words(self, verb: str, *more: str) -> list[str]:
        engine = str(engine_dir().binary("llama-server"))
        common = ["--rig", str(self.rig_file()), "--engine-path", engine, "--margin", "0", "--json"]
        return [sys.executable, "-m", "splitter", verb, str(self.model), *common, *more]

    def run(self, verb: str, *more: str) -> Any:
        """The `data` of one verb that must succeed."""
        done = subprocess.run(
            self.words(verb, *more), env=self.env(), cwd=self.folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return json.loads(done.stdout)["data"]

    def start(self, verb: str, *more: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            self.words(verb, *more), env=self.env(), cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip

    def database(self) -> Path:
        return self.folder / "data" / "splitter" / "bench.sqlite"


def small_model(folder: Path, layers: int = 24, embd: int = 512, ffn: int = 1024) -> Path:
    """24 layers by default, some 60 MB."""
    path = folder / f"small-{layers}-{embd}.gguf"
    if not path.exists():
        shape = ["--layers", str(layers), "--embd", str(embd), "--ffn", str(ffn), "--heads", "8", "--kv-heads", "2"]
        subprocess.run([sys.executable, str(MAKE_MODEL), "-o", str(path), *shape], check=True)
    return path


def from_line(world: World, order: Sequence[str], split: Sequence[int], *more: str) -> str:
    """An engine command with this order and split, every layer on the cards."""
    words = ["llama-server", "-m", str(world.model), "-ngl", "99", "--device", ",".join(order), "-c", "512", "-np", "1"]
    return " ".join([*words, "-ts", ",".join(map(str, split)), "-ub", "32", *more])


KILL = getattr(signal, "SIGKILL", signal.SIGTERM)
