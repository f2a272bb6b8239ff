"""The speed model by hand-computed cases, and warnings of given settings."""

from dataclasses import replace

import pytest

from splitter.memory.settings import Settings
from splitter.plan.evaluate import evaluate
from splitter.plan.overhead import no_overhead
from splitter.plan.plan import Plan
from splitter.plan.speed import BOUND, Constants
from splitter.plan.speed_constants import TYPICAL
from splitter.rig.device import Rig
from splitter.units import MIB
from tests.plan.builders import card, model, rig

FACTS = model(8)
LAYER = (4 * 1024 * 1024 + 3 * 4 * 1024 * 1024) // 32 * 18 + 2 * 2 * 1024  # Q4_0 matrices and two f16 norms
OUTPUT = 8192 * 1024 // 32 * 18 + 2 * 1024


def at(on: Rig, gpu_layers: int, split: tuple[float, ...], constants: Constants = BOUND, **more: object) -> Plan:
    order = tuple(device.id for device in on.devices)
    settings = replace(Settings(2048, gpu_layers, order, split, parallel=1), **more)  # type: ignore[arg-type]
    return evaluate(FACTS, on, settings, margin_bytes=(0,), constants=constants, overhead=no_overhead)


def test_the_bound_is_the_sum_over_devices() -> None:
    found = at(rig(card(0, 900, 100), card(1, 900, 400)), 9, (4, 5))
    seconds = 4 * LAYER / 100e9 + (4 * LAYER + OUTPUT) / 400e9
    assert found.speed.generation_tokens_per_s == pytest.approx(1 / seconds)
    assert found.speed.basis == "bound"


def test_host_layers_are_read_at_ram_speed() -> None:
    found = at(rig(card(0, 900, 100), ram_gb_per_s=20), 5, (1,))
    seconds = 4 * LAYER / 20e9 + (4 * LAYER + OUTPUT) / 100e9
    assert found.speed.generation_tokens_per_s == pytest.approx(1 / seconds)


def test_experts_count_by_their_used_share() -> None:
    moe = model(4, experts=8)
    settings = Settings(2048, 5, ("CUDA0",), parallel=1, n_cpu_moe=4)
    on = rig(card(0, 4000, 100), ram_gb_per_s=20)
    found = evaluate(moe, on, settings, constants=BOUND, overhead=no_overhead)
    experts = 3 * 4 * 1024 * 1024 * 8 // 32 * 18 * 2 // 8
    rest = 4 * 1024 * 1024 // 32 * 18 + 2 * 2 * 1024 + 2 * 8 * 1024
    seconds = 4 * experts / 20e9 + (4 * rest + OUTPUT) / 100e9
    assert found.speed.generation_tokens_per_s == pytest.approx(1 / seconds)


def test_tensor_mode_takes_as_long_as_its_slowest_share() -> None:
    found = at(rig(card(0, 900, 100), card(1, 900, 300)), 9, (1, 1), split_mode="tensor")
    seconds = (8 * LAYER + OUTPUT) / 2 / 100e9  # the reductions are a cost of TYPICAL
    assert found.speed.generation_tokens_per_s == pytest.approx(1 / seconds, rel=1e-3)


def test_unknown_bandwidth_gives_no_speed() -> None:
    assert at(rig(card(0, 900, None)), 9, ()).speed.generation_tokens_per_s is None


def test_typical_is_slower_than_the_bound() -> None:
    on, settings = rig(card(0, 9000, 400)), Settings(2048, 33, ("CUDA0",), parallel=1)
    speeds = [
        evaluate(model(32, 4096), on, settings, constants=c, overhead=no_overhead).speed for c in (BOUND, TYPICAL)
    ]
    fast, real = (speed.generation_tokens_per_s for speed in speeds)
    assert fast is not None
    assert real is not None
    assert 0.3 < real / fast < 0.75
    assert speeds[1].bound is not None
    assert speeds[1].bound.generation_tokens_per_s == pytest.approx(fast)
    assert speeds[1].generation_range is not None
    assert speeds[1].generation_range[0] < real < speeds[1].generation_range[1]


def test_prompts_wait_for_weights_that_cross_the_link() -> None:
    on = rig(card(0, 900, 100, fp16_flops=1e13))
    whole, partial = (at(on, layers, ()).speed.prompt_tokens_per_s for layers in (9, 4))
    small = at(on, 4, (), ubatch_size=128).speed.prompt_tokens_per_s
    assert whole is not None
    assert partial is not None
    assert small is not None
    assert whole > partial > small


def test_prompts_of_tensor_mode_wait_for_experts_in_ram() -> None:
    moe, cards = model(8, experts=8), [card(i, 4000, 300, fp16_flops=1e13) for i in range(2)]
    plain = Settings(2048, 9, ("CUDA0", "CUDA1"), (1, 1), parallel=1, split_mode="tensor")
    seconds = []
    for moved in (0, 4, 8):
        settings = replace(plain, n_cpu_moe=moved)
        speed = evaluate(moe, rig(*cards), settings, constants=BOUND, overhead=no_overhead).speed
        assert speed.prompt_tokens_per_s
        seconds.append(1 / speed.prompt_tokens_per_s)
    experts = 3 * 4 * 1024 * 1024 * 8 // 32 * 18
    crossing = 4 * experts / 8e9 / plain.ubatch_size  # of 8 experts, 2 of them used, a large micro-batch uses all
    assert seconds[1] - seconds[0] > 0.9 * crossing
    assert seconds[2] - seconds[1] > 0.9 * crossing


def test_warnings_name_device_and_bytes() -> None:
    found = at(rig(card(0, 40, 100), card(1, 900, 100)), 9, (9, 0))
    assert not found.fits()
    codes = {w.code: w for w in found.warnings}
    assert "CUDA0 (card 0) is" in codes["out_of_memory"].message
    assert "CUDA1" in codes["idle_device"].message
    tight = evaluate(
        FACTS, rig(card(0, 900)), Settings(2048, 9, ("CUDA0",)), margin_bytes=(800 * MIB,), overhead=no_overhead
    )
    assert [w.code for w in tight.warnings] == ["margin"]
