"""Counting what an engine works: log lines of every wording, slots of every shape, and their races."""

import pytest

from splitter.engine.http import Slots, read_perf, read_slots
from splitter.engine.koboldcpp.engine import KOBOLDCPP
from splitter.engine.log.timings import Timing, timings
from splitter.run.reading import rate_now
from splitter.run.tally import Tally, after_line, after_restart, after_slots

PROMPT = (
    "0.12 I slot print_timing: id  3 | task 7 | prompt eval time =  2.00 ms /  4 tokens ( 0.50 ms per token, 2000 t/s)"
)
ANSWER = "0.12 I slot print_timing: id  3 | task 7 |        eval time =  500.00 ms /    20 tokens (25 ms per token)"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (PROMPT, (Timing(True, 4, 0.002, 7),)),
        (ANSWER, (Timing(False, 20, 0.5, 7),)),
        ("prompt eval time     =     100.00 ms /    12 tokens (    8.33 ms", (Timing(True, 12, 0.1),)),
        ("generation eval time =    1500.00 ms /    30 runs   (", (Timing(False, 30, 1.5),)),
        ("llama_perf_context_print:        eval time =    1.00 ms /     3 runs   (", ()),
        ("common_perf_print: prompt eval time =    1.00 ms /     3 tokens (", ()),
        ("slot print_timing: id  3 | task 7 |       total time =    502.00 ms /    24 tokens", ()),
        (
            "[12:00:01] CtxLimit:35/4096, Init:0.00s, Processed:8 in 0.10s (80.00T/s), Generated:20/24 in 0.50s (40.0)",
            (Timing(True, 8, 0.1), Timing(False, 20, 0.5)),
        ),
        ("CtxLimit:35/4096, Amt:20/24, Init:0s, Process:0.10s (8ms/T), Generate:0.50s", (Timing(False, 20, 0.5),)),
        ("CtxLimit: 35/4096, Process:0.10s (8.0ms/T = 9T/s), Generate:0.50s (25.0ms/T = 40T/s)", ()),
        ("a prompt that says eval time = and nothing more", ()),
        (
            "BatchRequest:1, Prompt:2, Generated:64/64 in 0.44s",
            (Timing(True, 2, None, 1), Timing(False, 64, 0.44, 1)),
        ),
        (
            "[1:2:3] BatchRequest:12, Prompt:8 in 0.10s (80.0T/s), Generated:64/70 in 0.44s (145.5T/s)",
            (Timing(True, 8, 0.1, 12), Timing(False, 64, 0.44, 12)),
        ),
        ("BatchRequest:1 is waiting", ()),
    ],
)  # fmt: skip
def test_the_lines_of_every_engine(line: str, told: tuple[Timing, ...]) -> None:
    assert timings(line) == told


def test_a_finished_request() -> None:
    tally = after_line(after_line(Tally(), PROMPT), ANSWER)
    assert (tally.requests, tally.generated_tokens, tally.prompt_tokens) == (1, 20, 4)
    assert (tally.last_generation_tokens_per_s, tally.last_prompt_tokens_per_s) == (40, 2000)
    assert (tally.generation_tokens_per_s(), tally.prompt_tokens_per_s()) == (40, 2000)


def test_koboldcpps_batched_requests_count_and_their_prompts_have_no_speed() -> None:
    tally = Tally()
    for number in (1, 2):
        tally = after_line(tally, f"BatchRequest:{number}, Prompt:9, Generated:64/64 in 0.50s")
    assert (tally.requests, tally.generated_tokens, tally.prompt_tokens) == (2, 128, 18)
    assert (tally.generation_tokens_per_s(), tally.prompt_tokens_per_s()) == (128, None)


def test_tokens_count_as_they_come_and_once() -> None:
    tally = after_slots(Tally(), {7: 5, 8: 2})
    assert tally.generated_tokens == 7
    tally = after_slots(tally, {7: 12, 8: 2})
    assert tally.generated_tokens == 14
    tally = after_line(tally, ANSWER)
    assert (tally.generated_tokens, tally.finished_tokens) == (22, 20)


def test_an_answer_of_slots_that_is_older_than_the_log_adds_nothing() -> None:
    tally = after_slots(after_line(Tally(), ANSWER), {7: 19})
    assert tally.generated_tokens == 20
    assert after_slots(after_slots(Tally(), {7: 9}), {7: 8}).generated_tokens == 9


def test_a_cancelled_request_keeps_what_it_generated() -> None:
    tally = after_slots(after_slots(Tally(), {7: 9}), {})
    assert (tally.generated_tokens, tally.requests) == (9, 0)


def test_older_builds_name_the_task_on_the_line_before() -> None:
    tally = after_slots(Tally(), {7: 12})
    tally = after_line(tally, "slot print_timing: id  0 | task 7 | ")
    tally = after_line(tally, "       eval time =     500.00 ms /    20 tokens")
    assert tally.generated_tokens == 20


def test_a_restarted_engine_counts_its_tasks_anew() -> None:
    tally = after_restart(after_line(Tally(), ANSWER))
    assert after_slots(tally, {7: 3}).generated_tokens == 23


def test_many_cancelled_tasks_do_not_pile_up() -> None:
    tally = Tally()
    for task in range(5000):
        tally = after_slots(tally, {task: 1})
    assert tally.generated_tokens == 5000
    assert len(tally.counted) <= 64


def test_requests_that_measured_nothing_leave_the_speed() -> None:
    tally = after_line(Tally(), ANSWER)
    again = after_line(tally, ANSWER.replace("500.00 ms /    20", "  0.00 ms /     1"))
    assert again.last_generation_tokens_per_s == 40
    assert Tally().generation_tokens_per_s() is None


def test_slots_of_two_shapes() -> None:
    new = {"id": 0, "is_processing": True, "id_task": 4, "next_token": [{"n_decoded": 6}]}
    old = {"id": 0, "state": 1, "id_task": 4, "next_token": {"n_decoded": 6}}
    idle = {"id": 1, "is_processing": False}
    assert read_slots([new, idle]) == read_slots([old, {"state": 0, "id_task": -1}]) == Slots(2, 1, {4: 6})
    assert read_slots([]) == Slots(0, 0, {})
    assert read_slots([{"is_processing": True, "id_task": 1, "next_token": []}]) == Slots(1, 1, {1: 0})


@pytest.mark.parametrize("answer", [None, {"error": {"code": 501}}, "no", [1, 2]])
def test_slots_that_are_none(answer: object) -> None:
    assert read_slots(answer) is None


def test_koboldcpp_has_one() -> None:
    assert read_perf({"idle": 1, "queue": 0}) == Slots(1, 0, None, 0)
    assert read_perf({"idle": 0, "queue": 2}) == Slots(1, 1, None, 2)
    assert read_perf({"result": "no"}) is None


@pytest.mark.parametrize(
    ("argv", "total"),
    [((), 1), (("koboldcpp", "--parallelrequests", "4"), 4), (("koboldcpp", "--parallelrequests"), 1)],
)
def test_koboldcpp_has_as_many_slots_as_it_was_told(argv: tuple[str, ...], total: int) -> None:
    """Its page does not tell; at least one of them is busy when it says so."""
    assert KOBOLDCPP.slots({"idle": 0, "queue": 0}, argv) == Slots(total, 1, None, 0)


def test_the_rate_is_that_of_the_last_seconds() -> None:
    assert rate_now([(0, 5)]) is None
    assert rate_now([(0, 0), (1, 40)]) == 40
    assert rate_now([(float(s), 10 * s) for s in range(20)]) == 10
    assert rate_now([(0, 0), (100, 1000)]) == 10
    assert rate_now([(1, 5), (1, 5)]) is None
