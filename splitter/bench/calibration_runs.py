"""Which loads calibrate a rig: each card alone, neighbouring cards in pairs, the host where a card cannot hold all.

Pure: the plans are the solver's own under fixed devices, so that each is proven to fit.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from splitter.errors import DoesNotFitError, UsageError
from splitter.plan.plan import Plan
from splitter.rig.device import Rig

Solve = Callable[[Mapping[str, Any]], Plan]
__all__ = ["Load", "Solve", "loads"]


@dataclass(frozen=True, slots=True)
class Load:
    """One load to measure: its plan, and what it is for in words."""

    label: str
    plan: Plan


def loads(rig: Rig, layers: int, solve: Solve) -> tuple[Load, ...]:
    """`solve` plans under fixed settings and raises DoesNotFitError; `layers` counts the output layer.

    A card that cannot hold the model alone gets as many layers as fit, the rest in RAM; if RAM lacks the room too, the
    load of all cards must do. The host is measured alone wherever it takes part.
    """
    ids = [device.id for device in rig.devices]
    found = [_load(f"{name} alone", solve, {"device_order": (name,)}) for name in ids]
    for pair in pairwise(ids):
        found.append(_pair(pair, layers, solve))
    if len(ids) > 2:
        found.append(_load("all cards", solve, {"device_order": tuple(ids)}))
    known = [load for load in found if load is not None]
    if any(load.plan.placement.layers[0] is None for load in known):
        host = _load("the host alone", solve, {"gpu_layers": 0, "device_order": ()})
        known += [host] if host else []
    return tuple(known)


def _pair(pair: tuple[str, str], layers: int, solve: Solve) -> Load | None:
    """Half of the layers on each of two cards; as the solver would split them where halves do not fit."""
    half = (float(layers - layers // 2), float(layers // 2))
    label, order = " and ".join(pair), {"device_order": pair}
    even = _load(label, solve, {**order, "tensor_split": half, "gpu_layers": layers})
    return even or _load(label, solve, order)


def _load(label: str, solve: Solve, fixed: Mapping[str, Any]) -> Load | None:
    try:
        plan = solve(fixed)
    except (DoesNotFitError, UsageError):
        return None
    return Load(label, plan) if plan.fits() else None
