"""What `splitter doctor` says: each finding with what to do. Pure over what was seen."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from splitter.engine.command import EngineRef
from splitter.engine.engines import ENGINES
from splitter.rig.device import Rig
from splitter.units import GIB, format_bytes

Level = Literal["ok", "note", "problem"]
LITTLE_RAM_BYTES = 4 * GIB


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report; `hint` is the next step, empty where nothing is to be done."""

    level: Level
    subject: str
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """What was looked at: `engines` by kind (None: not found), `ports` with their holder (None: free)."""

    rig: Rig
    engines: Mapping[str, EngineRef | None]
    ports: Mapping[int, str | None]
    environment: Mapping[str, str]
    dry_run: str | None


def diagnose(seen: Seen) -> tuple[Finding, ...]:
    """All findings, in the order a person would fix them."""
    parts = (_devices, _order, _engines, _proof, _ports, _ram)
    return tuple(finding for part in parts for finding in part(seen))


def _devices(seen: Seen) -> Iterator[Finding]:
    for device in seen.rig.devices:
        free, total = format_bytes(device.free_bytes), format_bytes(device.total_bytes)
        yield Finding("ok", device.id, f"{device.name}: {free} of {total} free")
        if device.bandwidth_bytes_per_s is None:
            hint = "write gb_per_s into a rig file: splitter rig --save mine.yaml"
            yield Finding("note", device.id, "its memory bandwidth is unknown, so its speed cannot be predicted", hint)
        if device.display:
            yield Finding("note", device.id, "a display is attached: the desktop shares its memory", "close browsers")
    for note in seen.rig.notes:
        yield Finding("note", "devices", note)
    if not seen.rig.devices:
        hint = "install the driver, or plan for other cards with --rig or --gpus"
        yield Finding("problem", "devices", "no GPU was found: only the CPU is left", hint)


def _order(seen: Seen) -> Iterator[Finding]:
    order = seen.environment.get("CUDA_DEVICE_ORDER")
    names = {device.name for device in seen.rig.devices}
    if len(names) > 1 and order != "PCI_BUS_ID":
        hint = "splitter's own commands set CUDA_DEVICE_ORDER=PCI_BUS_ID; set it for other programs too"
        yield Finding(
            "note", "device order", "CUDA numbers different cards fastest first, nvidia-smi numbers them by slot", hint
        )
    visible = seen.environment.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        hint = "unset it to use every card"
        yield Finding("note", "device order", f"CUDA_VISIBLE_DEVICES={visible} hides or reorders cards", hint)


def _engines(seen: Seen) -> Iterator[Finding]:
    for kind, engine in seen.engines.items():
        if engine is None or engine.path is None:
            yield Finding("note", kind, "not found", f"install it, or name it: --engine {kind} --engine-path P")
        else:
            yield Finding("ok", kind, f"version {engine.version or 'unknown'} at {engine.path}")
    if not any(engine and engine.path for engine in seen.engines.values()):
        get = "pip install 'tensor-splitter[embedded]' (runs everywhere)"
        yield Finding("problem", "engines", "no engine was found", get)


def _proof(seen: Seen) -> Iterator[Finding]:
    if seen.dry_run:
        yield Finding("ok", "dry run", f"plans are proven with {seen.dry_run}")
    elif any(engine and ENGINES[name].tools_beside for name, engine in seen.engines.items()):
        hint = "install the whole llama.cpp release: llama-fit-params lies beside llama-server"
        yield Finding("note", "dry run", "llama-fit-params is missing: plans rest on estimates", hint)


def _ports(seen: Seen) -> Iterator[Finding]:
    for port, owner in seen.ports.items():
        if owner is None:
            yield Finding("ok", f"port {port}", "free")
        else:
            yield Finding("note", f"port {port}", f"used by {owner}", "stop it, or launch with --port N")


def _ram(seen: Seen) -> Iterator[Finding]:
    free = seen.rig.host.ram_free_bytes
    if free is None:
        yield Finding("note", "RAM", "free memory is unknown")
    elif free < LITTLE_RAM_BYTES:
        hint = "close programs: layers that do not fit on a card must fit in RAM"
        yield Finding("note", "RAM", f"only {format_bytes(free)} is free", hint)
    else:
        yield Finding("ok", "RAM", f"{format_bytes(free)} of {format_bytes(seen.rig.host.ram_total_bytes)} free")
