"""`-sm tensor`: the cut itself, and Show 3 on real shapes with a real engine."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitter.memory.model import MemoryModel
from splitter.memory.tensor_rules import cut
from splitter.model.attention import placed_layers
from splitter.model.load import load_model
from splitter.plan.placement import placement_of
from splitter.units import MIB
from tests.engine.exact import DEVICES, loaded_bytes
from tests.engine.oracle import skeleton
from tests.memory.engine_answers import answers, settings_of

RATIOS = ("1,1,1", "1,2,1", "4,8,6", "0.3,0.9,5")


def test_cut_rounds_down_to_grains_and_gives_the_rest_to_the_last() -> None:
    assert cut(1024, 128, (1.0, 2.0, 1.0), 0) == (256, 512, 256)
    assert cut(1000, 128, (1.0, 2.0, 1.0), 0) == (128, 512, 360)
    assert cut(1000, 128, (1.0, 2.0, 1.0), 1) == (360, 384, 256)
    assert cut(1000, 1, (0.0, 0.0, 0.0), 0) == (333, 333, 334)


@given(
    elements=st.integers(0, 300000),
    grain=st.sampled_from([1, 32, 128, 256, 640]),
    split=st.lists(st.floats(0, 100, width=32), min_size=1, max_size=5),
    rotation=st.integers(0, 7),
)
def test_no_element_is_lost(elements: int, grain: int, split: list[float], rotation: int) -> None:
    parts = cut(elements, grain, split, rotation)
    assert sum(parts) == elements
    assert sum(part % grain != 0 for part in parts) <= 1


def test_an_architecture_that_refuses_tensor_split_says_so() -> None:
    case = next(case for case in answers() if case.facts.architecture == "deepseek2")
    settings = replace(case.settings(), split_mode="tensor")
    placement = placement_of(placed_layers(case.facts), settings, (1, 1, 1))
    footprint = MemoryModel(case.facts, settings).footprint(placement)
    assert not footprint.proven
    assert "refuses -sm tensor" in footprint.notes[0]


@pytest.mark.engine
@pytest.mark.parametrize("name", ["tinyllama-1.1b-q4_0", "qwen2.5-0.5b-q8_0"])
def test_show_3_peak_bytes_of_every_device(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loads weights, cache and compute buffers for real; the emulator reports every device's peak."""
    facts = load_model(str(skeleton(name)))
    worst = 0
    print(f"\nShow 3: {name}; peak of llama.cpp and ours minus it, in bytes")
    for ratio in RATIOS:
        report = tmp_path / f"{ratio}.txt"
        monkeypatch.setenv("RIG_EMULATOR_REPORT", str(report))
        args = f"-sm tensor -ngl 999 -c 4096 -ts {ratio}".split()
        assert loaded_bytes(skeleton(name), args) is not None
        peaks = [int(peak) for peak in re.findall(r"peak_bytes=(\d+)", report.read_text(encoding="utf-8"))]
        settings = settings_of(args, DEVICES)
        uses = MemoryModel(facts, settings).footprint(placement_of(facts.layers, settings, (1,) * DEVICES)).devices
        errors = [use.breakdown_bytes() - peak for use, peak in zip(uses, peaks, strict=True)]
        worst = max(worst, *map(abs, errors))
        print(f"  -ts {ratio:10}", *(f"{peak:12} {error:+9}" for peak, error in zip(peaks, errors, strict=True)))
    assert worst <= MIB
