"""Out of memory is answered by a stricter plan; the next launch knows; a spill is told from mere slowness."""

from pathlib import Path

import pytest

from splitter.engine.lessons import Lesson
from splitter.engine.log.shortage import Shortage, shortage
from splitter.model.load import load_model
from splitter.plan.request import Request
from splitter.plan.solve import solve
from splitter.rig.files import load_rig
from splitter.run.replan import learn
from splitter.run.spill import Generation, spilled
from splitter.units import MIB
from tests.engine.oracle import RIGS
from tests.run.oom_replan import CONTEXTS, launched, rig_file, small_model

TINY = str(Path(__file__).parents[2] / "examples" / "tiny.gguf")


@pytest.mark.engine
@pytest.mark.parametrize("rig", CONTEXTS)
def test_ready_without_a_person_and_at_once_the_next_time(rig: str, tmp_path: Path) -> None:
    model, file = small_model(tmp_path), rig_file(tmp_path, rig)
    first = launched(model, file, "-c", str(CONTEXTS[rig]))
    assert (first.ready, first.starts) == (True, 2), first.said
    second = launched(model, file, "-c", str(CONTEXTS[rig]))
    assert (second.ready, second.starts, second.said) == (True, 1, ())


@pytest.mark.engine
@pytest.mark.parametrize("rig", ["phoenix", "budget-pair"])
def test_ready_where_the_driver_over_reports(rig: str, tmp_path: Path) -> None:
    """Nobody tells what is free: only the failures do, one card at a time, and never is the same plan tried again."""
    model, file = small_model(tmp_path), rig_file(tmp_path, rig)
    first = launched(model, file, "-c", str(CONTEXTS[rig]), over_reports=True)
    assert first.ready, first.said
    assert 2 <= first.starts <= 1 + len(RIGS[rig])
    assert not any("stays as it was" in line for line in first.said)
    second = launched(model, file, "-c", str(CONTEXTS[rig]), over_reports=True)
    assert (second.ready, second.starts, second.said) == (True, 1, ())


def test_the_bound_and_the_doubling_step() -> None:
    plan = solve(load_model(TINY), load_rig("phoenix"), Request(fixed={"context_size": 2048}))
    device = plan.devices[0]
    name, total = device.device.id, device.device.total_bytes
    told = learn(plan, Shortage(name, 1, "model", 0))
    assert told.missing[name] >= device.device.free_bytes - device.memory.overhead_bytes() - device.memory.model_bytes
    free = {name: device.device.free_bytes - device.memory.overhead_bytes() - total // 4}
    assert learn(plan, Shortage(name, None, "running", None, free)).missing[name] >= total // 4


def test_a_lesson_counts_only_for_what_the_card_still_reports() -> None:
    lesson = Lesson(400, 1000)
    assert [lesson.missing_now(free) for free in (1200, 1000, 900, 500)] == [400, 400, 300, 0]


def test_the_log_tells_stage_device_and_size() -> None:
    lines = (
        "allocating 80.00 MiB on device CUDA0: cudaMalloc failed: out of memory",
        "failed to initialize the context: failed to allocate buffer for kv cache",
    )
    assert shortage(lines, loading=True) == Shortage("CUDA0", 80 * MIB, "context")
    assert shortage(("all is well",), loading=True) is None


def test_a_draft_models_look_at_the_card_does_not_hide_the_first() -> None:
    """It comes when the main model holds its part already."""
    lines = (
        "llama_prepare_model_devices: using device CUDA0 (NVIDIA H200) (0000:00:06.0) - 23000 MiB free",
        "llama_prepare_model_devices: using device CUDA0 (NVIDIA H200) (0000:00:06.0) - 3000 MiB free",
        "allocating 80.00 MiB on device CUDA0: cudaMalloc failed: out of memory",
    )
    found = shortage(lines, loading=True)
    assert found is not None
    assert found.free_bytes == {"CUDA0": 23000 * MIB}


def test_a_spill_is_slow_and_full() -> None:
    slow, full = [Generation(64, 3.0)] * 3, [(7990, 8192), (8190, 8192)]
    assert spilled(slow, 30, full)
    assert not spilled(slow, 30, full, slots=4)
    assert not spilled(slow, 30, [(4000, 8192)])
    assert not spilled(slow, None, full)
    assert not spilled(slow[:2], 30, full)
    assert not spilled([Generation(64, 12.0)] * 3, 30, full)
