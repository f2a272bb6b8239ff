"""Pasted logs: device, size and stage of what failed, the model's facts, and what would have fitted."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitter.engine.log.explain import explain_log, missing_bytes
from splitter.engine.log.story import LogStory, read_log
from splitter.units import MIB, from_mib
from tests.check.logs import LOGS, Logged
from tests.cli.conftest import Splitter, splitter
from tests.engine.oracle import skeleton

__all__ = ["splitter"]


@pytest.mark.parametrize("log", LOGS, ids=[log.id for log in LOGS])
def test_device_size_and_stage(log: Logged) -> None:
    story = read_log(log.text)
    assert story.engine == log.engine
    assert story.number("layers") == log.layers
    if log.stage is None:
        assert story.short is None
        return
    assert story.short is not None
    assert (story.short.device, story.short.stage) == (log.device, log.stage)
    size = None if story.short.size_bytes is None else story.short.size_bytes / MIB
    assert size == pytest.approx(log.size_mib, abs=0.01) if log.size_mib else size is None


def story(name: str) -> LogStory:
    return read_log(next(log.text for log in LOGS if log.id == name))


def test_there_are_twenty() -> None:
    assert len(LOGS) >= 20


def test_what_the_model_is_and_what_each_device_holds() -> None:
    found = story("p100-ts")
    assert found.facts["architecture"] == "qwen35moe"
    assert found.facts["name"] == "Qwen3.5-122B-A10B"
    assert (found.number("context_size"), found.number("ubatch_size"), found.offloaded) == (131072, 256, (49, 49))
    device = found.device("CUDA1")
    assert device is not None
    assert device.held_bytes() == from_mib(15313.49) + from_mib(544)
    assert (device.name, device.free_bytes) == ("Tesla P100-PCIE-16GB", from_mib(16013))


@pytest.mark.parametrize(
    ("name", "largest", "fitting"),
    [
        ("ik500", "fits on no card", "GGML_SCHED_MAX_COPIES=1"),
        ("ik437-r1", "the weights", "-ub "),
        ("ik437-qwen", "the weights", "-c "),
        ("p100-fa0", "flash attention is off", "-fa on"),
        ("p100-ts", "the weights", "-c "),
        ("cache", "the cache of 16384 tokens", "-ctk q8_0"),
        ("weights", "the weights", "layers fewer on CUDA1"),
        ("ik437-running", "the weights", "500 MiB to 1 GiB free"),
        ("webui", "the compute buffer", "-fa on"),
    ],
)
def test_the_term_that_was_too_large_and_what_would_have_fitted(name: str, largest: str, fitting: str) -> None:
    explained = explain_log(story(name))
    assert explained is not None
    assert largest in explained.largest
    assert any(fitting in text for text in explained.fitting), explained.fitting


def test_a_quantised_cache_is_not_quantised_again() -> None:
    explained = explain_log(story("ik437-qwen"))
    assert explained is not None
    assert not any("-ctk" in text for text in explained.fitting)


def test_the_missing_bytes_are_those_beyond_what_was_free() -> None:
    found = story("p100-ts")
    device = found.device("CUDA1")
    assert device is not None
    room = from_mib(16013) - device.held_bytes()
    assert missing_bytes(found, device) == max(from_mib(121.27) - room, from_mib(121.27) // 8)


def test_a_log_of_something_else(splitter: Splitter, tmp_path: Path) -> None:
    (tmp_path / "x.log").write_text("hello\nworld\n")
    said = splitter("check", "--log", str(tmp_path / "x.log"))
    assert said.code == 2
    assert "not a log of llama.cpp" in said.err


def test_the_verb_tells_a_log_and_its_exit_code(splitter: Splitter, tmp_path: Path) -> None:
    for log, code in ((LOGS[5], 3), (LOGS[18], 0), (LOGS[19], 4)):
        (tmp_path / "x.log").write_text(log.text)
        assert splitter("check", "--log", str(tmp_path / "x.log")).code == code
    (tmp_path / "x.log").write_text(LOGS[5].text)
    data = splitter("check", "--log", str(tmp_path / "x.log"), "--json").json()["data"]
    assert data["failure"]["device"] == "CUDA0"
    assert data["failure"]["stage"] == "compute"
    assert data["model"]["layers"] == 48
    assert len(data["devices"]) >= 4


def test_with_the_models_header_the_memory_model_says_what_fits(splitter: Splitter, tmp_path: Path) -> None:
    (tmp_path / "x.log").write_text(next(log.text for log in LOGS if log.id == "ollama-weights"))
    model = str(skeleton("qwen3-30b-a3b-q4_k_m"))
    said = splitter("check", model, "--log", str(tmp_path / "x.log"), "--json").json()["data"]
    assert said["remedy"]["fits"] is True
    assert "-ncmoe" in said["remedy"]["command"]["line"]


LINES = st.sampled_from(sorted({line for log in LOGS for line in log.text.splitlines()}))


@given(st.lists(LINES, max_size=25), st.text(max_size=40))
def test_any_lines_are_told(lines: list[str], noise: str) -> None:
    """Lines lost, doubled or out of order are what people paste."""
    told = read_log("\n".join([*lines, noise]))
    explained = explain_log(told)
    assert (explained is None) == (told.short is None)
    assert all(device.held_bytes() >= 0 for device in told.devices)
