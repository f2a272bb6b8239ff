"""What was measured before, brought into a plan: calibrated constants, and the speed of the very same command."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from splitter.engine.command import EngineRef
from splitter.errors import SplitterError
from splitter.plan.calibrated import Calibration, calibrated_constants, calibrated_rig, calibration_notes
from splitter.plan.plan import Plan, Speed
from splitter.plan.speed import Constants
from splitter.plan.speed_constants import TYPICAL
from splitter.rig.device import Rig


@dataclass(frozen=True, slots=True)
class Priced:
    """The rig and the constants to plan with; `calibration` None where nothing fresh is known."""

    rig: Rig
    constants: Constants = TYPICAL
    calibration: Calibration | None = None


def priced(rig: Rig, engine: EngineRef) -> Priced:
    """`rig` as measured, if it was; a database that cannot be read costs the calibration, not the plan."""
    from splitter.bench.records.records import Records, records_path

    if not rig.devices or not records_path().is_file():
        return Priced(rig)
    from splitter.bench.calibrate.store import calibration_of

    try:
        with Records() as records:
            found = calibration_of(records, rig, engine, driver_version(rig), datetime.now(UTC))
    except SplitterError:
        return Priced(rig)
    return Priced(rig) if found is None else Priced(calibrated_rig(rig, found), calibrated_constants(found), found)


def driver_version(rig: Rig) -> str | None:
    """The NVIDIA driver's version where `rig` is this machine's own; None for rig files and other makers."""
    if not any(device.uuid and "nvml" in device.sources.values() for device in rig.devices):
        return None
    from splitter.rig import nvml

    return nvml.driver_version()


def noted(plan: Plan, price: Priced) -> Plan:
    """`plan` saying which of its cards are calibrated and when."""
    if price.calibration is None:
        return plan
    return replace(plan, reasons=(*plan.reasons, *calibration_notes(plan, price.calibration)))


def measured(plan: Plan, engine: EngineRef) -> Plan:
    """`plan` with the speed of its latest measurement, where these settings were measured on these cards."""
    from splitter.bench.records.records import Records, records_path

    if not records_path().is_file():
        return plan
    from splitter.bench.tune.record import speed_measured

    try:
        with Records() as records:
            found = speed_measured(records, plan, engine)
    except SplitterError:
        return plan
    return plan if found is None else replace(plan, speed=Speed(*found, "measured"))
