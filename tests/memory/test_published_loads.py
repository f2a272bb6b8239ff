"""Show 4: the other published loads of real GPUs, ours against printed, and which term is off where it is.

data/published-loads.json: 28 loads by name, quantisation, context and flags, each with its public source, and four
that cannot be used with the reason. `terms` says what can be compared; `layers` holds the placement where only the
printed caches tell it. Many come from ik_llama.cpp, whose caches are llama.cpp's and whose graphs are not.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from splitter.memory.footprint import Placement
from splitter.memory.model import MemoryModel
from splitter.memory.settings import Settings
from splitter.model.attention import cache_layers, placed_layers
from splitter.model.facts import ModelFacts
from splitter.model.load import load_model
from splitter.plan.placement import placement_of
from splitter.units import MIB
from tests.memory.engine_answers import settings_of
from tests.memory.published_models import MODELS

DATA = json.loads((Path(__file__).parent / "data" / "published-loads.json").read_text(encoding="utf-8"))
Case = dict[str, Any]
# Cases whose caches differ because the engine kept something that build 11434 does not.
OTHER_CACHES = {"ik394-mainline-5090-2x4090-a6000-dsv3-ub1024", "ik394-ik-5090-2x4090-a6000-dsv3-mla1-nofa"}
# A mix of 16.49 GiB whose types are not published.
OTHER_WEIGHTS = {"ik398-2xT4-qwen3-30b-a3b"}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ModelFacts]:
    folder = tmp_path_factory.mktemp("published")
    names = {case["model"] for case in DATA["cases"]}
    return {name: load_model(str(MODELS[name](name).write(folder))) for name in names}


def cards(case: Case) -> list[dict[str, float]]:
    return [printed for name, printed in case["printed"].items() if name.startswith("CUDA") and name != "CUDA_Host"]


def planned(case: Case, facts: ModelFacts) -> tuple[Settings, Placement]:
    devices = len(cards(case))
    settings = settings_of(case["args"].split(), devices)
    if case["layers"]:
        owners = [i for i, count in enumerate(case["layers"]) for _ in range(count)]
        return settings, Placement((*owners, devices - 1), devices)
    free = case["free_mib"] or [1] * devices
    return settings, placement_of(placed_layers(facts), settings, free)


def recurrent_bytes(facts: ModelFacts, placement: Placement, device: int) -> int:
    caches = cache_layers(facts)
    return sum(caches[layer].recurrent_bytes for layer in placement.layers_on(device))


def differences(case: Case, facts: ModelFacts) -> dict[str, list[tuple[float, float]]]:
    """Term -> per card: ours and printed, MiB."""
    settings, placement = planned(case, facts)
    found = MemoryModel(facts, settings).footprint(placement).devices
    ours = {
        "model": [use.model_bytes for use in found],
        "context": [use.context_bytes for use in found],
        "compute": [use.compute_bytes for use in found],
        "rs": [recurrent_bytes(facts, placement, i) for i in range(len(found))],
    }
    keys = {"context": "kv"}
    return {
        term: [(size / MIB, card[keys.get(term, term)]) for size, card in zip(ours[term], cards(case), strict=True)]
        for term in case["terms"]
    }


def test_show_4_other_published_loads(models: dict[str, ModelFacts]) -> None:
    print(f"\nShow 4: {len(DATA['cases'])} other loads; ours - printed in MiB per card (printed)")
    for case in DATA["cases"]:
        print(f"  {case['id']} [{case['engine']} {case['build'] or '?'}]")
        for term, pairs in differences(case, models[case["model"]]).items():
            text = "  ".join(f"{ours - printed:+9.2f} ({printed:.0f})" for ours, printed in pairs)
            print(f"    {term:8}{text}")
            if any(abs(ours - printed) > 1 for ours, printed in pairs):
                print(f"            {case['note']}")
    for case in DATA["unusable"]:
        print(f"  not usable: {case['id']}: {case['reason']}")


def test_caches_are_what_the_cards_printed(models: dict[str, ModelFacts]) -> None:
    """27 loads: GQA, MLA, recurrent; f16, q8_0, q4_0; one to four cards."""
    checked = 0
    for case in DATA["cases"]:
        found = differences(case, models[case["model"]])
        pairs = found.get("context", found.get("rs", []))
        exact = all(abs(ours - printed) <= 1 for ours, printed in pairs)
        assert exact != (case["id"] in OTHER_CACHES), case["id"]
        checked += exact
    assert checked == len(DATA["cases"]) - len(OTHER_CACHES)


def test_weights_are_what_the_cards_printed(models: dict[str, ModelFacts]) -> None:
    """Files of one type, and mixes that follow llama-quantize's rules: 2.5 to 48 GiB on one and two cards."""
    checked = 0
    for case in DATA["cases"]:
        if "model" in case["terms"] and case["id"] not in OTHER_WEIGHTS:
            pairs = differences(case, models[case["model"]])["model"]
            assert all(abs(ours - printed) <= 1 for ours, printed in pairs), case["id"]
            checked += 1
    assert checked == 7
