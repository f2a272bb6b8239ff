"""Show 6: CPU time of the memory part of a check, in-process, for 80 layers and 4 devices."""

from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import process_time

import pytest

from splitter.memory.model import MemoryModel
from splitter.memory.settings import Settings
from splitter.model.load import load_model
from splitter.plan.placement import placement_of
from tests.engine.skeletons import write_skeleton

ROUNDS = 9


def milliseconds(work: Callable[[], object]) -> float:
    times = []
    for _ in range(ROUNDS):
        start = process_time()
        work()
        times.append((process_time() - start) * 1000)
    return median(times)


@pytest.mark.parametrize("split_mode", ["layer", "tensor"])
def test_show_6_a_whole_footprint_takes_under_15_ms(split_mode: str, tmp_path: Path) -> None:
    facts = load_model(str(write_skeleton("llama-3.3-70b-q4_k_m", tmp_path)))
    order = ("CUDA0", "CUDA1", "CUDA2", "CUDA3")
    settings = Settings(32768, 999, order, (1.0, 2.0, 1.0, 1.0), split_mode)  # type: ignore[arg-type]
    placement = placement_of(facts.layers, settings, (1, 1, 1, 1))
    memory = MemoryModel(facts, settings)
    whole = milliseconds(lambda: MemoryModel(facts, settings).footprint(placement))
    again = milliseconds(lambda: memory.footprint(placement))
    context = milliseconds(lambda: memory.at_context(16384).context_bytes(placement))
    print(
        f"\nShow 6 (-sm {split_mode}): whole {whole:.2f} ms, same model again {again:.2f} ms, context {context:.2f} ms"
    )
    assert whole < 15
