"""Issue 3, Show 6: CPU time of the memory part of a check, in-process, for 80 layers and 4 devices; the aim is 15 ms.

pytest -m bench -s tests/timing/test_check_speed.py
"""

from pathlib import Path

import pytest

from splitter.memory.model import MemoryModel
from splitter.memory.settings import Settings, SplitMode
from splitter.model.load import load_model
from splitter.plan.placement import placement_of
from tests.engine.skeletons import write_skeleton
from tests.timing.clock import cpu_ms

pytestmark = pytest.mark.bench


@pytest.mark.parametrize("split_mode", ["layer", "tensor"])
def test_a_whole_footprint(split_mode: SplitMode, tmp_path: Path) -> None:
    path = str(write_skeleton("llama-3.3-70b-q4_k_m", tmp_path))
    facts = load_model(path)
    order = ("CUDA0", "CUDA1", "CUDA2", "CUDA3")
    settings = Settings(32768, 999, order, (1.0, 2.0, 1.0, 1.0), split_mode)
    placement = placement_of(facts.layers, settings, (1, 1, 1, 1))
    memory = MemoryModel(facts, settings)
    whole = cpu_ms(lambda: MemoryModel(facts, settings).footprint(placement))
    again = cpu_ms(lambda: memory.footprint(placement))
    header = cpu_ms(lambda: load_model(path))
    print(f"\n-sm {split_mode}: whole {whole:.2f} ms, again {again:.2f} ms ({whole / again:.0f} to 1)")
    print(f"the header is read in {header:.2f} ms: footprint / header = {whole / header:.2f}")
    assert memory.footprint(placement) == MemoryModel(facts, settings).footprint(placement)
