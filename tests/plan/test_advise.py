"""The rule of the quant advisor, case by case, over plans whose speed and spill are set by hand."""

from dataclasses import replace

import pytest

from splitter.errors import DoesNotFitError
from splitter.model.facts import ModelFacts
from splitter.plan.advise import RankedModel, advise
from splitter.plan.plan import Plan
from splitter.plan.quality import quality_of
from tests.plan.builders import card, model, plan, rig

FACTS = model()
PLAN = plan(FACTS, rig(card(0, 4000)), context_size=4096)
BITS = {"F16": 16.0, "Q8_0": 8.5, "Q6_K": 6.6, "Q5_K_M": 5.7, "Q4_K_M": 4.9, "Q3_K_M": 3.9, "Q2_K": 3.2}


def facts_of(kind: str) -> ModelFacts:
    size = sum(tensor.size_bytes for tensor in FACTS.tensors)
    return replace(FACTS, quantization=kind, parameters=round(size * 8 / BITS[kind]))


def candidate(kind: str, tokens_per_s: float | None, spills: bool = False) -> RankedModel:
    made: Plan = replace(PLAN, speed=replace(PLAN.speed, generation_tokens_per_s=tokens_per_s))
    if spills:
        made = replace(made, settings=replace(made.settings, n_cpu_moe=4))
    return RankedModel(kind, facts_of(kind), made)


def refused(kind: str) -> RankedModel:
    return RankedModel(kind, facts_of(kind), DoesNotFitError("too big"))


CASES = {
    "the best class on GPUs alone": (
        [candidate("Q8_0", 12, True), candidate("Q5_K_M", 20), candidate("Q3_K_M", 60)],
        "Q5_K_M",
    ),
    "within a class more bits while they cost little": ([candidate("Q5_K_M", 20), candidate("Q4_K_M", 23)], "Q5_K_M"),
    "within a class not for a fifth of the speed": ([candidate("Q8_0", 15), candidate("Q6_K", 20)], "Q6_K"),
    "a slow class yields to a quick one": ([candidate("Q6_K", 6), candidate("Q4_K_M", 14)], "Q4_K_M"),
    "quick with a part in RAM before degraded": ([candidate("Q4_K_M", 15, True), candidate("Q2_K", 60)], "Q4_K_M"),
    "degraded before slow": ([candidate("Q4_K_M", 2, True), candidate("Q2_K", 60)], "Q2_K"),
    "all slow: the quickest sound one": (
        [candidate("Q8_0", 2, True), candidate("Q4_K_M", 4, True), candidate("Q2_K", 5, True)],
        "Q4_K_M",
    ),
    "speeds unknown": ([candidate("F16", None, True), candidate("Q6_K", None), candidate("Q4_K_M", None)], "Q6_K"),
    "only what fits": ([refused("Q6_K"), candidate("Q4_K_M", 20)], "Q4_K_M"),
    "nothing fits": ([refused("Q6_K"), refused("Q4_K_M")], None),
}


@pytest.mark.parametrize("case", CASES)
def test_recommended(case: str) -> None:
    candidates, expected = CASES[case]
    advice = advise(candidates)
    assert advice.recommended == expected
    assert len(advice.files) == len(candidates)
    if expected:
        assert advice.files[0].file == expected
        assert advice.reason
    shuffled = advise(reversed(candidates))
    assert [file.file for file in shuffled.files] == [file.file for file in advice.files]


def test_what_cannot_be_planned_comes_last() -> None:
    broken = RankedModel("broken", None, DoesNotFitError("never read"))
    order = advise([broken, refused("Q8_0"), candidate("Q2_K", 90), candidate("Q4_K_M", 50)]).files
    assert [file.file for file in order][:2] == ["Q4_K_M", "Q2_K"]
    assert order[0].fits
    assert {file.file for file in order[2:]} == {"broken", "Q8_0"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [("BF16", "near-lossless"), ("Q6_K", "near-lossless"), ("Q5_K_S", "good"), ("IQ4_XS", "good"), ("Q4_0", "good"),
     ("IQ3_XXS", "usable"), ("Q3_K_L", "usable"), ("IQ2_M", "degraded"), ("TQ2_0", "degraded")],
)  # fmt: skip
def test_classes_by_name(name: str, expected: str) -> None:
    assert quality_of(replace(FACTS, quantization=name)) == expected


@pytest.mark.parametrize(
    ("bits", "expected"), [(8.5, "near-lossless"), (4.9, "good"), (3.5, "usable"), (2.1, "degraded")]
)
def test_classes_by_bits_where_the_file_is_silent(bits: float, expected: str) -> None:
    size = sum(tensor.size_bytes for tensor in FACTS.tensors)
    assert quality_of(replace(FACTS, quantization=None, parameters=round(size * 8 / bits))) == expected


def test_what_was_trained_so_lost_nothing() -> None:
    assert quality_of(replace(FACTS, architecture="gpt-oss", quantization="MXFP4_MOE")) == "near-lossless"
    assert quality_of(replace(FACTS, quantization="MXFP4_MOE")) == "good"
    assert quality_of(replace(FACTS, quantization=None, tensors=())) is None
