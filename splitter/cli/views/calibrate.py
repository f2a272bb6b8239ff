"""Calibrations for people."""

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.text import Text

from splitter.app.calibrating import Calibrated
from splitter.bench.calibrate.store import MAX_AGE_DAYS, Kept
from splitter.cli.views.sheet import Column, Row, Sheet, figures, words
from splitter.printable import printable_lines
from splitter.rig.device import Device, Rig


def calibrated_view(rig: Rig, done: Calibrated) -> Iterator[RenderableType]:
    known = {device.id: device for device in rig.devices}
    rows = (Row(_card_cells(known[name], value)) for name, value in done.fitted.bandwidths)
    yield Sheet((Column("card"), *figures("assumed GB/s", "reached GB/s", "share")), tuple(rows))
    fitted = done.fitted
    yield Text(
        f"a hop to the next card takes {fitted.hop_s * 1e6:.0f} us, starting a layer {fitted.layer_s * 1e6:.0f} us; "
        f"with these figures every run is predicted within {100 * fitted.worst_error:.1f} %"
    )
    yield Text(f"plans use this for {MAX_AGE_DAYS} days, with the same engine build and driver")


def _card_cells(card: Device, reached_bytes_per_s: float) -> tuple[str, ...]:
    assumed = card.bandwidth_bytes_per_s
    share = f"{100 * reached_bytes_per_s / assumed:.0f} %" if assumed else "?"
    given = f"{assumed / 1e9:.0f}" if assumed else "?"
    return printable_lines(f"{card.id} {card.name}"), given, f"{reached_bytes_per_s / 1e9:.4g}", share


def kept_view(kept: Sequence[Kept]) -> Iterator[RenderableType]:
    if not kept:
        yield Text("nothing has been calibrated yet: run `splitter calibrate MODEL`")
        return
    columns = (*words("card", "engine"), *figures("GB/s", "measured"))
    yield Sheet(columns, tuple(Row(_kept_cells(item)) for item in kept))


def _kept_cells(item: Kept) -> tuple[str, ...]:
    speed = item.constants.get("bandwidth_bytes_per_s") or item.constants.get("host_bandwidth_bytes_per_s")
    reached = f"{speed / 1e9:.4g}" if speed else "?"
    return printable_lines(item.card), f"{item.engine} {item.version}".strip(), reached, item.created_at[:10]
