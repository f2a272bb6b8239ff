"""Calibrations in the database of measurements: one row per card and engine build, used while fresh."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from splitter.bench.records.records import Records
from splitter.engine.command import EngineRef
from splitter.plan.calibrated import DENSE, Calibration, CardConstants
from splitter.plan.speed_constants import TYPICAL
from splitter.rig.device import Rig, card_key

if TYPE_CHECKING:
    from splitter.bench.calibrate.fit import Fitted

MAX_AGE_DAYS = 90
HOST = "host of "


@dataclass(frozen=True, slots=True)
class Kept:
    """One row: `card` is a UUID, or name and size where the driver gives none; or the host with its links."""

    card: str
    engine: str
    version: str
    driver: str
    constants: Mapping[str, Any]
    created_at: str


def rig_key(rig: Rig) -> str:
    """What names the machine around the cards: the cards that share it."""
    return HOST + ", ".join(sorted(card_key(device) for device in rig.devices))


def keep_calibration(
    records: Records, rig: Rig, engine: EngineRef, fitted: "Fitted", *, driver: str | None, now: datetime
) -> None:
    """Keeps what was fitted, in place of what was known of the same cards and engine build."""
    devices = {device.id: device for device in rig.devices}
    flops = dict(fitted.flops)
    rows: list[tuple[str, dict[str, Any]]] = [
        (card_key(devices[name]), {"bandwidth_bytes_per_s": value, "fp16_flops": flops.get(name)})
        for name, value in fitted.bandwidths
    ]
    around = {"hop_s": fitted.hop_s, "layer_s": fitted.layer_s, "host_bandwidth_bytes_per_s": fitted.host_bandwidth}
    rows.append((rig_key(rig), around))
    with records.transaction() as connection:
        for card, constants in rows:
            values = (card, engine.kind, engine.version or "", driver or "", json.dumps(constants), now.isoformat())
            connection.execute("INSERT OR REPLACE INTO calibrations VALUES (?, ?, ?, ?, ?, ?)", values)


def all_calibrations(records: Records) -> tuple[Kept, ...]:
    """Every row, the newest first; damaged ones are left out."""
    rows = records.rows(
        "SELECT card, engine, version, driver, constants, created_at FROM calibrations ORDER BY created_at DESC, card"
    )
    return tuple(kept for row in rows if (kept := _kept(row)) is not None)


def forget_calibrations(records: Records) -> int:
    """Forgets all; how many there were."""
    with records.transaction() as connection:
        return connection.execute("DELETE FROM calibrations").rowcount


def calibration_of(
    records: Records, rig: Rig, engine: EngineRef, driver: str | None, now: datetime
) -> Calibration | None:
    """What is known and fresh for the cards of `rig`; None when no card is calibrated."""
    known = {kept.card: kept for kept in all_calibrations(records) if is_fresh(kept, engine, driver, now)}
    cards = {device.id: _card(known[card_key(device)]) for device in rig.devices if card_key(device) in known}
    if not cards:
        return None
    around = known.get(rig_key(rig))
    if around is None:
        return Calibration(cards)
    values = around.constants
    return Calibration(
        cards,
        float(values.get("hop_s", TYPICAL.several_s)),
        float(values.get("layer_s", TYPICAL.layer_s[DENSE])),
        values.get("host_bandwidth_bytes_per_s"),
    )


def is_fresh(kept: Kept, engine: EngineRef, driver: str | None, now: datetime) -> bool:
    """The same engine build and driver (where both are known), and not too old."""
    if (kept.engine, kept.version) != (engine.kind, engine.version or ""):
        return False
    if kept.driver and driver and kept.driver != driver:
        return False
    return now - datetime.fromisoformat(kept.created_at) < timedelta(days=MAX_AGE_DAYS)


def _card(kept: Kept) -> CardConstants:
    values = kept.constants
    return CardConstants(float(values["bandwidth_bytes_per_s"]), values.get("fp16_flops"), kept.created_at)


def _kept(row: tuple[Any, ...]) -> Kept | None:
    try:
        constants = json.loads(row[4])
        datetime.fromisoformat(row[5])
    except ValueError:
        return None
    card = row[0].startswith(HOST) or "bandwidth_bytes_per_s" in constants
    return Kept(row[0], row[1], row[2], row[3], constants, row[5]) if isinstance(constants, dict) and card else None
