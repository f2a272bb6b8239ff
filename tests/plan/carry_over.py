"""Issue 12: how far a calibration with one quantisation is off another one on the same card.

    python -m tests.plan.carry_over

Every pair of published single-card runs of one source and card whose quantisations differ: the card's share of its
bandwidth is set so that the model gives the one run's generation speed, as `calibrate` does, and the other is
predicted.
"""

import sys
from dataclasses import replace
from itertools import permutations

import numpy as np

from splitter.plan.speed import Constants, shares_of
from splitter.plan.speed_constants import TYPICAL
from tests.plan.fit_speeds import Published, measured, predicted, published


def calibrated(run: Published) -> Constants | None:
    """The constants whose share of the card's bandwidth gives this run; None where launches alone take longer."""
    (device,), wanted = run.devices, measured(run, generation=True)
    share, throughput = shares_of(device, TYPICAL)
    assert wanted
    for _ in range(30):
        known = replace(TYPICAL, cards={device.id: (share, throughput)})
        instant = replace(TYPICAL, cards={device.id: (1e9, throughput)})
        launches = predicted(run, instant, generation=True)
        if wanted <= launches:
            return None
        share *= (predicted(run, known, generation=True) - launches) / (wanted - launches)
    return replace(TYPICAL, cards={device.id: (share, throughput)})


def pairs() -> list[tuple[Published, Published, float, float]]:
    """(calibrated with, predicted, error with, error without the calibration), errors as predicted / measured - 1."""
    single = [run for run in published() if run.kind == "single" and measured(run, generation=True)]
    found = []
    for one, other in permutations(single, 2):
        same = one.cards() == other.cards() and one.row["source"] == other.row["source"]
        if not same or one.row["backend"] != other.row["backend"] or one.row["quant"] == other.row["quant"]:
            continue
        constants, wanted = calibrated(one), measured(other, generation=True)
        if constants and wanted:
            carried, plain = (wanted / predicted(other, each, generation=True) - 1 for each in (constants, TYPICAL))
            found.append((one, other, carried, plain))
    return found


def main() -> None:
    table = pairs()
    for one, other, carried, plain in sorted(table, key=lambda each: -abs(each[2])):
        told = f"{one.row['model'][:34]:34} -> {other.row['model'][:34]:34} {one.cards()[:30]:30}"
        sys.stdout.write(f"{told} {100 * carried:+5.0f} % (typical {100 * plain:+.0f} %)\n")
    for name, column in (("carried over", 2), ("typical", 3)):
        off = np.array([each[column] for each in table])
        within = 100 * np.mean(np.abs(off) <= 0.15)
        sys.stdout.write(
            f"{name}: {len(off)} pairs, median {100 * np.median(off):+.1f} %, median of sizes "
            f"{100 * np.median(np.abs(off)):.0f} %, 90 % within {100 * np.quantile(np.abs(off), 0.9):.0f} %, "
            f"{within:.0f} % of them within 15 %\n"
        )


if __name__ == "__main__":
    main()
