"""The pure rules of measuring: when to stop, what differs, what was noise, joules, alternatives, llama-bench."""

import math
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from splitter.bench.alternatives import alternatives, without
from splitter.bench.alternatives import given as given_command
from splitter.bench.energy import energy_of
from splitter.bench.llama_bench import llama_bench_points
from splitter.bench.points import Shape, generation_speed, joined, point, prompt_speed
from splitter.bench.records.record import Point
from splitter.bench.result import RunSample
from splitter.bench.stats import percentiles
from splitter.bench.stopping import Stopping, ended, half_width, t_95
from splitter.bench.verdict import compare_records, decide, paired, welch
from splitter.engine.command import EngineCommand, EngineRef, Server
from splitter.engine.reading.command import read_command
from splitter.errors import EngineError
from splitter.rig.card_reading import CardReading, Readings
from tests.bench.make_record import make_point, make_record


def run(speed: float, sent_s: float = 0.0, prompt_tokens: int | None = 100, first_s: float = 1.0) -> RunSample:
    """10 tokens after a prompt of 100."""
    gaps = (1 / speed,) * 9
    return RunSample(prompt_tokens, 10, first_s, 9 / speed, first_s, first_s + 9 / speed, "engine", 9, gaps, sent_s)


def test_percentiles_by_hand() -> None:
    found = percentiles([float(n) for n in range(101)])
    assert found is not None
    assert (found.p50, found.p95, found.p99, found.count) == (50, 95, 99, 101)
    assert percentiles([]) is None


def test_students_t_meets_its_table() -> None:
    for degrees, exact in ((1, 12.706), (4, 2.776), (30, 2.042), (40, 2.021), (60, 2.000), (120, 1.980), (1e9, 1.960)):
        assert t_95(degrees) == pytest.approx(exact, abs=0.001)
    assert 2.776 > t_95(4.5) > 2.571


def test_half_width_by_hand() -> None:
    assert half_width([9.0, 10.0, 11.0]) == pytest.approx(4.303 / math.sqrt(3) / 10)
    assert half_width([5.0]) is None


@pytest.mark.parametrize(
    ("values", "elapsed_s", "rule", "by"),
    [
        ([10, 10], 1, Stopping(), None),
        ([10, 10, 10], 1, Stopping(), "spread"),
        ([10, 11, 12], 1, Stopping(), None),
        ([10, 11, 12], 59.5, Stopping(), "budget"),
        ([10], 59.5, Stopping(), "budget"),
        ([10, 10, 10], 1, Stopping(repetitions=5), None),
        ([10, 30, 10, 50, 10], 1, Stopping(repetitions=5), "repetitions"),
        ([10, 30, 90], 1000, Stopping(budget_s=None), None),
        ([10, 30] * 25, 1, Stopping(budget_s=None), "repetitions"),
    ],
)
def test_when_to_stop(values: list[float], elapsed_s: float, rule: Stopping, by: str | None) -> None:
    assert ended([values], len(values), elapsed_s, 1.0, rule) == by


def test_one_noisy_series_is_enough_to_go_on() -> None:
    assert ended([[10, 10, 10], [5, 7, 9]], 3, 1, 1, Stopping()) is None


def test_requests_at_once_are_counted_together() -> None:
    both = (run(10), run(10, sent_s=0.0, first_s=2.0))
    assert prompt_speed(both) == pytest.approx(200 / 2.0)
    assert generation_speed(both) == pytest.approx(19 / (2.0 + 0.9 - 1.0))
    assert prompt_speed((run(10), run(10, prompt_tokens=None))) is None
    assert generation_speed((run(10),)) == pytest.approx(10)


def test_noise_is_said() -> None:
    quiet = point(Shape(100, 10), [(run(10),), (run(10.2),)], "spread")
    loud = point(Shape(100, 10), [(run(10),), (run(14),)], "budget")
    assert quiet.warnings == ()
    assert "another program is using the machine" in loud.warnings[0]
    assert "differ by 33 % (10.0 to 14.0 t/s)" in loud.warnings[0]


def test_a_depth_that_no_cache_held_is_said() -> None:
    cached = point(Shape(100, 10, depth=400), [(run(10),)], "spread")
    reread = point(Shape(100, 10, depth=400), [(run(10, prompt_tokens=500),)], "spread")
    assert (cached.depth_cached, cached.warnings) == (True, ())
    assert reread.depth_cached is False
    assert "were read again" in reread.warnings[0]


def test_points_of_several_launches_are_joined() -> None:
    parts = [point(Shape(100, 10), [(run(s),), (run(s + 0.1),)], "repetitions") for s in (10.0, 11.0, 12.0)]
    whole = joined(parts)
    assert (whole.launches, whole.repetitions, len(whole.samples)) == (3, 6, 6)
    assert whole.generation_tokens_per_s is not None
    assert whole.generation_tokens_per_s.maximum == pytest.approx(12.1)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(1.01, 1.2, "larger"), (0.5, 0.99, "smaller"), (0.98, 1.02, "same"), (0.9, 1.2, "not decided"),
     (1.001, 1.02, "same"), (None, None, "not decided")],
)  # fmt: skip
def test_verdicts(low: float | None, high: float | None, verdict: str) -> None:
    assert decide(low, high) == verdict


def test_few_samples_decide_nothing() -> None:
    found = welch([10, 10.1], [20, 20.1, 20.2])
    assert found is not None
    assert (found.low, found.verdict) == (None, "not decided")
    assert found.ratio == pytest.approx(0.5, rel=0.01)
    assert welch([], [1.0]) is None


def test_welch_is_taken_on_the_logarithms() -> None:
    found = welch([10, 11, 12], [20, 22, 25])
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    assert found.ratio == pytest.approx((10 * 11 * 12 / (20 * 22 * 25)) ** (1 / 3))
    assert found.low * found.high == pytest.approx(found.ratio**2)
    assert found.verdict == "smaller"


@pytest.mark.parametrize("test", [welch, paired])
def test_the_interval_holds_the_truth_19_times_of_20(test: object) -> None:
    draw = random.Random(7)
    hits = 0
    for _ in range(1000):
        ours = [1.1 * math.exp(draw.gauss(0, 0.05)) for _ in range(5)]
        theirs = [math.exp(draw.gauss(0, 0.05)) for _ in range(5)]
        found = test(ours, theirs)  # type: ignore[operator]
        hits += found.low <= 1.1 <= found.high
    assert 930 <= hits <= 975


@settings(deadline=None)
@given(st.lists(st.floats(0.1, 1000), min_size=3, max_size=8))
def test_a_measurement_does_not_differ_from_itself(values: list[float]) -> None:
    found = welch(values, values)
    assert found is not None
    assert found.ratio == pytest.approx(1)
    assert found.verdict in {"same", "not decided"}


def test_records_meet_at_their_common_points_and_one_compare_is_paired() -> None:
    ours, theirs = make_record(points=(make_point(), make_point(depth=512))), make_record(points=(make_point(),))
    (only,) = compare_records(ours, theirs)
    assert only.shape == Shape(512, 128)
    assert only.generation is not None
    assert only.generation.method == "welch"
    group = [replace(r, kind="compare", group="g") for r in (ours, theirs)]
    (only,) = compare_records(group[0], group[1])
    assert only.generation is not None
    assert only.generation.method == "paired"


def test_repetitions_of_one_launch_are_no_evidence_for_the_next() -> None:
    def launches(speeds: tuple[float, ...]) -> Point:
        return replace(make_point(tuple(s for speed in speeds for s in (speed, speed, speed))), launches=len(speeds))

    two = [replace(make_record(points=(launches(s),)), kind="compare", group="g") for s in ((10.0, 12.0), (10.5, 11.5))]
    (found,) = compare_records(two[0], two[1])
    assert found.generation is not None
    assert found.generation.verdict == "not decided"
    assert found.generation.low is None


def cards(**values: float | None) -> Readings:
    return Readings((CardReading("CUDA0", "a", **values), CardReading("CUDA1", "b", **values)))  # type: ignore[arg-type]


def test_energy_from_counters_then_from_power() -> None:
    counted = energy_of([(0.0, cards(energy_j=100, power_w=9)), (10.0, cards(energy_j=150, power_w=9))])
    assert counted is not None
    assert (counted.joules, counted.source, counted.per_token(50), counted.per_token(0)) == (100, "counter", 2, None)
    power = energy_of([(0.0, cards(power_w=10)), (2.0, cards(power_w=30)), (3.0, cards(power_w=30))])
    assert power is not None
    assert (power.joules, power.source) == (2 * (40 + 30), "power")
    reset = energy_of([(0.0, cards(energy_j=100)), (1.0, cards(energy_j=5))])
    assert reset is None
    assert energy_of([(0.0, Readings()), (1.0, Readings())]) is None


LLAMA = EngineCommand(
    EngineRef("llama-server", "/e/llama-server", "11434"),
    ("/e/llama-server", "-m", "m.gguf", "--fit", "off", "-c", "4096", "--device", "CUDA1,CUDA0", "-ngl", "30",
     "-sm", "layer", "-ts", "20,10", "-ub", "512", "-ot", "x=CPU", "--host", "127.0.0.1", "--port", "9"),
    {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}, Server(port=9), "m.gguf",
)  # fmt: skip


def test_llama_servers_alternatives() -> None:
    plan, fit, split = alternatives(LLAMA)
    assert plan.command is LLAMA
    common = ("/e/llama-server", "-m", "m.gguf", "-c", "4096", "-ub", "512", "--host", "127.0.0.1", "--port", "9")
    assert fit.command.argv == (*common, "--fit", "on")
    assert split.command.argv == without(LLAMA.argv, {"--device": 1, "-sm": 1, "-ts": 1})
    assert split.command.argv[7:13] == ("-ngl", "30", "-ub", "512", "-ot", "x=CPU")


def test_koboldcpps_alternatives() -> None:
    argv = (
        "koboldcpp",
        "--model",
        "m.gguf",
        "--gpulayers",
        "30",
        "--tensor_split",
        "20",
        "10",
        "--contextsize",
        "4096",
    )
    env = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": "1,0"}
    _, fit, split = alternatives(EngineCommand(EngineRef("koboldcpp"), argv, env))
    assert fit.command.argv == ("koboldcpp", "--model", "m.gguf", "--contextsize", "4096", "--gpulayers", "-1")
    assert split.command.argv == (*argv[:5], "--contextsize", "4096")
    assert fit.command.env == split.command.env == {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


def test_a_given_command_keeps_all_but_address_and_key() -> None:
    line = "CUDA_VISIBLE_DEVICES=1 llama-server -m m.gguf -ngl 99 --port 80 --host=0.0.0.0 --api-key secret -ts 1,2"
    found = given_command(read_command(line), LLAMA.engine, Server(port=9), {})
    argv = ("/e/llama-server", "-m", "m.gguf", "-ngl", "99", "-ts", "1,2", "--host", "127.0.0.1", "--port", "9")
    assert found.command.argv == argv
    assert found.command.env == {"CUDA_VISIBLE_DEVICES": "1"}


def test_llama_benchs_json() -> None:
    rows = [
        {"n_prompt": 64, "n_gen": 0, "n_depth": 0, "samples_ts": [100.0, 200.0]},
        {"n_prompt": 0, "n_gen": 8, "n_depth": 0, "samples_ts": [10.0, 20.0]},
    ]
    (found,) = llama_bench_points(rows, [Shape(64, 8)])
    assert found.prompt_tokens_per_s is not None
    assert found.prompt_tokens_per_s.median == 150
    assert [run.generation_tokens_per_s for run in found.samples] == [10, 20]
    answers: tuple[object, ...] = (
        None,
        {},
        [],
        [{"n_prompt": 64}],
        "text",
        [{**rows[0], "samples_ts": [0.0]}, rows[1]],
    )
    for wrong in answers:
        with pytest.raises(EngineError, match="something else than its JSON"):
            llama_bench_points(wrong, [Shape(64, 8)])
