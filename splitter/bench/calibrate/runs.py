"""Which loads calibrate a rig: each card alone or with most of the layers, neighbouring cards in pairs, RAM if it must;
and a tiny model on each card, whose layers cost what launching them costs.

Pure: the plans are the solver's own under fixed devices, so that each is proven to fit.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from splitter.errors import DoesNotFitError, UsageError
from splitter.plan.calibrated import card_work
from splitter.plan.plan import Plan
from splitter.rig.device import Rig

Solve = Callable[[Mapping[str, Any]], Plan]
__all__ = ["Load", "Solve", "launch_loads", "loads"]


@dataclass(frozen=True, slots=True)
class Load:
    """One load to measure: its plan, and what it is for in words; not `heavy`: a tiny model, for its launches."""

    label: str
    plan: Plan
    heavy: bool = True


def loads(rig: Rig, layers: int, solve: Solve) -> tuple[Load, ...]:
    """`solve` plans under fixed settings and raises DoesNotFitError; `layers` counts the output layer.

    A card that cannot hold the model alone gets as many layers as fit, the other cards the rest; where all cards
    together cannot hold it, RAM gets the rest and the host is measured alone as well.
    """
    ids = [device.id for device in rig.devices]
    found = [_alone(name, layers, solve) or _mostly(rig, name, layers, solve) for name in ids]
    found += [_pair(pair, layers, solve) for pair in pairwise(ids)]
    known = [load for load in found if load is not None]
    if {name for load in known for name, _ in card_work(load.plan).bytes_read} != set(ids):
        known += [load for name in ids if (load := _load(f"{name} and RAM", solve, {"device_order": (name,)}))]
        host = _load("the host alone", solve, {"gpu_layers": 0, "device_order": ()})
        known += [host] if host else []
    return tuple(known)


def launch_loads(rig: Rig, layers: int, solve: Solve) -> tuple[Load, ...]:
    """A model so small that its layers cost what launching them costs, on each card; `solve` and `layers` are its."""
    found = (_alone(device.id, layers, solve) for device in rig.devices)
    return tuple(Load(f"a tiny model on {load.label}", load.plan, heavy=False) for load in found if load)


def _alone(name: str, layers: int, solve: Solve) -> Load | None:
    return _load(f"{name} alone", solve, {"device_order": (name,), "gpu_layers": layers})


def _mostly(rig: Rig, name: str, layers: int, solve: Solve) -> Load | None:
    """As many layers on `name` as fit, the others sharing the rest by their free memory."""
    others = [device for device in rig.devices if device.id != name]
    order, room = (name, *(device.id for device in others)), sum(device.free_bytes for device in others)
    for count in range(layers - 1, 0, -1) if room else ():
        rest = tuple((layers - count) * device.free_bytes / room for device in others)
        fixed = {"device_order": order, "tensor_split": (float(count), *rest), "gpu_layers": layers}
        load = _load(f"mostly {name}", solve, fixed)
        if load:
            return load
    return None


def _pair(pair: tuple[str, str], layers: int, solve: Solve) -> Load | None:
    """Half of the layers on each of two cards; as the solver would split them where halves do not fit."""
    half = (float(layers - layers // 2), float(layers // 2))
    label, order = " and ".join(pair), {"device_order": pair, "gpu_layers": layers}
    return _load(label, solve, {**order, "tensor_split": half}) or _load(label, solve, order)


def _load(label: str, solve: Solve, fixed: Mapping[str, Any]) -> Load | None:
    try:
        plan = solve(fixed)
    except (DoesNotFitError, UsageError):
        return None
    return Load(label, plan) if plan.fits() else None
