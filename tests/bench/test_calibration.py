"""The linear fit, what is kept of it, and the plan that uses it: without engines."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from splitter.app.calibrating import fit_measured
from splitter.bench.calibrate.fit import Fitted, Run, fit, non_negative
from splitter.bench.calibrate.runs import launch_loads, loads
from splitter.bench.calibrate.store import (
    MAX_AGE_DAYS,
    all_calibrations,
    calibration_of,
    forget_calibrations,
    keep_calibration,
)
from splitter.bench.records.records import Records
from splitter.bench.tune.run import Measured
from splitter.bench.tune.trial import Outcome
from splitter.engine.command import EngineRef
from splitter.errors import EngineError
from splitter.plan.calibrated import (
    Calibration,
    CardConstants,
    CardWork,
    calibrated_constants,
    calibrated_rig,
    calibration_notes,
    card_work,
)
from splitter.plan.overhead import no_overhead
from splitter.plan.request import Request
from splitter.plan.solve import solve
from tests.plan.builders import card, model, plan, rig

NOW = datetime(2026, 11, 24, tzinfo=UTC)
ENGINE = EngineRef("llama-server", None, "11434")
FITTED = Fitted((("CUDA0", 80e9), ("CUDA1", 400e9)), (("CUDA0", 5e12),), 2e-4, 3e-5, 12e9, 0.01)


def seconds(work: CardWork, bandwidths: dict[str, float], host: float, hop_s: float, layer_s: float) -> float:
    reading = sum(size / bandwidths[name] for name, size in work.bytes_read)
    return reading + work.host_bytes / host + work.hops * hop_s + work.layers * layer_s


def eight_runs(a: float, b: float, host: float, hop_s: float) -> list[Run]:
    """As `calibrate` makes them: a model on each card, in pairs and in RAM, and a tiny one on each card."""
    size = 10**9
    works = [
        CardWork((("CUDA0", 4 * size),), 0, 0, 33),
        CardWork((("CUDA1", 4 * size),), 0, 0, 33),
        CardWork((("CUDA0", 2 * size), ("CUDA1", 2 * size)), 0, 1, 33),
        CardWork((("CUDA0", size), ("CUDA1", 3 * size)), 0, 1, 33),
        CardWork((("CUDA0", 3 * size),), size, 1, 33),
        CardWork((), 4 * size, 0, 33),
        CardWork((("CUDA0", 10**6),), 0, 0, 9),
        CardWork((("CUDA1", 10**6),), 0, 0, 9),
    ]
    made = {"CUDA0": a, "CUDA1": b}
    return [Run(work, seconds(work, made, host, hop_s, 3e-5), light=work.layers == 9) for work in works]


@settings(deadline=None, max_examples=25, phases=(Phase.explicit, Phase.generate))
@given(st.floats(50e9, 1500e9), st.floats(50e9, 1500e9), st.floats(5e9, 60e9))
def test_the_fit_finds_the_bandwidths_back(a: float, b: float, host: float) -> None:
    found = fit(eight_runs(a, b, host, 1e-4))
    assert dict(found.bandwidths) == pytest.approx({"CUDA0": a, "CUDA1": b}, rel=0.02)
    assert found.host_bandwidth == pytest.approx(host, rel=0.02)
    assert found.layer_s == pytest.approx(3e-5, rel=0.02)
    assert found.worst_error < 0.01


def test_one_run_far_off_does_not_carry_the_others_away() -> None:
    runs = eight_runs(100e9, 400e9, 20e9, 1e-4)
    runs += [Run(runs[0].work, runs[0].token_s), Run(runs[0].work, 3 * runs[0].token_s)]
    assert dict(fit(runs).bandwidths)["CUDA0"] == pytest.approx(100e9, rel=0.1)


def test_no_constant_is_below_zero() -> None:
    assert non_negative([[1.0, 1.0], [1.0, 0.0]], [1.0, 2.0]) == pytest.approx([1.5, 0.0])
    assert non_negative([[1.0, 0.0], [2.0, 0.0]], [1.0, 2.0]) == pytest.approx([1.0, 0.0])


def test_flops_come_from_cards_alone() -> None:
    alone = CardWork((("CUDA0", 10**9),), 0, 0, 9, flops=(("CUDA0", 2e9),))
    with_host = CardWork((("CUDA0", 10**9),), 5, 0, 9)
    assert fit([Run(alone, 0.01, 0.001), Run(with_host, 0.01, 0.001)]).flops == (("CUDA0", 2e12),)


def test_work_adds_up_to_what_the_model_reads() -> None:
    found = card_work(plan(model(8), rig(card(0, 60), card(1, 60)), context_size=256, ubatch_size=64))
    whole = card_work(plan(model(8), rig(card(0, 4000)), context_size=256, ubatch_size=64))
    assert sum(size for _, size in found.bytes_read) + found.host_bytes == sum(size for _, size in whole.bytes_read)
    assert (whole.hops, whole.layers, whole.host_bytes) == (0, 9, 0)


def test_loads_are_each_card_alone_pairs_and_all() -> None:
    facts, cards = model(8), rig(card(0, 400), card(1, 400), card(2, 60))

    def planned(fixed: object) -> object:
        request = Request(fixed={"context_size": 256, "ubatch_size": 64, **fixed}, margin_bytes=(0,))  # type: ignore[dict-item]
        return solve(facts, cards, request, overhead=no_overhead, details=False)

    found = loads(cards, 9, planned)  # type: ignore[arg-type]
    labels = [load.label for load in found]
    assert labels == ["CUDA0 alone", "CUDA1 alone", "mostly CUDA2", "CUDA0 and CUDA1", "CUDA1 and CUDA2"]
    assert all(load.plan.fits() for load in found)
    assert {load.plan.placement.layers[0] is None for load in found} == {False}


def test_ram_takes_part_only_where_the_cards_cannot_hold_the_model() -> None:
    facts, cards = model(8), rig(card(0, 30), card(1, 30))

    def planned(fixed: object) -> object:
        request = Request(fixed={"context_size": 256, "ubatch_size": 64, **fixed}, margin_bytes=(0,))  # type: ignore[dict-item]
        return solve(facts, cards, request, overhead=no_overhead, details=False)

    labels = [load.label for load in loads(cards, 9, planned)]  # type: ignore[arg-type]
    assert labels == ["CUDA0 and RAM", "CUDA1 and RAM", "the host alone"]


def test_a_tiny_model_tells_the_launches_but_no_cards_bandwidth() -> None:
    """Where a card's own load failed, a tiny model's bytes would make one up."""
    facts, cards = model(8), rig(card(0, 400), card(1, 400))

    def planned(fixed: object) -> object:
        request = Request(fixed={"context_size": 256, "ubatch_size": 64, **fixed}, margin_bytes=(0,))  # type: ignore[dict-item]
        return solve(facts, cards, request, overhead=no_overhead, details=False)

    light = launch_loads(cards, 9, planned)  # type: ignore[arg-type]
    assert [load.label for load in light] == ["a tiny model on CUDA0 alone", "a tiny model on CUDA1 alone"]
    assert [load.heavy for load in light] == [False, False]
    heavy = loads(cards, 9, planned)[:2]  # type: ignore[arg-type]
    outcomes = (Outcome((), (50.0,), (900.0,)), Outcome(failed="no room"), Outcome((), (800.0,)), Outcome((), (100.0,)))
    done = [(load, Measured(None, outcome)) for load, outcome in zip((*heavy, *light), outcomes, strict=True)]
    found = fit_measured(done)
    assert [name for name, _ in found.bandwidths] == ["CUDA0"]
    assert [name for name, _ in found.flops] == ["CUDA0"]
    with pytest.raises(EngineError, match="no load could be measured"):
        fit_measured(done[1:])


def test_kept_used_aged_and_forgotten(tmp_path: Path) -> None:
    cards = rig(card(0, 400, uuid="GPU-a"), card(1, 400))
    with Records(tmp_path / "bench.sqlite") as records:
        keep_calibration(records, cards, ENGINE, FITTED, driver="580", now=NOW)
        found = calibration_of(records, cards, ENGINE, "580", NOW + timedelta(days=MAX_AGE_DAYS - 1))
        assert found is not None
        assert found.cards["CUDA0"].bandwidth_bytes_per_s == 80e9
        assert found.cards["CUDA0"].fp16_flops == 5e12
        assert (found.hop_s, found.host_bandwidth_bytes_per_s) == (2e-4, 12e9)
        assert calibration_of(records, cards, ENGINE, "580", NOW + timedelta(days=MAX_AGE_DAYS)) is None
        assert calibration_of(records, cards, ENGINE, "590", NOW) is None
        assert calibration_of(records, cards, EngineRef("llama-server", None, "11435"), "580", NOW) is None
        assert calibration_of(records, rig(card(5, 111)), ENGINE, "580", NOW) is None
        moved = rig(card(3, 400, uuid="GPU-a"))
        assert calibration_of(records, moved, ENGINE, "580", NOW) is not None
        assert len(all_calibrations(records)) == 3
        forget_calibrations(records)
        assert all_calibrations(records) == ()


def test_a_plan_says_what_it_is_calibrated_by() -> None:
    cards = rig(card(0, 60, 100), card(1, 60, 400))
    calibration = Calibration({"CUDA1": CardConstants(200e9, None, "2026-11-24T10:00:00+00:00")})
    reached = calibrated_rig(cards, calibration)
    assert [device.bandwidth_bytes_per_s for device in reached.devices] == [100e9, 200e9]
    assert reached.devices[1].sources["bandwidth_bytes_per_s"] == "calibrated"
    request = Request(fixed={"context_size": 256, "ubatch_size": 64}, margin_bytes=(0,))
    found = solve(model(8), reached, request, constants=calibrated_constants(calibration), overhead=no_overhead)
    assert found.speed.basis == "calibrated"
    notes = calibration_notes(found, calibration)
    assert notes[0].startswith("the speed is calibrated: measured on CUDA1 on 2026-11-24")


def test_a_calibration_changes_which_card_is_used() -> None:
    cards = rig(card(0, 300, 300), card(1, 300, 290))
    slow = Calibration({"CUDA0": CardConstants(100e9), "CUDA1": CardConstants(280e9)})
    request = Request(fixed={"context_size": 256, "ubatch_size": 64, "split_mode": "layer"}, margin_bytes=(0,))
    before = solve(model(8), cards, request, overhead=no_overhead)
    constants = calibrated_constants(slow)
    after = solve(model(8), calibrated_rig(cards, slow), request, constants=constants, overhead=no_overhead)
    assert (before.settings.device_order, after.settings.device_order) == (("CUDA0",), ("CUDA1",))
