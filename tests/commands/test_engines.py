"""The table of engines: each value answers everything, and what a version cannot do is never planned unasked."""

from dataclasses import replace
from typing import Any

import pytest

from splitter.engine.command import EngineRef, Server
from splitter.engine.commands import build_command
from splitter.engine.engine import Engine
from splitter.engine.engines import ENGINES, rules_of
from splitter.memory.settings import Settings
from splitter.model.facts import ModelFacts
from splitter.plan.request import Request
from splitter.plan.solve import solve
from splitter.rig.device import Rig
from tests.plan.builders import card, model, rig

VERSIONS = {
    "llama-server": ("3600", "4200", "5036", "5456", "5913", "6096", "7414", "8783", "10114", "11434", None),
    "koboldcpp": ("1.60", "1.66", "1.76", "1.89", "1.91", "1.92", "1.96", "1.99.4", "1.106", "1.113", "1.123", None),
    "ik-llama": ("0", None),
    "embedded": ("2026.10.11549", None),
}
CASES = [(name, version) for name, versions in VERSIONS.items() for version in versions]


def windowed() -> ModelFacts:
    """A model with sliding-window layers, as gemma's."""
    plain = model(layers=12)
    return ModelFacts(
        **{
            **{name: getattr(plain, name) for name in plain.__dataclass_fields__},
            "metadata": {**plain.metadata, "llama.attention.sliding_window": 1024},
        }
    )


MODELS = {"dense": model(layers=12), "experts": model(layers=12, experts=8), "window": windowed()}
RIGS: dict[str, Rig] = {
    "large": rig(card(0, 4000), card(1, 4000, 500)),
    "small": rig(card(0, 420), card(1, 300, 500), ram_free_mib=64000),
}
MIXED = rig(card(0, 3000), replace(card(1, 4000, 500), id="Vulkan0"), ram_free_mib=64000)
UNKNOWN = rig(replace(card(0, 4000), id="SYCL0"), ram_free_mib=64000)
ASKED: dict[str, dict[str, Any]] = {
    "nothing": {},
    "longest context": {"context_max": True},
    "balanced": {"goal": "balanced"},
}


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("on", RIGS)
@pytest.mark.parametrize("of", MODELS)
@pytest.mark.parametrize(("name", "version"), CASES)
def test_what_nobody_asked_for_can_be_said(name: str, version: str | None, of: str, on: str, asked: str) -> None:
    """Issue 14, fault 9: a plan for koboldcpp 1.76 with a sliding-window model and no flag was a usage error."""
    request = Request(**ASKED[asked], engine=rules_of(name, version), margin_bytes=(0,))
    plan = solve(MODELS[of], RIGS[on], request)
    for other in (plan, *plan.alternatives):
        assert build_command(other, EngineRef(name, None, version), Server()).argv


@pytest.mark.parametrize(("name", "version"), CASES)
def test_rules_speak_of_settings(name: str, version: str | None) -> None:
    rules = rules_of(name, version)
    fields = set(Settings.__dataclass_fields__)
    assert (rules.name, rules.version) == (name, version)
    assert set(rules.assumed) | set(rules.forced) <= fields
    assert Settings(context_size=1, gpu_layers=0, device_order=(), **{**rules.assumed, **rules.forced})


@pytest.mark.parametrize("engine", ENGINES.values(), ids=list(ENGINES))
def test_every_engine_answers(engine: Engine) -> None:
    for question in ("rules", "command", "read", "fill", "traps", "knows_flag"):
        assert getattr(type(engine), question) is not getattr(Engine, question)
    assert engine.get
    assert engine.command_word
    assert engine.file_names(windows=False)
    assert engine.traps()


@pytest.mark.parametrize("on", [MIXED, UNKNOWN], ids=["mixed", "unknown"])
@pytest.mark.parametrize(("name", "version"), CASES)
def test_cards_that_it_cannot_use_are_left_alone(name: str, version: str | None, on: Rig) -> None:
    plan = solve(MODELS["dense"], on, Request(engine=rules_of(name, version)), details=False)
    assert build_command(plan, EngineRef(name, None, version), Server()).argv


def test_koboldcpp_takes_the_cards_of_the_backend_with_most_memory() -> None:
    plan = solve(MODELS["dense"], MIXED, Request(engine=rules_of("koboldcpp")))
    assert plan.settings.device_order == ("Vulkan0",)
    assert any("CUDA0 (card 0) is left out: koboldcpp cannot use it beside the others" in why for why in plan.reasons)
    alone = solve(MODELS["dense"], UNKNOWN, Request(engine=rules_of("koboldcpp")))
    assert alone.settings.device_order == ()
    assert any("SYCL0 (card 0) is left out: koboldcpp cannot use it" in why for why in alone.reasons)


def test_old_kobold_keeps_the_full_cache() -> None:
    old, new = (
        solve(MODELS["window"], RIGS["large"], Request(engine=rules_of("koboldcpp", v))) for v in ("1.76", "1.92")
    )
    assert (old.settings.swa_full, new.settings.swa_full) == (True, False)
