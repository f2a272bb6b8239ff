"""What solve promises: laws by property tests, and each rule on a case made for it."""

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from splitter.errors import DoesNotFitError, UsageError
from splitter.plan.fastest import FRACTION_GAIN
from splitter.plan.finder import PIPELINE_OFF_GAIN
from splitter.plan.microbatch import AS_GOOD
from splitter.plan.placement import PIPELINE_OFF, placement_of
from splitter.plan.plan import Plan
from splitter.rig.device import Rig
from splitter.units import MIB
from tests.plan.builders import card, model, plan, rig

SMALL, LARGE, MOE = model(6), model(24), model(8, experts=8)
cards = st.lists(
    st.tuples(st.integers(40, 700), st.sampled_from([50, 112, 192, 300, 448, 936])), min_size=1, max_size=4
)
models = st.sampled_from([SMALL, LARGE, MOE])


def build(rows: list[tuple[int, int]]) -> Rig:
    return rig(*(card(i, free, speed) for i, (free, speed) in enumerate(rows)))


def speed(of: Plan) -> float:
    assert of.speed.generation_tokens_per_s is not None
    return of.speed.generation_tokens_per_s


@settings(max_examples=60, deadline=None)
@given(models, cards, st.sampled_from([512, 2048, 8192]))
def test_layers_add_up_and_no_device_is_over(facts: Any, rows: list[tuple[int, int]], context: int) -> None:
    found = plan(facts, build(rows), context_size=context, margin_mib=20)
    owners = found.placement.layers
    assert len(owners) == facts.layers + 1
    assert sum(len(d.layers) for d in found.devices) + owners[:-1].count(None) == facts.layers
    assert found.fits()
    assert all(d.headroom_bytes() >= 0 for d in found.devices)
    free = [d.device.free_bytes for d in found.devices]
    assert placement_of(facts.layers, found.settings, free) == found.placement  # the flags say what the plan says


@settings(max_examples=60, deadline=None)
@given(models, cards, st.data())
def test_more_free_memory_is_never_slower(facts: Any, rows: list[tuple[int, int]], data: st.DataObject) -> None:
    """Strictly with -ub and -ot fixed; else up to what a smaller -ub, no pipeline and -ot must bring, each once."""
    which = data.draw(st.integers(0, len(rows) - 1))
    more = data.draw(st.integers(1, 300))
    richer = [(free + more * (i == which), bandwidth) for i, (free, bandwidth) in enumerate(rows)]
    strict: tuple[dict[str, Any], float] = ({"ubatch_size": 512, "override_tensors": ()}, 1e-5)
    for fixed, slack in (strict, ({}, AS_GOOD + PIPELINE_OFF_GAIN + FRACTION_GAIN)):
        before = plan(facts, build(rows), context_size=2048, **fixed)
        after = plan(facts, build(richer), context_size=2048, **fixed)
        assert speed(after) >= speed(before) * (1 - slack)


@settings(max_examples=40, deadline=None)
@given(models, cards, st.randoms(use_true_random=False))
def test_permuted_devices_give_the_same_plan(facts: Any, rows: list[tuple[int, int]], random: Any) -> None:
    devices = list(build(rows).devices)
    shuffled = devices.copy()
    random.shuffle(shuffled)
    one, other = plan(facts, rig(*devices)), plan(facts, rig(*shuffled))
    assert one.settings == other.settings
    assert one.footprint == other.footprint


def test_same_input_same_plan() -> None:
    on = build([(300, 300), (200, 112), (500, 192)])
    assert plan(LARGE, on, details=True) == plan(LARGE, on, details=True)


FIXED: list[dict[str, Any]] = [
    {"gpu_layers": 9},
    {"gpu_layers": 0},
    {"tensor_split": (1.0, 2.0, 1.0)},
    {"tensor_split": (3.0, 1.0, 0.0), "gpu_layers": 8},
    {"device_order": ("CUDA2", "CUDA0")},
    {"device_order": ("CUDA2", "CUDA0"), "gpu_layers": 9},
    {"split_mode": "none"},
    {"split_mode": "none", "main_gpu": 1},
    {"split_mode": "none", "device_order": ("CUDA1", "CUDA0"), "main_gpu": 1},
    {"main_gpu": 2},
    {"cache_type_k": "q8_0", "cache_type_v": "q8_0"},
    {"ubatch_size": 64, "batch_size": 256},
    {"parallel": 2, "kv_unified": False},
    {"flash_attention": "off"},
    {"kv_offload": False},
    {"n_cpu_moe": 3},
    {"cpu_moe": True},
    {"override_tensors": (r"ffn_down=CPU",)},
    {"context_size": 1000},
    {"gpu_layers": -1, "context_size": 512, "device_order": ("CUDA0", "CUDA1", "CUDA2")},
]


@pytest.mark.parametrize("fixed", FIXED, ids=str)
@pytest.mark.parametrize("facts", [LARGE, MOE], ids=["dense", "moe"])
def test_what_the_user_fixes_is_kept(facts: Any, fixed: dict[str, Any]) -> None:
    on = build([(900, 300), (600, 112), (800, 192)])
    found = plan(facts, on, details=True, **fixed)
    assert {name: getattr(found.settings, name) for name in fixed} == fixed
    assert found.fits()
    free = [d.device.free_bytes for d in found.devices]
    assert placement_of(facts.layers, found.settings, free) == found.placement
    for other in found.alternatives:
        assert {name: getattr(other.settings, name) for name in fixed} == fixed


@settings(max_examples=60, deadline=None)
@given(models, cards, st.lists(st.sampled_from(FIXED), min_size=1, max_size=3))
def test_any_obeyed_flags_are_untouched(facts: Any, rows: list[tuple[int, int]], wishes: list[dict[str, Any]]) -> None:
    """Whatever is fixed together on whatever rig: kept to the letter, or refused; more -ngl than layers means all."""
    fixed = {name: value for wish in wishes for name, value in wish.items()}
    try:
        found = plan(facts, build(rows), **fixed)
    except (DoesNotFitError, UsageError):
        return
    if "gpu_layers" in fixed:
        fixed["gpu_layers"] = min(fixed["gpu_layers"], facts.layers + 1)
    assert {name: getattr(found.settings, name) for name in fixed} == fixed
    assert found.fits()


def test_the_fast_card_alone_where_everything_fits_it() -> None:
    found = plan(SMALL, build([(2000, 112), (2000, 448), (2000, 192)]), details=True)
    assert found.settings.device_order == ("CUDA1",)
    assert any("CUDA0 (card 0) is left out" in reason for reason in found.reasons)


def test_a_card_without_room_is_left_out() -> None:
    found = plan(LARGE, build([(30, 900), (400, 448)]), margin_mib=40, details=True)
    assert "CUDA0" not in found.settings.device_order
    assert any("does not cover its margin and overhead" in reason for reason in found.reasons)


def test_slow_cards_take_only_what_fast_ones_cannot() -> None:
    shared = 0
    for free in range(120, 500, 20):
        found = plan(LARGE, build([(free, 112), (free, 448)]), context_size=512)
        layers = {d.device.id: len(d.layers) for d in found.devices}
        shared += len(layers) == 2
        assert layers.get("CUDA1", 0) + 2 >= layers.get("CUDA0", 0)  # the output layer counts for more than one
    assert shared > 2


def test_experts_leave_before_layers_do() -> None:
    found = [plan(MOE, build([(free, 448)]), context_size=512) for free in range(200, 1200, 50)]
    whole = [f for f in found if f.placement.layers[0] is not None]
    assert any(0 < f.settings.n_cpu_moe < MOE.layers for f in whole)
    moved = [f.settings.n_cpu_moe for f in whole]
    assert moved == sorted(moved, reverse=True)


def test_pipeline_is_turned_off_only_for_speed() -> None:
    """Over all sizes of two cards: with the pipeline where it fits, without where its copies cost layers."""
    modes = set()
    for free in range(150, 700, 10):
        found = plan(LARGE, build([(free, 300), (free, 310)]), context_size=4096, ubatch_size=512)
        modes.add((found.footprint.pipeline, PIPELINE_OFF in found.settings.override_tensors))
    assert modes == {(True, False), (False, True), (False, False)}


def test_unknown_bandwidth_orders_by_capacity_and_says_so() -> None:
    on = rig(card(0, 300, None), card(1, 500, None))
    found = plan(LARGE, on, context_size=512, details=True)
    assert found.speed.generation_tokens_per_s is None
    assert "unknown_bandwidth" in {w.code for w in found.warnings}
    assert any("filled first" in reason for reason in found.reasons)
    layers = {d.device.id: len(d.layers) for d in found.devices}
    assert layers.get("CUDA1", 0) > layers.get("CUDA0", 0)


def test_no_device_at_all() -> None:
    found = plan(SMALL, rig(), details=True)
    assert (found.settings.gpu_layers, found.settings.device_order) == (0, ())
    assert found.fits()


def test_the_embedded_engine_stays_in_ram() -> None:
    found = plan(SMALL, build([(4000, 900)]), engine="embedded", details=True)
    assert (found.settings.gpu_layers, found.settings.device_order) == (0, ())
    with pytest.raises(UsageError, match="CPU only"):
        plan(SMALL, build([(4000, 900)]), engine="embedded", gpu_layers=3)


def test_koboldcpp_has_its_own_defaults_and_limits() -> None:
    found = plan(LARGE, build([(400, 300), (300, 112)]), engine="koboldcpp", cache_type_k="q8_0")
    settings = found.settings
    assert settings.parallel == 1
    assert settings.batch_size == settings.ubatch_size
    assert settings.cache_type_v == "q8_0"
    for wrong in ({"batch_size": 100}, {"cache_type_k": "f16", "cache_type_v": "q8_0"}, {"split_mode": "none"}):
        with pytest.raises(UsageError):
            plan(LARGE, build([(400, 300)]), engine="koboldcpp", **wrong)


def test_host_memory_binds() -> None:
    with pytest.raises(DoesNotFitError, match=r"needs .* of RAM; only .* is free"):
        plan(LARGE, rig(card(0, 100), ram_free_mib=20))
    roomy = plan(LARGE, rig(card(0, 200), card(1, 200), ram_free_mib=150), context_size=1024)
    assert roomy.footprint.host.used_bytes() <= 150 * MIB


@pytest.mark.parametrize(
    ("fixed", "words"),
    [
        ({"gpu_layers": 99}, "-ngl .* fits"),
        ({"gpu_layers": 99, "context_size": 32768}, "-c .* fits|-ngl .* fits"),
        ({"tensor_split": (9.0, 1.0), "gpu_layers": 20}, "-ngl .* fits"),
    ],
)
def test_impossible_wishes_name_the_nearest_possible(fixed: dict[str, Any], words: str) -> None:
    with pytest.raises(DoesNotFitError) as refused:
        plan(LARGE, build([(100, 300), (150, 448)]), **fixed)
    assert refused.value.exit_code == 3
    assert re.search(words, refused.value.hint), refused.value.hint


def test_the_nearest_context_is_true() -> None:
    on = build([(300, 300), (320, 448)])
    with pytest.raises(DoesNotFitError) as refused:
        plan(LARGE, on, gpu_layers=25, context_size=32768)
    nearest = int(refused.value.hint.split("-c ")[1].split(" ")[0])
    assert plan(LARGE, on, gpu_layers=25, context_size=nearest).fits()
    with pytest.raises(DoesNotFitError):
        plan(LARGE, on, gpu_layers=25, context_size=nearest + 256)


@pytest.mark.parametrize(
    ("fixed", "words"),
    [
        ({"device_order": ("CUDA7",)}, "no device CUDA7"),
        ({"device_order": ("CUDA0", "CUDA0")}, "a device twice"),
        ({"tensor_split": (1.0,)}, "1 shares for 2 devices"),
        ({"tensor_split": (1.0, -1.0)}, "negative"),
        ({"main_gpu": 4}, "main GPU 4"),
        ({"ubatch_size": 0}, "at least 1"),
        ({"flash_attention": "off", "cache_type_v": "q8_0"}, "needs flash attention"),
        ({"split_mode": "tensor", "flash_attention": "off"}, "needs flash attention"),
        ({"no_such": 1}, "no setting no_such"),
    ],
)
def test_wishes_that_cannot_be_meant(fixed: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        plan(SMALL, build([(1000, 300), (1000, 448)]), **fixed)


def test_margins_are_one_or_one_per_device() -> None:
    from splitter.plan.request import Request
    from splitter.plan.solve import solve
    from splitter.plan.speed import BOUND

    on = build([(1000, 300), (1000, 448)])
    found = solve(SMALL, on, Request(margin_bytes=(100 * MIB, 300 * MIB)), constants=BOUND, details=False)
    assert {d.device.id: d.margin_bytes for d in found.devices} == {"CUDA1": 300 * MIB}
    with pytest.raises(UsageError, match="3 margins for 2 devices"):
        solve(SMALL, on, Request(margin_bytes=(1, 2, 3)))


def test_goal_context_is_the_largest_that_keeps_the_layers() -> None:
    on = build([(900, 300), (800, 448)])
    found = plan(LARGE, on, goal="context")
    size = found.settings.context_size
    assert found.placement.layers[0] is not None
    assert 8192 < size < 32768
    with pytest.raises(DoesNotFitError):
        plan(
            LARGE,
            on,
            gpu_layers=found.settings.gpu_layers,
            context_size=size + 256,
            ubatch_size=found.settings.ubatch_size,
        )
    assert plan(LARGE, on, context_max=True).settings.context_size == size


def test_goal_context_stops_at_the_models_own_limit() -> None:
    assert plan(SMALL, build([(9000, 300)]), goal="context").settings.context_size == 32768


def test_goal_balanced_says_what_more_would_cost() -> None:
    found = plan(LARGE, build([(330, 448), (600, 50)]), goal="balanced")
    fast = plan(LARGE, build([(330, 448), (600, 50)]), context_size=8192)
    assert speed(found) >= 0.89 * speed(fast)
    assert "% of the speed at 8192" in found.reasons[0]


def test_alternatives_are_real_plans_with_a_price() -> None:
    found = plan(LARGE, build([(250, 448), (200, 112)]), details=True)
    assert 1 <= len(found.alternatives) <= 4
    for other in found.alternatives:
        assert other.fits()
        assert other.settings != found.settings
        assert other.flags
        assert "t/s" not in other.title  # a column says it


def test_reasons_say_what_would_help_most() -> None:
    found = plan(LARGE, build([(200, 448), (150, 112)]), details=True)
    assert any("more free on" in reason and "t/s" in reason for reason in found.reasons)
    assert any("stay in RAM" in reason for reason in found.reasons)


def test_goal_context_where_layers_are_in_ram_anyway() -> None:
    """The longest context that fits, its price said; never shorter than the knee."""
    on = build([(150, 448), (120, 112)])
    found, knee = plan(LARGE, on, goal="context"), plan(LARGE, on, goal="balanced")
    assert found.placement.layers[0] is None
    assert found.settings.context_size == 32768 >= knee.settings.context_size
    assert "% of the speed at 8192" in found.reasons[0]
    assert any("-ub 64 instead of 512" in reason for reason in found.reasons) == (found.settings.ubatch_size == 64)
    little = rig(*on.devices, ram_free_mib=900)
    size = plan(LARGE, little, context_max=True).settings.context_size
    assert 8192 < size < 32768
    with pytest.raises(DoesNotFitError):
        plan(LARGE, little, context_size=size + 512, ubatch_size=64)


def test_a_named_context_leaves_the_other_goals_nothing_to_choose() -> None:
    on = build([(900, 448)])
    for goal in ("context", "balanced"):
        assert f"--goal {goal} has nothing to choose" in plan(LARGE, on, goal=goal, context_size=1024).reasons[0]
    assert "asks for the longest" in plan(LARGE, on, goal="balanced", context_max=True).reasons[0]
