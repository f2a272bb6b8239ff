"""llama.cpp's placement rule against llama.cpp's own log, and the inverse against the rule."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitter.errors import UsageError
from splitter.memory.settings import Settings
from splitter.plan.placement import counts_of, float32, place, placement_of, taken_in

TRUTH = json.loads((Path(__file__).parents[1] / "engine" / "truth.json").read_text())


def settings(n: int, **changes: Any) -> Settings:
    base: dict[str, Any] = {
        "context_size": 4096, "gpu_layers": 99, "device_order": tuple(f"CUDA{i}" for i in range(n)),
    }  # fmt: skip
    return Settings(**{**base, **changes})


def option(args: list[str], flag: str) -> str | None:
    return args[args.index(flag) + 1] if flag in args else None


def test_all_cases_of_the_oracle() -> None:
    """layer_device is what `llama-fit-params -lv 5` logged for 176 random splits over 11 models and 8 rigs."""
    wrong = []
    for case in TRUTH["cases"]:
        rig, args, truth = TRUTH["rigs"][case["rig"]], case["args"], case["layer_device"]
        split = tuple(float(x) for x in (option(args, "-ts") or "1").split(","))
        n_layers = len(truth) - 1
        placed = place(n_layers, int(option(args, "-ngl") or -1), split, len(rig)).layers
        if tuple("CPU" if d is None else f"CUDA{d}" for d in placed) != tuple(truth):
            wrong.append((case["model"], args))
    assert len(TRUTH["cases"]) == 176
    assert wrong == []


def test_free_memory_is_the_split_when_none_is_given() -> None:
    placed = placement_of(10, settings(2), (300, 100))
    assert counts_of(placed) == (9, 2)  # k/11 < 0.75 for k = 0..8
    assert placed == placement_of(10, settings(2, tensor_split=(0.0, 0.0)), (300, 100))


def test_short_split_starves_the_rest_and_long_split_is_cut() -> None:
    assert counts_of(placement_of(10, settings(3, tensor_split=(1.0, 1.0)), (1, 1, 1))) == (6, 5, 0)
    assert counts_of(placement_of(10, settings(2, tensor_split=(1.0, 1.0, 8.0)), (1, 1))) == (6, 5)


def test_partial_offload_keeps_the_first_layers_on_the_host() -> None:
    placed = placement_of(4, settings(2, gpu_layers=3, tensor_split=(1.0, 2.0)), (1, 1))
    assert placed.layers == (None, None, 0, 1, 1)
    assert placed.output_device() == 1


def test_no_offload_at_all() -> None:
    assert placement_of(4, settings(2, gpu_layers=0), (1, 1)).layers == (None,) * 5
    assert placement_of(4, settings(0), ()).layers == (None,) * 5


def test_negative_gpu_layers_means_all() -> None:
    assert place(4, -1, (1.0,), 1).layers == (0,) * 5


def test_split_mode_none_uses_the_main_gpu_alone() -> None:
    placed = placement_of(4, settings(3, split_mode="none", main_gpu=2, gpu_layers=3, tensor_split=(1.0, 0.0, 0.0)), ())
    assert placed.layers == (None, None, 2, 2, 2)
    assert placement_of(4, settings(2, split_mode="none", main_gpu=-1), ()).layers == (None,) * 5


def test_main_gpu_must_exist() -> None:
    with pytest.raises(UsageError, match="main GPU 2 does not exist"):
        placement_of(4, settings(2, split_mode="none", main_gpu=2), ())


def test_split_mode_tensor_shares_every_layer() -> None:
    placed = placement_of(4, settings(3, split_mode="tensor", tensor_split=(0.0, 1.0, 3.0)), ())
    assert placed.shares == (0.0, 0.25, 0.75)
    assert placed.layers == (1,) * 5
    assert placement_of(4, settings(2, split_mode="tensor"), (300, 100)).shares == (0.5, 0.5)


def test_a_split_of_zeros_is_refused() -> None:
    with pytest.raises(UsageError, match="no device a share"):
        place(4, 5, (0.0, 0.0), 2)


@given(st.integers(0, 300), st.lists(st.integers(0, 200), min_size=1, max_size=16).filter(any))
def test_inverse_gives_back_the_counts(host_layers: int, counts: list[int]) -> None:
    n_layers = host_layers + sum(counts) - 1
    placed = place(n_layers, sum(counts), tuple(map(float, counts)), len(counts))
    assert counts_of(placed) == tuple(counts)
    assert placed.layers[:host_layers] == (None,) * host_layers
    assert placed.output_device() == max(d for d, count in enumerate(counts) if count)


@given(
    st.integers(1, 200),
    st.integers(-1, 250),
    st.lists(st.floats(0, 1000, width=32), min_size=1, max_size=16).filter(any),
)
def test_every_layer_lands_somewhere_in_device_order(n_layers: int, gpu_layers: int, split: list[float]) -> None:
    layers = place(n_layers, gpu_layers, split, len(split)).layers
    on_device = [owner for owner in layers if owner is not None]
    assert len(layers) == n_layers + 1
    assert len(on_device) == min(n_layers + 1, gpu_layers if gpu_layers >= 0 else n_layers + 1)
    assert on_device == sorted(on_device)
    assert all(split[d] > 0 for d in on_device)


def test_float32_rounds() -> None:
    assert float32(0.1) != 0.1
    assert float32(0.5) == 0.5


def test_devices_taken_in_hold_what_is_in_ram_then_ever_less() -> None:
    asked = settings(2, gpu_layers=9, tensor_split=(5.0, 4.0))
    found = list(taken_in(asked, place(11, 9, (5, 4), 2), ("RPC0", "RPC1")))
    assert [each.tensor_split for each in found] == [(2.0, 1.0, 5.0, 4.0), (1.0, 1.0, 5.0, 4.0)]
    assert [each.gpu_layers for each in found] == [12, 11]
    assert {each.device_order for each in found} == {("RPC0", "RPC1", "CUDA0", "CUDA1")}


def test_devices_taken_in_get_a_layer_each_of_the_fullest_where_none_is_in_ram() -> None:
    asked = settings(2, gpu_layers=12, tensor_split=(8.0, 4.0))
    (found,) = taken_in(asked, place(11, 12, (8, 4), 2), ("RPC0", "RPC1"))
    assert (found.tensor_split, found.gpu_layers) == ((1.0, 1.0, 6.0, 4.0), 12)
    assert list(taken_in(asked, place(11, 0, (8, 4), 2), ("RPC0",) * 13)) == []
