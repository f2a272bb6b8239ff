"""What random plans say each card will hold against what the server that is launched with them then holds.

    nice -n 10 python -m tests.engine.launched_plans [COUNT] [SEED]       40 plans: some two minutes

Plans of four kinds in turn: a model alone, one that drafts by MTP, one with a draft model, one with a projector; on
small emulated rigs, so that some layers or experts stay in RAM. The emulator reports the most that each card handed
out. Weights are holes, so nothing is computed: the server stops when it listens.
"""

import random
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from splitter.engine.command import EngineRef, Server
from splitter.engine.commands import build_command
from splitter.errors import DoesNotFitError
from splitter.model.facts import ModelFacts
from splitter.model.load import load_model
from splitter.plan.overhead import no_overhead
from splitter.plan.plan import Plan
from splitter.plan.request import Request
from splitter.plan.solve import solve
from splitter.rig.device import Device, Host, Rig
from splitter.run.endpoint import any_free_port
from splitter.units import MIB
from tests.engine.oracle import EngineDir, engine_dir, skeleton
from tests.engine.projectors import write_projector
from tests.engine.real_server import ask_command
from tests.memory.test_server_findings import FILE_BYTES, HEADERS, QWEN

TINY = Path(__file__).parents[2] / "examples" / "tiny.gguf"
SKELETONS = (
    "qwen2.5-7b-q8_0",
    "qwen3-30b-a3b-q4_k_m",
    "gemma-3-27b-q4_k_m",
    "llama-3.1-8b-q4_k_m",
    "gpt-oss-20b-mxfp4",
)
KINDS = ("alone", "MTP", "draft", "projector")


@dataclass(frozen=True)
class Launched:
    """One plan and the peaks of its devices, bytes by id."""

    kind: str
    plan: Plan
    held: dict[str, int]

    def differences(self) -> dict[str, int]:
        """The plan's bytes less the server's, by device of the plan."""
        return {one.device.id: one.used_bytes() - self.held[one.device.id] for one in self.plan.devices}


class Models:
    """The models of the four kinds, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.mtp = folder / f"{QWEN}.gguf"
        with tarfile.open(HEADERS) as archive:
            file = archive.extractfile(f"{QWEN}.gguf")
            assert file is not None
            self.mtp.write_bytes(file.read())
        with self.mtp.open("ab") as hole:
            hole.truncate(FILE_BYTES[QWEN])
        self.main = folder / "main.gguf"
        script = [sys.executable, str(TINY.with_name("make_model.py")), "-o", str(self.main)]
        subprocess.run([*script, "--layers", "24", "--embd", "256"], check=True)
        self.projector = write_projector(folder / "mmproj.gguf", "gemma3", 256)

    def choose(self, kind: str, rnd: random.Random) -> tuple[Path, tuple[int, int], dict[str, Any]]:
        """The model of a plan, the least and most free MiB of a card, and what is fixed."""
        match kind:
            case "MTP":
                return self.mtp, (500, 900), {"spec_type": "draft-mtp", "spec_draft_n_max": rnd.choice((1, 3))}
            case "draft":
                return self.main, (30, 70), {"draft_model": str(TINY)}
            case "projector":
                return self.main, (1100, 2500), {"mmproj": str(self.projector)}
        return skeleton(rnd.choice(SKELETONS)), (4000, 12000), {}


def planned(models: Models, kind: str, rnd: random.Random) -> Plan:
    """A random plan of one kind."""
    path, (least, most), fixed = models.choose(kind, rnd)
    cards = [rnd.randint(least, most) for _ in range(rnd.randint(1, 4))]
    devices = tuple(
        Device(f"CUDA{i}", f"Card {i}", 2 * free * MIB, free * MIB, rnd.choice((112, 256, 448, 936)) * 1e9)
        for i, free in enumerate(cards)
    )
    fixed |= {"context_size": rnd.choice((1024, 2048, 4096)), "ubatch_size": rnd.choice((64, 256, 512))}
    fixed |= {"parallel": rnd.choice((1, 2, 4))} if rnd.random() < 0.6 else {}
    kv = rnd.choice(("f16", "f16", "q8_0"))
    fixed |= {"cache_type_k": kv, "cache_type_v": kv}
    rig = Rig("random", Host(ram_bandwidth_bytes_per_s=40e9), devices)
    request = Request(
        fixed=fixed,
        margin_bytes=(0,),
        draft=_facts(fixed.get("draft_model")),
        projector=_facts(fixed.get("mmproj")),
    )
    return solve(load_model(str(path)), rig, request, overhead=no_overhead, details=False)


def _facts(path: str | None) -> ModelFacts | None:
    return None if path is None else load_model(path)


def launched(engine: EngineDir, plan: Plan, kind: str, report: Path) -> Launched:
    """Starts the server with the plan's own command, on cards with as much memory as the plan believed."""
    ref = EngineRef("llama-server", str(engine.binary("llama-server")), "11434")
    command = build_command(plan, ref, Server(port=any_free_port()))
    rows = [(d.name, d.total_bytes // MIB, d.free_bytes // MIB, 0) for d in plan.rig.devices]
    env = {**command.env, **engine.env(rows, RIG_EMULATOR_REPORT=str(report), RIG_EMULATOR_EMPTY="1")}
    answer = ask_command([*command.argv, "--no-warmup", "-lv", "4"], env, report)
    assert not answer.failed, (answer.failed, command.argv)
    return Launched(kind, plan, answer.peaks)


def run(count: int, seed: str) -> Iterator[Launched]:
    """`count` plans of the four kinds in turn."""
    rnd, engine = random.Random(seed), engine_dir()
    with tempfile.TemporaryDirectory() as name:
        models = Models(Path(name))
        made = 0
        while made < count:
            try:
                plan = planned(models, KINDS[made % len(KINDS)], rnd)
            except DoesNotFitError:
                continue
            yield launched(engine, plan, KINDS[made % len(KINDS)], Path(name) / "report")
            made += 1


def show(rows: Sequence[Launched]) -> None:
    print("kind, model, per device: the plan's MiB and how far it is above the server")
    for row in rows:
        sizes = ((one.device.id, one.used_bytes()) for one in row.plan.devices)
        gaps = row.differences()
        cells = (f"{name} {size / MIB:8.1f} {gaps[name] / MIB:+7.2f}" for name, size in sizes)
        print(f"  {row.kind:9} {Path(row.plan.facts.path).stem:22}", *cells, sep="  ")
    for kind in KINDS:
        gaps_mib = [gap / MIB for row in rows if row.kind == kind for gap in row.differences().values()]
        if gaps_mib:
            print(f"{kind:9} {len(gaps_mib)} devices: {min(gaps_mib):+.2f} to {max(gaps_mib):+.2f} MiB")


def main() -> None:
    count, seed = int([*sys.argv, "40"][1]), [*sys.argv, "40", "1"][2]
    show(list(run(count, seed)))


if __name__ == "__main__":
    main()
