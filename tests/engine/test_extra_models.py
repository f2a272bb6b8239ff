"""The real llama-server with a draft model and with a projector on an emulated rig: its peaks against our figures."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from splitter.engine.command import EngineCommand, EngineRef, Server
from splitter.engine.commands import build_command
from splitter.memory.projector import projector_use
from splitter.model.load import load_model
from splitter.plan.evaluate import evaluate
from splitter.plan.extra_models import DRAFT, PROJECTOR, ExtraModels
from splitter.plan.overhead import no_overhead
from splitter.plan.plan import Plan
from splitter.plan.request import Request
from splitter.plan.solve import solve
from splitter.rig.device import Device, Host, Rig
from splitter.run.endpoint import any_free_port
from splitter.run.supervisor import launch
from splitter.units import MIB
from tests.engine.oracle import RigRow, engine_dir
from tests.engine.projectors import write_projector
from tests.engine.test_launch import post

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("no_process_left")]

TINY = Path(__file__).parents[2] / "examples" / "tiny.gguf"
ROWS = (("Slow", 4096, 40, 112), ("Quick", 8192, 60, 448), ("Middle", 6144, 50, 192))
RIG = Rig(
    "small trio",
    Host(ram_bandwidth_bytes_per_s=40e9),
    tuple(Device(f"CUDA{i}", name, t * MIB, free * MIB, gb * 1e9) for i, (name, t, free, gb) in enumerate(ROWS)),
)


@pytest.fixture(scope="module")
def main_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A main model of some 20 MiB, with the tokens of the tiny one that drafts for it."""
    path = tmp_path_factory.mktemp("model") / "main.gguf"
    script = TINY.with_name("make_model.py")
    subprocess.run([sys.executable, str(script), "-o", str(path), "--layers", "24", "--embd", "256"], check=True)
    return path


def peaks(plan: Plan, report: Path, rig: Sequence[RigRow] = ROWS) -> dict[str, int]:
    """The most that each emulated device held while the server answered."""
    engine = EngineRef("llama-server", str(engine_dir().binary("llama-server")), "11434")
    made = build_command(plan, engine, Server(port=any_free_port()))
    env = {**made.env, **engine_dir().env(rig, RIG_EMULATOR_REPORT=str(report))}
    command = EngineCommand(made.engine, made.argv, env, made.server, made.model_path)
    with launch(command) as instance:
        instance.wait_ready()
        answer = post(instance, "/completion", {"prompt": "The card " * 40, "n_predict": 24, "temperature": 0})
        assert answer["timings"]["predicted_n"] == 24
        if plan.settings.draft_model:
            assert answer["timings"]["draft_n"] > 0
    rows = [line.split("\t") for line in report.read_text().splitlines()]
    return {row[0]: int(row[3].removeprefix("peak_bytes=")) for row in rows}


def planned(main: Path, **fixed: object) -> Plan:
    request = Request(fixed={"draft_model": str(TINY), "context_size": 2048, **fixed}, margin_bytes=(0,))
    facts, draft = load_model(str(main)), load_model(str(TINY))
    return solve(facts, RIG, Request("speed", request.fixed, False, (0,), draft=draft), overhead=no_overhead)


@pytest.mark.parametrize("flash", ["auto", "off"])
@pytest.mark.parametrize("kind", ["gemma3", "mlp"])
def test_a_projector_takes_what_the_plan_says(tmp_path: Path, kind: str, flash: str) -> None:
    """Weights exact; the buffers of the warm-up image, which for these two is the largest, never underestimated."""
    path = write_projector(tmp_path / "mmproj.gguf", kind, 128)
    rows = (("Slow", 4096, 100, 112), ("Quick", 8192, 4000, 448))
    on = replace(
        RIG, devices=tuple(Device(f"CUDA{i}", r[0], r[1] * MIB, r[2] * MIB, r[3] * 1e9) for i, r in enumerate(rows))
    )
    fixed = {"mmproj": str(path), "context_size": 1024, "flash_attention": flash, "device_order": ("CUDA0",)}
    facts = load_model(str(TINY))
    request = Request(fixed=fixed, margin_bytes=(0,), projector=load_model(str(path)))
    plan = solve(facts, on, request, overhead=no_overhead, details=False)
    assert plan.settings.mmproj_device == "CUDA1"
    held = peaks(plan, tmp_path / "peaks", rows)["CUDA1"]
    use = projector_use(load_model(str(path)), flash=flash != "off")
    buffers = held - use.model_bytes
    assert buffers <= use.compute_bytes <= 1.25 * buffers
    assert dict(plan.devices[1].memory.overhead) == {PROJECTOR: use.used_bytes()}


def check(plan: Plan, held: dict[str, int]) -> None:
    """Never below the engine, nowhere more than 32 MiB above it, and nothing on devices that are not in the plan."""
    ours = {device.device.id: device.used_bytes() for device in plan.devices}
    assert {name for name, size in held.items() if size} <= set(ours)
    for name, size in ours.items():
        assert held[name] <= size <= held[name] + 32 * MIB, (name, held[name], size)


@pytest.mark.parametrize("home", [None, ("CUDA0",), ("CUDA2",), ()])
def test_a_draft_model_takes_what_the_plan_says(main_model: Path, tmp_path: Path, home: tuple[str, ...] | None) -> None:
    plan = planned(main_model, **({} if home is None else {"draft_device_order": home}))
    assert plan.fits()
    check(plan, peaks(plan, tmp_path / "peaks"))


def test_without_devd_it_follows_the_main_model(main_model: Path, tmp_path: Path) -> None:
    placed = planned(
        main_model, device_order=("CUDA1", "CUDA2"), tensor_split=(3.0, 1.0), gpu_layers=25, ubatch_size=256
    )
    settings = replace(placed.settings, draft_device_order=None)
    extra = ExtraModels(draft=load_model(str(TINY)))
    plan = evaluate(placed.facts, RIG, settings, margin_bytes=(0,), overhead=no_overhead, extra=extra)
    assert plan.fits()
    assert sum(DRAFT in dict(device.memory.overhead) for device in plan.devices) == 2
    check(plan, peaks(plan, tmp_path / "peaks"))
