"""Measuring over real HTTP: three kinds of servers, every way they fail, and the embedded engine for real."""

import errno
import sys
from pathlib import Path
from typing import Any

import pytest

from splitter.bench.client import clear_errors, identify
from splitter.bench.measure import Sweep, measure, measure_points
from splitter.bench.stopping import Stopping
from splitter.engine.command import EngineCommand, EngineRef, Server
from splitter.errors import EngineError, SplitterError, UsageError
from splitter.run.endpoint import any_free_port
from splitter.run.supervisor import launch
from tests.bench.fake_server import (
    KOBOLD_PAGES,
    KOBOLD_STREAM,
    LLAMA_PAGES,
    LLAMA_STREAM,
    LLAMA_TIMINGS,
    OPENAI_PAGES,
    OPENAI_STREAM,
    Event,
    serving,
)

TINY = Path(__file__).parents[2] / "examples" / "tiny.gguf"


def test_llama_server() -> None:
    steps: list[tuple[int, int]] = []
    with serving(LLAMA_PAGES, LLAMA_STREAM) as server:
        result = measure(
            server.url, n_prompt=32, n_generate=4, repetitions=3, on_progress=lambda *step: steps.append(step)
        )
        asked = [body for path, body in server.requests if path == "/completion"]
    assert (result.engine, result.model, len(result.runs)) == ("llama-server", "/m/tiny.gguf", 3)
    assert result.prompt_speed is not None
    assert result.prompt_speed.median == 2000
    assert result.generation_speed is not None
    assert result.generation_speed.median == 75  # 3 decode steps in 40 ms: the prompt gave the first token
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [len(body["prompt"]) for body in asked] == [32] * 4
    assert len({tuple(body["prompt"]) for body in asked}) == 4
    assert all(body["n_predict"] == 4 and body["cache_prompt"] is False and body["stream"] for body in asked)


def test_koboldcpp_is_timed_by_its_perf_page_and_not_taken_for_llama_server() -> None:
    with serving(KOBOLD_PAGES, KOBOLD_STREAM) as server:
        result = measure(server.url, n_prompt=32, n_generate=4, repetitions=1)
        sizes = [len(body["prompt"].split()) for _, body in server.requests]
    assert (result.engine, result.model) == ("koboldcpp", "koboldcpp/tiny")
    run = result.runs[0]
    assert (run.prompt_tokens, run.prompt_tokens_per_s, run.generation_tokens_per_s) == (40, 2000, 100)
    assert run.timed_by == "engine"
    assert sizes == [32, 26]  # 32 words were 40 tokens: the measured prompt has 32 * 32 / 40 words


def kobold_stream(*texts: str) -> list[Event]:
    """koboldcpp's events, each with the words of one of `texts`."""
    ends = [*("null",) * (len(texts) - 1), '"length"']
    return [
        f'event: message\ndata: {{"token": "{text}", "finish_reason": {end}}}'
        for text, end in zip(texts, ends, strict=True)
    ]


def test_koboldcpps_events_hold_several_tokens_which_are_counted() -> None:
    """With --parallelrequests it never renews its page of times."""
    texts = (" a b c", *(" d e",) * 20, " f")
    with serving(KOBOLD_PAGES, kobold_stream(*texts), gap_s=0.03, stale=True) as server:
        run = measure(server.url, n_prompt=32, n_generate=44, repetitions=1).runs[0]
    assert (run.timed_by, run.generated_tokens, run.timed_tokens, run.gaps_s) == ("clock", 44, 41, ())
    assert run.generation_s >= 0.6
    assert run.prompt_tokens_per_s is None, "its first event comes after 0.35 s at the soonest, whatever the prompt"


def test_koboldcpps_short_answers_are_not_measurable() -> None:
    """They come in one or two pieces: the time between these says nothing."""
    with serving(KOBOLD_PAGES, kobold_stream(" a b", " c d"), gap_s=0.02, stale=True) as server:
        run = measure(server.url, n_prompt=32, n_generate=4, repetitions=1).runs[0]
        (found,) = measure_points(identify(server.url, None, None, 5), Sweep(32, 4, stopping=Stopping(repetitions=1)))
    assert (run.generated_tokens, run.timed_tokens, run.generation_tokens_per_s) == (4, 0, None)
    assert found.generation_tokens_per_s is None
    assert any("not measurable" in warning for warning in found.warnings)


def test_openai_is_timed_by_the_clock() -> None:
    with serving(OPENAI_PAGES, OPENAI_STREAM, gap_s=0.02) as server:
        result = measure(f"{server.url}/v1/", n_prompt=64, n_generate=4, repetitions=2)
        assert {body["model"] for _, body in server.requests} == {"some-model"}
    assert result.engine == "openai"
    assert result.model == "some-model"
    for run in result.runs:
        assert (run.prompt_tokens, run.generated_tokens, run.timed_by) == (64, 4, "clock")
        assert run.generation_s >= 0.06
        assert run.first_token_s + run.generation_s <= run.total_s


def test_the_key_is_sent() -> None:
    with serving(LLAMA_PAGES, LLAMA_STREAM, key="secret") as server:
        assert measure(server.url, api_key="secret", n_prompt=4, n_generate=4, repetitions=1).runs
        with pytest.raises(EngineError, match="needs an API key") as caught:
            measure(server.url, n_prompt=4, n_generate=4)
    assert "secret" not in caught.value.message


def test_a_proxy_in_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with serving(LLAMA_PAGES, LLAMA_STREAM) as server:
        assert measure(server.url, n_prompt=4, n_generate=4, repetitions=1).runs


@pytest.mark.parametrize(
    ("stream", "says"),
    [
        (LLAMA_STREAM[:2], "broke off in the middle"),
        ([LLAMA_STREAM[0], {"error": {"message": "out of memory", "code": 500}}], "broke off: out of memory"),
        ([{"content": "", "stop": True, "timings": LLAMA_TIMINGS}], "returned no tokens"),
        (["hang"], "sent nothing for 0.3 s"),
    ],
)
def test_streams_that_fail(stream: list[Event], says: str) -> None:
    with serving(LLAMA_PAGES, stream) as server, pytest.raises(EngineError, match=says) as caught:
        measure(server.url, n_prompt=4, n_generate=4, timeout_s=0.3)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("status", "error", "says"),
    [
        (503, {"error": {"message": "Loading model", "code": 503}}, "is not ready: Loading model"),
        (500, None, "answered 500: no reason given"),
    ],
)
def test_statuses(status: int, error: Any, says: str) -> None:
    with serving({}, [], status=status, error=error) as server, pytest.raises(EngineError, match=says):
        measure(server.url, n_prompt=4, n_generate=4)


@pytest.mark.parametrize(
    ("url", "kind", "says"),
    [
        ("127.0.0.1:8080", UsageError, "not a server's URL"),
        ("ftp://127.0.0.1", UsageError, "not a server's URL"),
        ("http://127.0.0.1:99999", UsageError, "not a server's URL"),
        ("http://no-such-host.invalid", EngineError, "cannot be reached"),
    ],
)
def test_urls_that_lead_nowhere(url: str, kind: type[SplitterError], says: str) -> None:
    with pytest.raises(kind, match=says):
        measure(url)


def test_nothing_listens() -> None:
    with pytest.raises(EngineError, match="nothing listens at"):
        measure(f"http://127.0.0.1:{any_free_port()}")


def test_a_server_of_something_else() -> None:
    with serving({}, []) as server, pytest.raises(EngineError, match="not a supported model server"):
        measure(server.url)


def test_more_than_the_context_is_refused_before_measuring() -> None:
    with (
        serving(LLAMA_PAGES, LLAMA_STREAM) as server,
        pytest.raises(UsageError, match=r"2000 \+ 100 tokens do not fit"),
    ):
        measure(server.url, n_prompt=2000, n_generate=100)


@pytest.mark.parametrize(("n_prompt", "n_generate", "repetitions"), [(0, 8, 1), (8, 1, 1), (8, 8, 0)])
def test_values_that_measure_nothing(n_prompt: int, n_generate: int, repetitions: int) -> None:
    with pytest.raises(UsageError, match="a benchmark needs"):
        measure("http://127.0.0.1:1", n_prompt=n_prompt, n_generate=n_generate, repetitions=repetitions)


def test_the_embedded_engine_for_real() -> None:
    pytest.importorskip("xllamacpp")
    port = any_free_port()
    flags = ("-m", str(TINY), "-c", "512", "--port", str(port), "--fit", "off", "--device", "none")
    argv = (sys.executable, "-m", "splitter.engine.embedded.server", *flags)
    with launch(EngineCommand(EngineRef("embedded"), argv, {}, Server(port=port))) as instance:
        result = measure(instance.wait_ready().url, engine="embedded", n_prompt=100, n_generate=24, repetitions=3)
    assert instance.exit_code == 0
    assert result.engine == "embedded"
    assert [(run.prompt_tokens, run.generated_tokens) for run in result.runs] == [(100, 24)] * 3
    for run in result.runs:
        assert run.timed_by == "engine"
        assert 0 < run.first_token_s < run.total_s


def test_a_time_out_of_the_system_is_not_said_to_be_ours() -> None:
    """A lost route ends a connection after the system's own time, whatever ours is (seen under wine: 32 s, not 600)."""
    with serving(LLAMA_PAGES, LLAMA_STREAM) as server:
        target = identify(server.url, None, None, 600)
    with pytest.raises(EngineError, match="cannot be reached: Connection timed out"), clear_errors(target):
        raise TimeoutError(errno.ETIMEDOUT, "Connection timed out")
