"""The speed model by hand-computed cases, and warnings of given settings."""

from dataclasses import replace

import pytest

from splitter.memory.settings import Settings
from splitter.model.facts import ModelFacts
from splitter.model.load import load_model
from splitter.plan.evaluate import evaluate
from splitter.plan.overhead import no_overhead
from splitter.plan.plan import Plan
from splitter.plan.speed import ROOFLINE, TYPICAL, Constants
from splitter.rig.device import Rig
from splitter.units import MIB
from tests.engine.skeletons import llama
from tests.plan.builders import card, model, rig

FACTS = model(8)
LAYER = (4 * 1024 * 1024 + 3 * 4 * 1024 * 1024) // 32 * 18 + 2 * 2 * 1024  # Q4_0 matrices and two f16 norms
OUTPUT = 8192 * 1024 // 32 * 18 + 2 * 1024


def at(on: Rig, gpu_layers: int, split: tuple[float, ...], constants: Constants = ROOFLINE, **more: object) -> Plan:
    order = tuple(device.id for device in on.devices)
    settings = replace(Settings(2048, gpu_layers, order, split, parallel=1), **more)  # type: ignore[arg-type]
    return evaluate(FACTS, on, settings, margin_bytes=(0,), constants=constants, overhead=no_overhead)


def test_roofline_is_the_sum_over_devices() -> None:
    found = at(rig(card(0, 900, 100), card(1, 900, 400)), 9, (4, 5))
    seconds = 4 * LAYER / 100e9 + (4 * LAYER + OUTPUT) / 400e9
    assert found.speed.generation_tokens_per_s == pytest.approx(1 / seconds)
    assert found.speed.basis == "roofline"


def test_host_layers_are_read_at_ram_speed() -> None:
    found = at(rig(card(0, 900, 100), ram_gb_per_s=20), 5, (1,))
    seconds = 4 * LAYER / 20e9 + (4 * LAYER + OUTPUT) / 100e9
    assert found.speed.generation_tokens_per_s == pytest.approx(1 / seconds)


def test_experts_count_by_their_used_share() -> None:
    moe = model(4, experts=8)
    settings = Settings(2048, 5, ("CUDA0",), parallel=1, n_cpu_moe=4)
    found = evaluate(moe, rig(card(0, 4000, 100), ram_gb_per_s=20), settings, overhead=no_overhead)
    experts = 3 * 4 * 1024 * 1024 * 8 // 32 * 18 * 2 // 8
    rest = 4 * 1024 * 1024 // 32 * 18 + 2 * 2 * 1024 + 2 * 8 * 1024
    seconds = 4 * experts / 20e9 + (4 * rest + OUTPUT) / 100e9
    assert found.speed.generation_tokens_per_s == pytest.approx(1 / seconds)


def test_tensor_mode_takes_as_long_as_its_slowest_share() -> None:
    found = at(rig(card(0, 900, 100), card(1, 900, 300)), 9, (1, 1), split_mode="tensor")
    reductions = 2 * 9 * 4 * 1024 / ROOFLINE.link_bytes_per_s
    seconds = (8 * LAYER + OUTPUT) / 2 / 100e9 + reductions
    assert found.speed.generation_tokens_per_s == pytest.approx(1 / seconds, rel=1e-3)


def test_unknown_bandwidth_gives_no_speed() -> None:
    assert at(rig(card(0, 900, None)), 9, ()).speed.generation_tokens_per_s is None


def test_typical_is_slower_than_the_roofline() -> None:
    on = rig(card(0, 900, 100), card(1, 900, 400))
    fast, real = (at(on, 9, (4, 5), c).speed.generation_tokens_per_s for c in (ROOFLINE, TYPICAL))
    assert fast is not None
    assert real is not None
    assert 0.3 < real / fast < 0.75


PUBLISHED = (
    (448, "Q4_K_M", 72.79), (760, "Q4_K_M", 109.57), (912, "Q4_K_M", 110.60), (504, "Q4_K_M", 83.50),
    (717, "Q4_K_M", 108.15), (936, "Q4_K_M", 115.42), (1008, "Q4_K_M", 130.58), (717, "F16", 40.58),
    (936, "F16", 47.40), (1008, "F16", 54.84),
)  # fmt: skip


@pytest.fixture(scope="module")
def eight_b(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ModelFacts]:
    shape, folder = (32, 4096, 14336, 32, 8, 128256), tmp_path_factory.mktemp("8b")
    paths = {quant: llama(quant, shape, quant).write(folder) for quant in ("Q4_K_M", "F16")}
    return {quant: load_model(str(path)) for quant, path in paths.items()}


@pytest.mark.parametrize(("gb_per_s", "quant", "tokens_per_s"), PUBLISHED)
def test_typical_is_what_cards_reached(
    gb_per_s: int, quant: str, tokens_per_s: float, eight_b: dict[str, ModelFacts]
) -> None:
    """Generation of 512 tokens on one card: the source stands at TYPICAL."""
    settings = Settings(1024, 33, ("CUDA0",), parallel=1)
    on = rig(card(0, 24_000, gb_per_s))
    found = evaluate(eight_b[quant], on, settings, constants=TYPICAL, overhead=no_overhead)
    assert found.speed.generation_tokens_per_s == pytest.approx(tokens_per_s, rel=0.12)


def test_prompts_wait_for_weights_that_cross_the_link() -> None:
    on = rig(card(0, 900, 100, fp16_flops=1e13))
    whole, partial = (at(on, layers, ()).speed.prompt_tokens_per_s for layers in (9, 4))
    small = at(on, 4, (), ubatch_size=128).speed.prompt_tokens_per_s
    assert whole is not None
    assert partial is not None
    assert small is not None
    assert whole > partial > small


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
