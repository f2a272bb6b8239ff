"""Depths, concurrencies, budget and noise over real HTTP, against servers that are well and servers that are not."""

import sys
from pathlib import Path
from typing import Any

import pytest

from splitter.bench.client import identify
from splitter.bench.measure import Sweep, measure_points
from splitter.bench.stopping import Stopping
from splitter.engine.command import EngineCommand, EngineRef, Server
from splitter.errors import EngineError, UsageError
from splitter.run.endpoint import any_free_port
from splitter.run.supervisor import launch
from tests.bench.fake_server import (
    KOBOLD_PAGES,
    KOBOLD_STREAM,
    LLAMA_PAGES,
    LLAMA_STREAM,
    OPENAI_PAGES,
    OPENAI_STREAM,
    Event,
    serving,
)

TINY = Path(__file__).parents[2] / "examples" / "tiny.gguf"
TWO = Stopping(repetitions=2, budget_s=None)


def test_the_depth_is_read_once_and_the_measured_prompt_is_new_each_time() -> None:
    with serving(LLAMA_PAGES, LLAMA_STREAM) as server:
        target = identify(server.url, None, None, 5)
        (found,) = measure_points(target, Sweep(32, 4, depths=(100,), stopping=TWO))
        asked = [body for path, body in server.requests if path == "/completion"]
    filled, *measured = asked
    assert (filled["n_predict"], filled["cache_prompt"], len(filled["prompt"])) == (0, True, 100)
    assert [len(body["prompt"]) for body in measured] == [132] * 3
    assert all(body["prompt"][:100] == filled["prompt"] for body in measured)
    assert len({tuple(body["prompt"][100:]) for body in measured}) == 3
    assert {(body["id_slot"], body["cache_prompt"]) for body in asked} == {(0, True)}
    assert (found.depth, found.depth_cached, found.repetitions, found.ended_by) == (100, True, 2, "repetitions")


def test_elsewhere_the_depth_is_a_part_of_every_prompt() -> None:
    with serving(KOBOLD_PAGES, KOBOLD_STREAM) as server:
        target = identify(server.url, None, None, 5)
        (found,) = measure_points(target, Sweep(32, 4, depths=(100,), stopping=TWO))
        sizes = [len(body["prompt"].split()) for path, body in server.requests if "generate" in path]
    assert sizes[0] == 132
    assert len(found.samples) == 2


def test_requests_at_once_overlap_and_each_has_its_slot() -> None:
    pages = {**LLAMA_PAGES, "/props": {**LLAMA_PAGES["/props"], "total_slots": 3}}
    with serving(pages, LLAMA_STREAM, gap_s=0.05) as server:
        target = identify(server.url, None, None, 5)
        (found,) = measure_points(target, Sweep(32, 4, depths=(10,), concurrencies=(3,), stopping=TWO))
        asked = [body for path, body in server.requests if path == "/completion"]
    assert len(found.samples) == 6
    first = found.samples[:3]
    assert max(run.sent_s for run in first) < min(run.sent_s + run.total_s for run in first)
    assert sorted({body["id_slot"] for body in asked}) == [0, 1, 2]
    assert found.request_generation_tokens_per_s is not None
    assert found.inter_token_s is not None
    assert found.inter_token_s.p50 > 0.04


def test_more_requests_than_slots_are_said() -> None:
    pages = {**LLAMA_PAGES, "/props": {**LLAMA_PAGES["/props"], "total_slots": 1}}
    with serving(pages, LLAMA_STREAM) as server:
        (found,) = measure_points(identify(server.url, None, None, 5), Sweep(32, 4, concurrencies=(2,), stopping=TWO))
    assert "the server has 1 slots" in found.warnings[0]


def test_a_steady_server_ends_by_its_spread() -> None:
    with serving(LLAMA_PAGES, LLAMA_STREAM) as server:
        (found,) = measure_points(identify(server.url, None, None, 5), Sweep(32, 4))
    assert (found.ended_by, found.repetitions, found.half_width, found.warnings) == ("spread", 3, 0, ())


def test_a_wobbling_server_ends_by_the_budget_and_its_spread_is_told() -> None:
    with serving(OPENAI_PAGES, OPENAI_STREAM, gap_s=0.01, wobble_s=0.02) as server:
        target = identify(server.url, None, None, 5)
        (found,) = measure_points(target, Sweep(32, 4, stopping=Stopping(budget_s=1)))
    assert found.ended_by == "budget"
    assert found.generation_tokens_per_s is not None
    assert found.generation_tokens_per_s.maximum > 1.5 * found.generation_tokens_per_s.minimum
    assert any("another program is using the machine" in warning for warning in found.warnings)


def test_no_budget_is_too_small_for_one_repetition() -> None:
    with serving(OPENAI_PAGES, OPENAI_STREAM, gap_s=0.02) as server:
        target = identify(server.url, None, None, 5)
        points = measure_points(target, Sweep(32, 4, concurrencies=(1, 2), stopping=Stopping(budget_s=0.01)))
    assert [(found.repetitions, found.ended_by) for found in points] == [(1, "budget")] * 2


@pytest.mark.parametrize(
    ("stream", "behaviour", "says"),
    [
        (LLAMA_STREAM, {"dies_after": 2}, "broke off in the middle"),
        (LLAMA_STREAM, {"gap_s": 1}, "sent nothing for 0.3 s"),
        (["data: {broken", "data: 7", "<html>"], {}, "broke off in the middle"),
        ([{"content": 5, "stop": False}, {"stop": True, "timings": "soon"}], {}, None),
        ([{"content": "a", "stop": False}, {"error": {"message": "no memory"}}], {}, "broke off: no memory"),
    ],
)
def test_servers_that_misbehave(stream: list[Event], behaviour: dict[str, Any], says: str | None) -> None:
    with serving(LLAMA_PAGES, stream, **behaviour) as server:
        target = identify(server.url, None, None, 0.3 if behaviour.get("gap_s") else 10)
        sweep = Sweep(32, 4, concurrencies=(2,), stopping=TWO)
        if says is None:
            (found,) = measure_points(target, sweep)
            assert {run.timed_by for run in found.samples} == {"clock"}
            return
        with pytest.raises(EngineError, match=says) as caught:
            measure_points(target, sweep)
        assert caught.value.hint


def test_a_server_that_starts_to_refuse() -> None:
    with serving(LLAMA_PAGES, LLAMA_STREAM) as server:
        target = identify(server.url, None, None, 5)
        server.behaviour["status"] = 500
        with pytest.raises(EngineError, match="answered 500: no reason given"):
            measure_points(target, Sweep(32, 4))


@pytest.mark.parametrize(
    ("sweep", "says"),
    [
        (Sweep(32, 4, depths=(3000,)), r"3000 \+ 32 \+ 4 tokens do not fit"),
        (Sweep(32, 4, depths=(-1,)), "a depth is 0 or more"),
        (Sweep(32, 4, concurrencies=(0,)), "a concurrency 1 or more"),
        (Sweep(0, 4), "a benchmark needs"),
    ],
)
def test_what_cannot_be_measured(sweep: Sweep, says: str) -> None:
    with serving(LLAMA_PAGES, LLAMA_STREAM) as server, pytest.raises(UsageError, match=says):
        measure_points(identify(server.url, None, None, 5), sweep)


def test_the_embedded_engine_at_depths_and_concurrencies() -> None:
    pytest.importorskip("xllamacpp")
    port = any_free_port()
    flags = ("-m", str(TINY), "-c", "1024", "-np", "2", "--port", str(port), "--fit", "off", "--device", "none")
    argv = (sys.executable, "-m", "splitter.engine.embedded.server", *flags)
    with launch(EngineCommand(EngineRef("embedded"), argv, {}, Server(port=port))) as instance:
        target = identify(instance.wait_ready().url, None, None, 60)
        points = measure_points(target, Sweep(16, 8, (0, 100), (1, 2), TWO))
    assert [(p.depth, p.concurrency, p.depth_cached) for p in points] == [
        (0, 1, None), (0, 2, None), (100, 1, True), (100, 2, True)
    ]  # fmt: skip
    for point in points:
        assert len(point.samples) == 2 * point.concurrency
        assert {run.generated_tokens for run in point.samples} == {8}
        assert point.inter_token_s is not None
        assert point.inter_token_s.p50 <= point.inter_token_s.p95 <= point.inter_token_s.p99
