"""Devices of other machines that a command brings in with --rpc, and what they leave to the cards here. Pure.

llama.cpp 11434: they come in front of the local devices, in -ts and in the default order; -dev names them RPC0, RPC1.
A worker may offer several devices, and tells its memory only to the engine: here it is unknown.
"""

from dataclasses import replace

from splitter.engine.reading.value import ReadCommand
from splitter.plan.plan import Notice, Plan, PlannedDevice
from splitter.rig.device import Device, Rig
from splitter.rig.nodes import PREFIX, without_nodes
from splitter.units import format_bytes


def endpoints(read: ReadCommand) -> tuple[str, ...]:
    """The `host:port` of every worker that the command names."""
    given = read.flags.get("rpc") or read.flags.get("rpctargets") or ""
    return tuple(part.strip() for part in str(given).split(",") if part.strip())


def with_workers(rig: Rig, read: ReadCommand) -> Rig:
    """`rig` with a stand-in for each device of a worker, in front; the rig itself where it already has such devices."""
    named = endpoints(read)
    if not named:  # the cards of the rig's other machines, if it has any, take no part
        return without_nodes(rig)
    if any(device.id.startswith(PREFIX) for device in rig.devices):
        return rig
    count = max(len(named), len(read.settings.get("tensor_split", ())) - len(rig.devices))
    free = max((device.free_bytes for device in rig.devices), default=0)
    stand_ins = tuple(
        Device(f"{PREFIX}{index}", named[min(index, len(named) - 1)], free, free) for index in range(count)
    )
    return replace(rig, devices=(*stand_ins, *rig.devices))


def without_workers(plan: Plan, rig: Rig) -> Plan:
    """`plan` with the devices of `rig` alone, and a warning about what the workers would hold."""
    known = {device.id for device in rig.devices}
    away = tuple(planned for planned in plan.devices if planned.device.id not in known)
    if not away:
        return plan
    here = tuple(planned for planned in plan.devices if planned.device.id in known)
    told = tuple(notice for notice in plan.warnings if notice.code != "unknown_bandwidth")
    return replace(plan, rig=rig, devices=here, warnings=(_notice(plan, away), *told))


def _notice(plan: Plan, away: tuple[PlannedDevice, ...]) -> Notice:
    told = "; ".join(_holds(planned) for planned in away)
    guess = "" if plan.settings.tensor_split else " (a guess: without -ts it depends on what that machine has free)"
    return Notice(
        "rpc_left_out",
        f"{told}: {'its' if len(away) == 1 else 'their'} memory is not known here and not among the figures{guess}",
        "RPC devices come first in -ts and --device; check what the other machine has free",
    )


def _holds(planned: PlannedDevice) -> str:
    count = len(planned.layers)
    layers = f"{count} layer{'s' * (count != 1)}" + " and the output layer" * planned.holds_output
    size = format_bytes(planned.memory.breakdown_bytes())
    return f"{planned.device.id} at {planned.device.name} would hold {layers}, {size}"
