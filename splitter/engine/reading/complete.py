"""An understood command -> complete Settings: what the engine itself would fill in, by its version."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from splitter.engine.engines import ENGINES
from splitter.engine.reading.devices import device_order, named_devices
from splitter.engine.reading.value import Findings, ReadCommand
from splitter.errors import UsageError
from splitter.memory.settings import Settings
from splitter.model.facts import ModelFacts
from splitter.plan.plan import Notice
from splitter.rig.device import Rig


@dataclass(frozen=True, slots=True)
class Completed:
    """Everything the engine would decide, and what it decided by itself, in words (`notices`)."""

    settings: Settings
    notices: tuple[Notice, ...] = ()


def complete_settings(read: ReadCommand, facts: ModelFacts, rig: Rig, engine_version: str | None = None) -> Completed:
    """`read` on `rig` with the defaults of `engine_version` (default: the version it was read for, then the newest).

    Where the engine adjusts itself at start (fit, auto layers), the settings are those before the adjustment and a
    notice says so. UsageError for values the engine could not run with.
    """
    findings = Findings()
    version = engine_version or read.version
    given = dict(read.settings)
    given["device_order"] = device_order(read, rig)
    given |= named_devices(read, rig)
    filled = ENGINES[read.kind].fill(read, given, facts, version, findings)
    settings = Settings(**_effective(filled, facts, read))
    free = {device.id: device.free_bytes for device in rig.devices}
    settings = ENGINES[read.kind].settled(settings, facts, [free.get(name, 0) for name in settings.device_order])
    return Completed(settings, tuple(findings.notices))


def _effective(given: dict[str, Any], facts: ModelFacts, read: ReadCommand) -> dict[str, Any]:
    """What every engine does with any values: counts cut to what exists, the split brought to the devices' number."""
    everything = facts.layers + 1
    if given["gpu_layers"] < 0:
        given["gpu_layers"] = everything
    if not given["device_order"]:
        given["gpu_layers"] = 0
    split, count = given.get("tensor_split", ()), len(given["device_order"])
    if split:
        padded = (*split, *(0.0,) * (count - len(split)))[:count]
        given["tensor_split"] = padded if any(padded) else ()
    _check_range(given, read)
    given["ubatch_size"] = min(given["ubatch_size"], given["batch_size"])
    if given.get("main_gpu", 0) >= max(count, 1):
        raise UsageError(
            f"the main GPU is {given['main_gpu']}, but the command uses {count} devices", "count from 0 among them"
        )
    given["gpu_layers"] = min(given["gpu_layers"], everything)
    draft = given.get("draft_gpu_layers")
    if draft is not None and draft < 0:
        given["draft_gpu_layers"] = None
    if given.get("threads") is not None and given["threads"] < 1:
        given["threads"] = None
    return given


def _check_range(given: Mapping[str, Any], read: ReadCommand) -> None:
    for name in ("context_size", "batch_size", "ubatch_size", "parallel"):
        if given[name] < 1:
            raise UsageError(f"{read.kind} cannot run with {name} {given[name]}", "give a positive number")
    if given.get("main_gpu", 0) < 0:
        raise UsageError(f"the main GPU cannot be {given['main_gpu']}", "count from 0 among the command's devices")
