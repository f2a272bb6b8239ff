"""A draft model and a projector beside the main one: counted where they lie, placed where they cost least."""

from dataclasses import replace
from typing import Any

import pytest

from splitter.errors import DoesNotFitError, UsageError
from splitter.memory.model import MemoryModel
from splitter.memory.projector import projector_use
from splitter.memory.settings import Settings
from splitter.memory.speculation import DRAFT_TOKENS
from splitter.model.facts import ModelFacts, TensorInfo
from splitter.plan.evaluate import evaluate
from splitter.plan.extra_models import DRAFT, PROJECTOR, ExtraModels, draft_settings
from splitter.plan.overhead import no_overhead
from splitter.plan.placement import place
from splitter.plan.plan import Plan
from splitter.plan.request import Request
from splitter.plan.solve import solve
from splitter.plan.speculating import ACCEPTED, tokens_per_pass
from splitter.plan.speed import BOUND
from splitter.rig.device import Rig
from splitter.units import MIB
from tests.plan.builders import ONE_TOKEN, card, model, rig

MAIN, SMALL = model(layers=24, width=2048), model(layers=6, width=512)
TRIO = rig(card(0, 700, 110), card(1, 1500, 450), card(2, 1100, 190), ram_free_mib=20000)


def projector() -> ModelFacts:
    """A vision tower of the shape of SigLIP-so400m at 896 pixels, as gemma-3 has it, weights in f16."""
    width, inner, layers = 1152, 4304, 27
    shapes = [(width, width)] * 4 + [(width, inner), (inner, width)]
    tensors = tuple(
        TensorInfo(f"v.blk.{i}.{n}.weight", shape, 1, 2 * shape[0] * shape[1], 0)
        for i in range(layers)
        for n, shape in enumerate(shapes)
    )
    metadata: dict[str, Any] = {
        "clip.has_vision_encoder": True, "clip.vision.projector_type": "gemma3", "clip.vision.image_size": 896,
        "clip.vision.patch_size": 14, "clip.vision.embedding_length": width, "clip.vision.block_count": layers,
        "clip.vision.feed_forward_length": inner, "clip.vision.attention.head_count": 16,
    }  # fmt: skip
    size = sum(tensor.size_bytes for tensor in tensors)
    return ModelFacts("/p.gguf", "p", "clip", "F16", size, 0, None, 0, 0, tensors, metadata)


def with_draft(on: Rig = TRIO, **fixed: Any) -> Plan:
    fixed = {"draft_model": "/d.gguf", "context_size": 2048, **fixed}
    request = Request(fixed=fixed, margin_bytes=(0,), draft=SMALL, workload=ONE_TOKEN)
    return solve(MAIN, on, request, constants=BOUND, overhead=no_overhead, details=False)


def parts(plan: Plan, name: str) -> dict[str, int]:
    return {d.device.id: dict(d.memory.overhead)[name] for d in plan.devices if name in dict(d.memory.overhead)}


def test_a_draft_model_is_a_model_of_its_own() -> None:
    plan = with_draft()
    home = plan.settings.draft_device_order
    assert home is not None
    held = parts(plan, DRAFT)
    assert set(held) == set(home)
    own = MemoryModel(SMALL, replace(draft_settings(plan.settings), device_order=home), plan.engine.memory)
    footprint = own.footprint(place(6, 7, (1.0,), 1))
    assert held[home[0]] == footprint.devices[0].used_bytes()
    assert dict(plan.footprint.host.overhead) == {DRAFT: footprint.host.used_bytes()}
    assert plan.fits()
    assert all(device.headroom_bytes() >= 0 for device in plan.devices)


def test_the_home_is_the_cheapest_of_all() -> None:
    """Against every home fixed by hand: the time of a pass with its drafted tokens is the least."""
    chosen = with_draft()

    def pass_s(plan: Plan) -> float:
        assert plan.speed.generation_tokens_per_s
        return tokens_per_pass(DRAFT_TOKENS, ACCEPTED) / plan.speed.generation_tokens_per_s

    others = [with_draft(draft_device_order=home) for home in (("CUDA0",), ("CUDA1",), ("CUDA2",), ())]
    assert pass_s(chosen) == pytest.approx(min(map(pass_s, others)), rel=1e-6)
    assert {plan.settings.draft_device_order for plan in others} == {("CUDA0",), ("CUDA1",), ("CUDA2",), ()}


def test_a_card_that_the_main_model_leaves_out_can_be_the_home() -> None:
    plan = with_draft(
        rig(card(0, 1340, 450), card(1, 400, 430), ram_free_mib=20000), device_order=("CUDA0",), ubatch_size=512
    )
    assert plan.settings.draft_device_order == ("CUDA1",)
    assert [device.device.id for device in plan.devices] == ["CUDA0", "CUDA1"]
    beside = plan.devices[1]
    assert (beside.layers, beside.holds_output, beside.memory.breakdown_bytes()) == ((), False, 0)
    assert beside.memory.overhead_bytes() > 0
    assert not any(notice.code == "idle_device" for notice in plan.warnings)


def test_it_pushes_layers_away_where_memory_is_short() -> None:
    tight = rig(card(0, 500, 450), ram_free_mib=20000)
    request = Request(fixed={"context_size": 2048}, margin_bytes=(0,), workload=ONE_TOKEN)
    alone = solve(MAIN, tight, request, constants=BOUND, overhead=no_overhead)
    beside = with_draft(tight, draft_device_order=("CUDA0",))
    assert beside.settings.gpu_layers < alone.settings.gpu_layers
    assert beside.fits()


def test_the_longest_context_counts_the_drafts_cache() -> None:
    request = Request("context", {"draft_model": "/d.gguf"}, margin_bytes=(0,), draft=SMALL)
    plan = solve(MAIN, TRIO, request, overhead=no_overhead, details=False)
    assert plan.fits()
    alone = solve(MAIN, TRIO, Request("context", margin_bytes=(0,)), overhead=no_overhead, details=False)
    assert plan.settings.context_size <= alone.settings.context_size
    longer = replace(plan.settings, context_size=plan.settings.context_size + 512)
    if plan.settings.context_size < (MAIN.context_train or 0):
        again = evaluate(MAIN, TRIO, longer, margin_bytes=(0,), overhead=no_overhead, extra=ExtraModels(draft=SMALL))
        assert sum(d.used_bytes() for d in again.devices) > sum(d.used_bytes() for d in plan.devices)


def test_a_projector_goes_to_a_gpu_and_its_weights_are_exact() -> None:
    request = Request(fixed={"mmproj": "/p.gguf", "context_size": 2048}, margin_bytes=(0,), projector=projector())
    roomy = rig(card(0, 3000, 110), card(1, 2500, 450), ram_free_mib=20000)
    plan = solve(MAIN, roomy, request, overhead=no_overhead, details=False)
    ((where, size),) = parts(plan, PROJECTOR).items()
    use = projector_use(projector())
    assert (plan.settings.mmproj_device, size) == (where, use.used_bytes())
    assert use.model_bytes == projector().file_bytes
    assert 100 * MIB < use.compute_bytes < 1000 * MIB
    assert "projector_estimate" in {notice.code for notice in plan.warnings}


def test_a_projector_stays_in_ram_only_where_no_gpu_takes_it() -> None:
    request = Request(fixed={"mmproj": "/p.gguf", "context_size": 2048}, margin_bytes=(0,), projector=projector())
    plan = solve(MAIN, TRIO, request, overhead=no_overhead, details=False)
    assert plan.settings.mmproj_device == "CUDA2"  # CUDA0 has no room, and CUDA1 takes the main model whole
    small = rig(card(0, 500, 450), ram_free_mib=20000)
    plan = solve(MAIN, small, request, overhead=no_overhead, details=False)
    assert plan.settings.mmproj_device == "none"
    assert PROJECTOR in dict(plan.footprint.host.overhead)


def test_both_at_once() -> None:
    fixed = {"mmproj": "/p.gguf", "draft_model": "/d.gguf", "context_size": 2048}
    request = Request(fixed=fixed, margin_bytes=(0,), projector=projector(), draft=SMALL)
    plan = solve(MAIN, TRIO, request, overhead=no_overhead)
    assert plan.fits()
    assert parts(plan, DRAFT)
    assert parts(plan, PROJECTOR)
    assert sum("goes to CUDA" in reason for reason in plan.reasons) == 2
    assert all(other.settings.draft_device_order == plan.settings.draft_device_order for other in plan.alternatives)


def test_what_does_not_fit_says_that_it_would_without() -> None:
    tiny = rig(card(0, 1345, 450), ram_free_mib=300)
    alone = Request(fixed={"context_size": 256}, margin_bytes=(0,))
    assert solve(MAIN, tiny, alone, overhead=no_overhead, details=False).fits()
    request = replace(alone, fixed={**alone.fixed, "mmproj": "/p"}, projector=projector())
    with pytest.raises(DoesNotFitError) as caught:
        solve(MAIN, tiny, request, overhead=no_overhead)
    assert "it fits without the projector" in caught.value.hint


def test_wishes_are_obeyed_or_refused() -> None:
    assert with_draft(draft_device_order=("CUDA0",)).settings.draft_device_order == ("CUDA0",)
    assert with_draft(draft_gpu_layers=0).settings.draft_device_order == ()
    with pytest.raises(UsageError, match="no device CUDA7"):
        with_draft(draft_device_order=("CUDA7",))
    with pytest.raises(UsageError, match="on one device"):
        with_draft(draft_device_order=("CUDA0", "CUDA1"))


def test_given_settings_are_counted_as_the_engine_would_place_them() -> None:
    """Without -devd the draft model follows the main one: its devices and its -ts."""
    settings = Settings(2048, 25, ("CUDA1", "CUDA2"), (3.0, 1.0), draft_model="/d.gguf")
    plan = evaluate(MAIN, TRIO, settings, margin_bytes=(0,), overhead=no_overhead, extra=ExtraModels(draft=SMALL))
    held = parts(plan, DRAFT)
    assert set(held) == {"CUDA1", "CUDA2"}
    assert held["CUDA1"] > held["CUDA2"]
    bare = evaluate(MAIN, TRIO, settings, margin_bytes=(0,), overhead=no_overhead)
    assert "extra_models" in {notice.code for notice in bare.warnings}
    assert "extra_models" not in {notice.code for notice in plan.warnings}
