"""-ot, -cmoe and -ncmoe: which tensors leave their layer's device."""

from dataclasses import replace

import pytest

from splitter.errors import UsageError
from splitter.memory.footprint import Placement
from splitter.memory.model import MemoryModel
from splitter.memory.patterns import find_override, read_overrides
from splitter.memory.settings import Settings
from tests.memory.engine_answers import answers

SETTINGS = Settings(context_size=4096, gpu_layers=999, device_order=("CUDA0", "CUDA1"))


def device_of(name: str, settings: Settings) -> int | str | None:
    """Index of the device that an override names, None for the host, "stays" without an override."""
    override = find_override(read_overrides(settings), name)
    return "stays" if override is None else override.device


@pytest.mark.parametrize(
    ("change", "name", "expected"),
    [
        ({}, "blk.0.ffn_up_exps.weight", "stays"),
        ({"cpu_moe": True}, "blk.7.ffn_gate_up_exps.weight", None),
        ({"cpu_moe": True}, "blk.7.ffn_down_chexps.weight", None),
        ({"cpu_moe": True}, "blk.7.ffn_up_shexp.weight", "stays"),
        ({"n_cpu_moe": 2}, "blk.1.ffn_down_exps.bias", None),
        ({"n_cpu_moe": 2}, "blk.2.ffn_down_exps.weight", "stays"),
        ({"n_cpu_moe": 2}, "blk.11.ffn_down_exps.weight", "stays"),
        ({"override_tensors": (r"blk\.[01]\.=CUDA1,attn=CPU",)}, "blk.1.attn_q.weight", 1),
        ({"override_tensors": (r"blk\.[01]\.=CUDA1,attn=CPU",)}, "blk.2.attn_q.weight", None),
        ({"override_tensors": ("exps=CUDA1",), "n_cpu_moe": 1}, "blk.0.ffn_up_exps.weight", None),
        ({"override_tensors": ("exps=CUDA1",), "n_cpu_moe": 1}, "blk.1.ffn_up_exps.weight", 1),
    ],
)
def test_the_first_match_anywhere_in_the_name_decides(
    change: dict[str, object], name: str, expected: int | str | None
) -> None:
    assert device_of(name, replace(SETTINGS, **change)) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("item", "word"), [("exps", "PATTERN=BUFFER"), ("exps=CUDA7", "CUDA7"), ("exps(=CPU", "regular expression")]
)
def test_a_bad_override_is_refused_with_a_way_out(item: str, word: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_overrides(replace(SETTINGS, override_tensors=(item,)))
    assert word in caught.value.message
    assert caught.value.hint


def test_overrides_move_weights_and_lose_none() -> None:
    """What leaves one device arrives on another or on the host; caches stay with their layers."""
    facts = next(case.facts for case in answers() if case.model == "qwen3moe-moe")
    placement = Placement((0, 1, 1), 2)
    plain = MemoryModel(facts, SETTINGS)
    moved = MemoryModel(facts, replace(SETTINGS, override_tensors=("exps=CPU,attn_q=CUDA0",)))
    before, after = plain.model_bytes(placement), moved.model_bytes(placement)
    assert after[0][1] < before[0][1]
    assert after[1] > before[1]
    alignment = 128 * len(facts.tensors)  # what a tensor takes on a GPU beyond its bytes
    assert abs(sum(after[0]) + after[1] - sum(before[0]) - before[1]) <= alignment
    assert moved.context_bytes(placement) == plain.context_bytes(placement)
