"""Lines that people posted: what they say is read, no word is lost, and written anew they say the same."""

from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from splitter.engine.command import EngineRef, Server
from splitter.engine.engines import ENGINES
from splitter.engine.reading.command import read_command
from splitter.engine.reading.complete import complete_settings
from splitter.engine.reading.items import items_of
from splitter.engine.reading.value import ReadCommand
from splitter.memory.settings import Settings
from splitter.model.facts import ModelFacts
from splitter.model.load import load_model
from splitter.plan.evaluate import evaluate
from splitter.plan.plan import Plan
from tests.check.builders import facts, rig
from tests.check.posted_lines import KOBOLD, LLAMA
from tests.engine.oracle import skeleton

POSTED = (*LLAMA, *KOBOLD)
IDS = [f"{version}-{line[:40]}" for version, line, _, _ in POSTED]
# Nobody writes commands for releases before 1.60, and 1.79 cannot be told where a draft model goes.
READ_ONLY = ("1.50", "1.52", "1.55", "1.58", "1.79")


def test_there_are_sixty() -> None:
    assert len(POSTED) >= 60
    assert len(LLAMA) >= 30
    assert len(KOBOLD) >= 30


@pytest.mark.parametrize(("version", "line", "settings", "unknown"), POSTED, ids=IDS)
def test_what_a_line_says(version: str, line: str, settings: dict[str, Any], unknown: tuple[str, ...]) -> None:
    read = read_command(line, version=version)
    assert read.settings == settings
    assert read.unknown == unknown
    refused = " ".join(notice.message for notice in read.refusals)
    assert all(word in refused for word in unknown)
    assert len(read.refusals) == len(unknown)


@pytest.mark.parametrize(("version", "line"), [posted[:2] for posted in POSTED], ids=IDS)
def test_no_word_is_lost(version: str, line: str) -> None:
    read = read_command(line, version=version)
    args = read.argv[1:]
    items = items_of(read.kind, args)
    assert tuple(word for item in items for word in item.words) == args
    assert {word for item in items if item.dest is None for word in item.words[:1]} == set(read.unknown)


@cache
def model() -> ModelFacts:
    return load_model(str(skeleton("qwen2.5-32b-q4_k_m")))


def settings_of(read: ReadCommand, version: str) -> Settings:
    return complete_settings(read, model(), rig(), version).settings


def plan_of(read: ReadCommand, version: str) -> Plan:
    return evaluate(
        model(), rig(), settings_of(read, version), engine=ENGINES[read.kind].rules_of_command(read, version)
    )


@pytest.mark.parametrize(
    ("version", "line"), [posted[:2] for posted in POSTED if posted[0] not in READ_ONLY],
    ids=[name for name in IDS if not name.startswith(READ_ONLY)],
)  # fmt: skip
def test_written_anew_it_says_the_same(version: str, line: str) -> None:
    """argv -> settings -> argv -> settings; a split that nobody gave is written out as the layers it comes to."""
    read = read_command(line, version=version)
    before = plan_of(read, version)
    written = ENGINES[read.kind].command(before, EngineRef(read.kind, None, version), Server())
    again = read_command(list(written.argv), written.env, version=version)
    after = plan_of(again, version)
    given = bool(before.settings.tensor_split)
    settings = after.settings if given else replace(after.settings, tensor_split=())
    settings = replace(settings, swa_full=before.settings.swa_full)  # this model has no windows: nothing is written
    assert again.refusals == ()
    assert settings == before.settings
    assert after.placement == before.placement


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("3000", {"gpu_layers": 0, "flash_attention": "off", "parallel": 1, "context_size": 32768}),
        ("5000", {"gpu_layers": 0, "flash_attention": "off", "parallel": 1, "context_size": 4096}),
        ("6400", {"gpu_layers": 65, "flash_attention": "auto", "parallel": 1, "context_size": 4096}),
        ("7100", {"gpu_layers": 65, "parallel": 4, "context_size": 4096}),
        ("7500", {"gpu_layers": 65, "flash_attention": "auto", "parallel": 4, "context_size": 32768}),
    ],
)
def test_llama_servers_defaults_by_build(version: str, expected: dict[str, Any]) -> None:
    completed = complete_settings(read_command("llama-server -m m", version=version), facts(), rig(), version)
    assert {name: getattr(completed.settings, name) for name in expected} == expected
