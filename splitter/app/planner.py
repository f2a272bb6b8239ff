"""The planner of a rig and an engine, with all that was measured and learnt of them on this machine."""

from datetime import UTC, datetime
from functools import partial

from splitter.bench.records.place import records_path
from splitter.engine.command import EngineRef
from splitter.engine.engines import rules_of
from splitter.engine.learnt import learnt_overhead
from splitter.errors import SplitterError
from splitter.model.facts import ModelFacts
from splitter.plan.calibrated import Calibration
from splitter.plan.overhead import Overhead
from splitter.plan.plan import Plan, Speed
from splitter.plan.planner import Planner
from splitter.rig.device import Rig


def planner_for(rig: Rig, engine: EngineRef) -> Planner:
    """What plans on `rig` for `engine`. Files that cannot be read cost what they say, not the plan."""
    rules = rules_of(engine.kind, engine.version)
    return Planner(rig, rules, calibration_for(rig, engine), partial(_lessons, engine), partial(_speed, engine))


def calibration_for(rig: Rig, engine: EngineRef) -> Calibration | None:
    """What the cards were measured to reach, where that is known and fresh."""
    if not rig.devices or not records_path().is_file():
        return None
    from splitter.bench.calibrate.store import calibration_of
    from splitter.bench.records.records import Records

    try:
        with Records() as records:
            return calibration_of(records, rig, engine, driver_version(rig), datetime.now(UTC))
    except SplitterError:
        return None


def driver_version(rig: Rig) -> str | None:
    """The NVIDIA driver's version where `rig` is this machine's own; None for rig files and other makers."""
    if not any(device.uuid and "nvml" in device.sources.values() for device in rig.devices):
        return None
    from splitter.rig import nvml

    return nvml.driver_version()


def _lessons(engine: EngineRef, facts: ModelFacts, rig: Rig) -> Overhead:
    return learnt_overhead(facts, rig, engine)


def _speed(engine: EngineRef, plan: Plan) -> Speed | None:
    """The speed of the latest measurement of these settings on these cards."""
    if not records_path().is_file():
        return None
    from splitter.bench.records.measured import speed_measured
    from splitter.bench.records.records import Records

    try:
        with Records() as records:
            found = speed_measured(records, plan, engine)
    except SplitterError:
        return None
    return None if found is None else Speed(*found, "measured")
