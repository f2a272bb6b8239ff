"""Speculative decoding in plans: off unless asked for, offered with flags and its gain by the assumed acceptance."""

from dataclasses import replace
from typing import Any

import pytest

from splitter.engine.engines import rules_of
from splitter.memory.speculation import MTP, NGRAM
from splitter.model.facts import ModelFacts
from splitter.plan.overhead import no_overhead
from splitter.plan.plan import Plan
from splitter.plan.request import Request
from splitter.plan.solve import solve
from splitter.plan.speculating import ACCEPTED, FEW, MANY, tokens_per_pass
from tests.memory.test_server_findings import QWEN, facts
from tests.plan.builders import card, model, rig

CARDS = rig(card(0, 24000, 936, fp16_flops=7e13))


def planned(of: ModelFacts, engine: str = "llama-server", version: str | None = None, **fixed: Any) -> Plan:
    request = Request(fixed={"context_size": 4096, **fixed}, engine=rules_of(engine, version))
    return solve(of, CARDS, request, overhead=no_overhead)


def rate(plan: Plan) -> float:
    assert plan.speed.generation_tokens_per_s
    return plan.speed.generation_tokens_per_s


def test_tokens_of_a_pass() -> None:
    assert tokens_per_pass(3, 0.0) == 1
    assert tokens_per_pass(3, 1.0) == 4
    assert tokens_per_pass(2, 0.5) == pytest.approx(1.75)


def test_mtp_is_offered_and_off_unless_asked_for() -> None:
    plain = planned(facts(QWEN))
    assert plain.settings.spec_type is None
    offered = next(other for other in plain.alternatives if "--spec-type" in other.flags)
    assert offered.flags == ("--spec-type", MTP)
    assert offered.settings.spec_type == MTP
    assert 1.2 < rate(offered) / rate(plain) < tokens_per_pass(3, ACCEPTED)
    used = [sum(device.used_bytes() for device in plan.devices) for plan in (plain, offered)]
    assert used[1] > used[0]  # the drafting context is not for nothing
    assert offered.fits()


def test_what_is_asked_for_says_its_assumption() -> None:
    asked = planned(facts(QWEN), spec_type=MTP)
    assert any(f"{100 * ACCEPTED:.0f} % of 3 drafted tokens" in reason for reason in asked.reasons)
    assert not any("--spec-type" in other.flags for other in asked.alternatives)
    low, high = asked.speed.generation_range or (0, 0)
    assert high / low > tokens_per_pass(3, MANY) / tokens_per_pass(3, FEW)
    plain = planned(facts(QWEN))
    assert asked.speed.turn
    assert plain.speed.turn
    assert asked.speed.turn.seconds
    assert plain.speed.turn.seconds
    assert asked.speed.turn.seconds < plain.speed.turn.seconds


def test_experts_gain_less_than_dense_layers() -> None:
    """Each drafted token chooses its own experts, so that a pass reads more of them."""
    small = replace(model(2), name="draft")

    def gain(of: ModelFacts) -> float:
        request = Request(fixed={"context_size": 4096, "draft_model": "/models/draft.gguf"}, draft=small)
        drafted = solve(of, CARDS, request, overhead=no_overhead, details=False)
        return rate(drafted) / rate(planned(of))

    assert gain(model(48, experts=8)) < gain(model(48))


def test_n_grams_are_offered_without_a_gain_where_the_engine_has_them() -> None:
    plain = planned(model(8))
    offered = next(other for other in plain.alternatives if "--spec-type" in other.flags)
    assert offered.flags == ("--spec-type", NGRAM)
    assert rate(offered) == pytest.approx(rate(plain))
    for engine, version in (("koboldcpp", None), ("embedded", None), ("llama-server", "9000")):
        others = planned(model(8), engine, version).alternatives
        assert not any("--spec-type" in other.flags for other in others), engine
