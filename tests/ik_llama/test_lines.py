"""Forty lines for ik_llama.cpp: read, judged, and written again."""

from dataclasses import replace

import pytest

from splitter.engine.command import EngineRef, Server
from splitter.engine.commands import build_command
from splitter.engine.engines import rules_of
from splitter.engine.reading.command import read_command
from splitter.engine.reading.complete import complete_settings
from splitter.engine.reading.traps import find_traps
from splitter.plan.evaluate import evaluate
from tests.ik_llama.lines import LINES, Line
from tests.plan.builders import card, model, rig

# Nothing in them tells the fork from llama.cpp: people say --engine ik-llama.
ALIKE = tuple(LINES[number][0] for number in (4, 7, 10, 16))
MODEL = model(layers=12, experts=8)
RIG = rig(card(0, 4000, 500), card(1, 4000), card(2, 4000, 200), ram_free_mib=64000)


def test_there_are_forty() -> None:
    assert len({line for line, _, _ in LINES}) == 40


@pytest.mark.parametrize("case", LINES, ids=range(len(LINES)))
def test_read_judged_and_written_again(case: Line) -> None:
    line, meant, refused = case
    alike = read_command(line).kind != "ik-llama"
    read = read_command(line, kind="ik-llama") if alike else read_command(line)
    assert alike == (line in ALIKE)
    assert {name: read.settings.get(name) for name in meant} == meant
    assert {notice.code for notice in read.refusals} == set(refused)
    assert "ik_llama.cpp" in next(notice.message for notice in read.notices if notice.code == "fork")
    completed = complete_settings(read, MODEL, RIG)
    plan = evaluate(MODEL, RIG, completed.settings, engine=rules_of("ik-llama"))
    assert plan.fits()
    find_traps(read, completed.settings, plan, RIG)
    command = build_command(plan, EngineRef("ik-llama", None, None), Server())
    again = read_command(list(command.argv), command.env, kind="ik-llama")
    assert not again.refusals
    said = complete_settings(again, MODEL, RIG)
    placed = evaluate(MODEL, RIG, said.settings, engine=rules_of("ik-llama"))
    assert placed.placement.layers == plan.placement.layers
    assert placed.footprint.host.model_bytes == plan.footprint.host.model_bytes
    same = ("context_size", "ubatch_size", "cache_type_k", "cache_type_v", "parallel", "kv_offload", "mmap")
    assert {name: getattr(said.settings, name) for name in same} == {
        name: getattr(completed.settings, name) for name in same
    }


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("llama-server -m m.gguf -ngl 99 -sm graph -dev CUDA0 -c 4096", "graph_one_device"),
        ("llama-server -m m.gguf -sm graph -ngl 99 -ts 1,1,1 -c 4096", ""),
        ("llama-server -m m.gguf --fit -ncmoe 3 -rtr -c 4096", "fit_refuses"),
        ("llama-server -m m.gguf -ngl 99 -no-fa -ctv q8_0 -c 4096", "quantised_v_without_flash"),
        ("llama-server -m m.gguf -ngl 99 -gr -np 4 -c 4096", "context_divided"),
    ],
)
def test_traps(line: str, code: str) -> None:
    read = read_command(line)
    completed = complete_settings(read, MODEL, RIG)
    plan = evaluate(MODEL, RIG, completed.settings, engine=rules_of("ik-llama"))
    found = {notice.code for notice in find_traps(read, completed.settings, plan, RIG)}
    assert code in found if code else not found & {"graph_one_device", "graph_falls_back"}


@pytest.mark.parametrize("devices", ["CUDA0", "CUDA0,CUDA1"])
def test_graph_for_an_architecture_that_it_does_not_know_falls_back_and_never_stops(devices: str) -> None:
    line = f"llama-server -m m.gguf -ngl 99 -sm graph -dev {devices} -c 4096 -gr"
    metadata = {key.replace("qwen3moe", "qwen2moe"): value for key, value in MODEL.metadata.items()}
    facts = replace(MODEL, architecture="qwen2moe", metadata=metadata)
    read = read_command(line)
    settings = complete_settings(read, facts, RIG).settings
    plan = evaluate(facts, RIG, settings, engine=rules_of("ik-llama"))
    found = {notice.code for notice in find_traps(read, settings, plan, RIG)}
    assert "graph_falls_back" in found
    assert "graph_one_device" not in found
