"""Statistics, prompts, samples and the reading of streams."""

import statistics
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitter.bench.dialects import error_of, event_of, kobold_piece, kobold_timings, llama_piece, openai_piece
from splitter.bench.points import Shape, point
from splitter.bench.prompts import numbers, prompt_text
from splitter.bench.result import Arrivals, BenchResult, RunSample, Timings, acceptance_text, sample
from splitter.bench.stats import Spread, spread


def test_spread_by_hand() -> None:
    assert spread([1, 2, 3, 4, 100]) == Spread(median=3, minimum=1, maximum=100, mad=1, count=5)
    assert spread([5]) == Spread(5, 5, 5, 0, 1)
    assert spread([]) is None


@given(st.lists(st.floats(0.001, 1e6), min_size=1))
def test_spread_laws(values: list[float]) -> None:
    found = spread(values)
    assert found is not None
    assert found.minimum <= found.median <= found.maximum
    assert found.median == statistics.median(values)
    assert 0 <= found.mad <= found.maximum - found.minimum
    assert found.relative == found.mad / found.median


def test_prompts_repeat_with_the_seed_and_differ_from_the_first_word() -> None:
    prompts = [prompt_text(50, seed, repetition) for seed in range(3) for repetition in range(20)]
    assert prompts == [prompt_text(50, seed, repetition) for seed in range(3) for repetition in range(20)]
    assert len({prompt.split()[0] for prompt in prompts}) == len(prompts)
    assert {len(prompt.split()) for prompt in prompts} == {50}
    assert len(prompt_text(1, 0, 0).split()) == 1


def test_numbers_use_their_range() -> None:
    drawn = list(islice(numbers(0, 0), 4000))
    assert 0 <= min(drawn) < 100
    assert 65436 < max(drawn) < 65536


def test_the_engines_times_win_over_the_clock() -> None:
    run = sample(Timings(100, 0.5, 10, 2.0), Arrivals((0.6, 1.0, 2.6)), 2.7)
    assert run.timed_by == "engine"
    assert (run.prompt_tokens_per_s, run.generation_tokens_per_s) == (200, 5)
    assert (run.first_token_s, run.total_s) == (0.6, 2.7)


def test_by_the_clock_the_first_token_ends_the_prompt() -> None:
    run = sample(Timings(prompt_tokens=60, generated_tokens=5), Arrivals((0.6, 1.0, 2.6)), 2.7)
    assert run.timed_by == "clock"
    assert run.prompt_tokens_per_s == pytest.approx(100)
    assert run.generation_tokens_per_s == pytest.approx(4 / 2.0)


def test_what_is_unknown_stays_unknown() -> None:
    run = sample(Timings(), Arrivals((0.6,)), 0.7)
    assert run.generated_tokens == 1
    assert run.prompt_tokens_per_s is None
    assert run.generation_tokens_per_s is None
    result = BenchResult("http://x", "openai", "m", 8, 8, (run,))
    assert result.prompt_speed is None
    assert result.generation_speed is None
    assert result.first_token == Spread(0.6, 0.6, 0.6, 0, 1)


def test_medians_over_runs() -> None:
    runs = tuple(RunSample(100, 10, 0.5, seconds, 0.5, 3, "engine", 10) for seconds in (1.0, 2.0, 5.0))
    result = BenchResult("http://x", "llama-server", "m", 100, 10, runs)
    assert result.generation_speed == Spread(5, 2, 10, 3, 3)
    assert result.prompt_speed == Spread(200, 200, 200, 0, 3)


def test_lines_of_a_stream() -> None:
    assert event_of(b'data: {"a": 1}\r\n') == {"a": 1}
    assert event_of(b"data: [DONE]\n") == {}
    assert event_of(b'error: {"error": {"message": "no"}}\n') == {"error": {"message": "no"}}
    for other in (b"\n", b": keep-alive\n", b"event: message\n", b"data: {broken\n", b"data: 7\n"):
        assert event_of(other) is None


def test_where_only_slow_answers_can_be_timed_no_speed_is_told() -> None:
    """koboldcpp's short answers come in one piece: a mean over the others would be that of the slow ones."""
    fast = sample(Timings(32, generated_tokens=32), Arrivals((0.36,), True, 32), 0.37)
    slow = sample(Timings(32, generated_tokens=32), Arrivals((0.9, 2.0), True, 2), 2.1)
    assert (fast.generation_tokens_per_s, fast.prompt_tokens_per_s) == (None, None)
    assert slow.generation_tokens_per_s == pytest.approx(30 / 1.1)
    both = point(Shape(32, 32), [(fast,), (slow,)], "repetitions")
    assert both.generation_tokens_per_s is both.request_generation_tokens_per_s is both.prompt_tokens_per_s is None
    assert any("not measurable" in warning for warning in both.warnings)
    alone = point(Shape(32, 32), [(slow,)], "repetitions")
    assert alone.generation_tokens_per_s
    assert alone.prompt_tokens_per_s


def test_errors_in_answers() -> None:
    assert error_of({"error": {"message": "too long", "code": 400}}) == "too long"
    assert error_of({"error": "plain"}) == "plain"
    assert error_of({"detail": {"msg": "Server is busy", "type": "service_unavailable"}}) == "Server is busy"
    assert error_of({"content": "fine"}) is None


def test_pieces_of_the_three_dialects() -> None:
    assert llama_piece({"content": "a", "stop": False}).token
    assert not llama_piece({"prompt_progress": {"total": 9}, "stop": False}).token
    last = llama_piece({"stop": True, "timings": {"prompt_n": 1, "prompt_ms": 2, "predicted_n": 3, "predicted_ms": 4}})
    assert last.last
    assert last.timings == Timings(1, 0.002, 3, 0.004, first_token_free=True)
    drafted = {"prompt_n": 1, "prompt_ms": 2, "predicted_n": 3, "predicted_ms": 4, "draft_n": 6, "draft_n_accepted": 2}
    timings = llama_piece({"stop": True, "timings": drafted}).timings
    assert timings == Timings(1, 0.002, 3, 0.004, first_token_free=True, drafted_tokens=6, accepted_tokens=2)
    run = sample(timings, Arrivals((0.1, 0.2)), 0.3)
    assert acceptance_text((run, run)) == "33 % of 12 drafted tokens were accepted"
    assert acceptance_text((sample(Timings(), Arrivals((0.1, 0.2)), 0.3),)) == ""
    assert kobold_piece({"token": "a", "finish_reason": "null"}).done is False
    assert kobold_piece({"token": "", "finish_reason": "stop"}).last
    assert openai_piece({"choices": [{"text": "a", "finish_reason": None}]}).token
    assert openai_piece({"choices": [{"text": "", "finish_reason": "stop"}]}).done
    assert openai_piece({}).last


def test_old_koboldcpp_tells_milliseconds_per_token() -> None:
    perf = {"last_process": 1.0, "last_eval": 2.0, "last_token_count": 7}
    assert kobold_timings(perf) == Timings(generated_tokens=7)
    assert kobold_timings(perf, 50) == Timings(50, 0.05, 7, 0.014)
    assert kobold_timings({**perf, "last_input_count": 40}, 50) == Timings(40, 0.04, 7, 0.014)
    assert kobold_timings(None) is None
    assert kobold_timings({"uptime": 3}) is None
