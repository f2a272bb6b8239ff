"""Show 1: model and context of the 176 cases of truth.json (real shapes, eight rigs), to the MiB, without an engine."""

from collections import defaultdict
from pathlib import Path

import pytest

from splitter.memory.footprint import Placement
from splitter.memory.model import MemoryModel
from splitter.model.attention import placed_layers
from splitter.model.facts import ModelFacts
from splitter.model.load import load_model
from splitter.plan.placement import placement_of
from splitter.units import MIB
from tests.engine.skeletons import write_skeleton
from tests.memory.engine_answers import settings_of, truth


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ModelFacts]:
    """The skeletons that the cases name; header and hole, so 40 GiB models take a few KiB."""
    folder: Path = tmp_path_factory.mktemp("skeletons")
    names = {case["model"] for case in truth()["cases"]}
    return {name: load_model(str(write_skeleton(name, folder))) for name in names}


def owners(layer_device: list[str]) -> tuple[int | None, ...]:
    return tuple(None if name == "CPU" else int(name.removeprefix("CUDA")) for name in layer_device)


def test_show_1_model_and_context_within_one_mib(models: dict[str, ModelFacts]) -> None:
    worst: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    count = 0
    for case in truth()["cases"]:
        rows = [row for row in case["devices"] if row["device"] != "Host"]
        memory = MemoryModel(models[case["model"]], settings_of(case["args"], len(rows)))
        placement = Placement(owners(case["layer_device"]), len(rows))
        found = zip(memory.model_bytes(placement)[0], memory.context_bytes(placement)[0], rows, strict=True)
        for model, context, row in found:
            count += 1
            errors = (model // MIB - row["model_mib"], context // MIB - row["context_mib"])
            old = worst[case["model"]]
            worst[case["model"]] = [max(a, b, key=abs) for a, b in zip(old, errors, strict=True)]
    print(f"\nShow 1: {len(truth()['cases'])} cases, {count} devices; worst error in MiB (model, context)")
    for name, (model, context) in sorted(worst.items()):
        print(f"  {name:28} {model:+3d} {context:+3d}")
    assert len(truth()["cases"]) == 176
    assert all(errors == [0, 0] for errors in worst.values())


def test_the_host_holds_caches_and_no_less_weights_than_llama_cpp_counts(models: dict[str, ModelFacts]) -> None:
    """llama.cpp's host row leaves out what its CPU backend repacks."""
    for case in truth()["cases"]:
        *rows, host = case["devices"]
        memory = MemoryModel(models[case["model"]], settings_of(case["args"], len(rows)))
        placement = Placement(owners(case["layer_device"]), len(rows))
        assert memory.context_bytes(placement)[1] // MIB == host["context_mib"]
        assert memory.model_bytes(placement)[1] // MIB >= host["model_mib"]


def test_the_placement_rule_puts_every_layer_where_llama_cpp_did(models: dict[str, ModelFacts]) -> None:
    for case in truth()["cases"]:
        rows = [row for row in case["devices"] if row["device"] != "Host"]
        free = tuple(row[2] for row in truth()["rigs"][case["rig"]])
        settings = settings_of(case["args"], len(rows))
        placement = placement_of(placed_layers(models[case["model"]]), settings, free)
        assert placement.layers == owners(case["layer_device"])
