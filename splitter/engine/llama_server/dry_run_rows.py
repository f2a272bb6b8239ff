"""What llama-fit-params prints, and what it means for a plan's figures. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from splitter.memory.footprint import Footprint, MemoryUse
from splitter.memory.model import MemoryModel
from splitter.memory.settings import Settings
from splitter.plan.plan import Plan, PlannedDevice, Verified
from splitter.units import MIB, format_bytes, from_mib

HOST = "Host"


@dataclass(frozen=True, slots=True)
class DryRunRow:
    """What one device (or "Host") would hold; the engine rounds down to whole MiB."""

    device: str
    model_mib: int
    context_mib: int
    compute_mib: int


@dataclass(frozen=True, slots=True)
class DeviceDifference:
    """Engine minus estimate in bytes, per term; 0 where the estimate rounds down to the engine's figure.

    Where they differ, the engine's figure is taken at the upper end of its MiB: the safe side.
    """

    device: str
    model_bytes: int = 0
    context_bytes: int = 0
    compute_bytes: int = 0

    def total_bytes(self) -> int:
        """The sum of the terms' absolute differences."""
        return abs(self.model_bytes) + abs(self.context_bytes) + abs(self.compute_bytes)


def parse_rows(text: str) -> tuple[DryRunRow, ...]:
    """The table of `--fit-print on`: device, model, context, compute in MiB, the host last."""
    rows = re.findall(r"^(\w+) (\d+) (\d+) (\d+) *$", text, re.MULTILINE)
    return tuple(DryRunRow(name, int(model), int(context), int(compute)) for name, model, context, compute in rows)


def dry_settings(settings: Settings) -> Settings:
    """The settings as llama-fit-params can be told them: no unified cache of several slots, no second model.

    A unified cache is that of one slot, but for what every sequence holds alone; `compare` estimates both.
    """
    one = replace(settings, parallel=1) if settings.kv_unified else settings
    none: dict[str, Any] = dict.fromkeys(("mmproj", "mmproj_device", "draft_model", "draft_gpu_layers"))
    none |= {"spec_type": None, "spec_draft_n_max": None}
    return replace(one, **none, draft_device_order=None, draft_cache_type_k="f16", draft_cache_type_v="f16")


def compare(plan: Plan, rows: Sequence[DryRunRow]) -> tuple[DeviceDifference, ...]:
    """Engine minus estimate for every device of the plan, in its order, then the host.

    The estimate is the plan's, less what the dry run leaves out and with what it counts beside (`seen_dry`).
    """
    ours = seen_dry(plan)
    by_name = {row.device: row for row in rows}
    names = (*plan.settings.device_order, HOST)
    uses = (*ours.devices, ours.host)
    return tuple(
        _difference(use, by_name.get(name) or DryRunRow(name, 0, 0, 0)) for name, use in zip(names, uses, strict=True)
    )


def seen_dry(plan: Plan) -> Footprint:
    """The plan's footprint as llama-fit-params would see it: for the settings it can be told, without the server.

    It reserves logits for a whole micro-batch, forgets the device of norms and knows of no second context.
    """
    server = MemoryModel(plan.facts, plan.settings, plan.engine.memory).footprint(plan.placement)
    dry = MemoryModel(plan.facts, dry_settings(plan.settings)).footprint(plan.placement)
    devices = zip(plan.footprint.devices, server.devices, dry.devices, strict=True)
    host = _shifted(plan.footprint.host, server.host, dry.host)
    return replace(plan.footprint, devices=tuple(_shifted(*uses) for uses in devices), host=host)


def beside_server(plan: Plan) -> str | None:
    """Where the dry run does not say what its own server will hold, in words; None where it does to the MiB."""
    pairs = zip(plan.settings.device_order, plan.footprint.devices, seen_dry(plan).devices, strict=True)
    gaps = [(name, dry.breakdown_bytes() - use.breakdown_bytes()) for name, use, dry in pairs]
    named = [
        f"{format_bytes(abs(gap))} {'more' if gap > 0 else 'less'} on {name}" for name, gap in gaps if abs(gap) >= MIB
    ]
    if not named:
        return None
    why = "logits of a whole micro-batch" if any(gap > 0 for _, gap in gaps) else "no MTP, and slots by themselves"
    return f"llama-fit-params counts {', '.join(named)} than its server holds ({why}): the figures are the server's"


def _shifted(use: MemoryUse, old: MemoryUse, new: MemoryUse) -> MemoryUse:
    return replace(
        use,
        model_bytes=use.model_bytes + new.model_bytes - old.model_bytes,
        context_bytes=use.context_bytes + new.context_bytes - old.context_bytes,
        compute_bytes=use.compute_bytes + new.compute_bytes - old.compute_bytes,
    )


def _difference(use: MemoryUse, row: DryRunRow) -> DeviceDifference:
    model = _term(use.model_bytes, row.model_mib)
    if row.device == HOST:
        # llama.cpp leaves out of the host's row the weights that its CPU backend repacks.
        model = max(model, 0)
    return DeviceDifference(
        row.device, model, _term(use.context_bytes, row.context_mib), _term(use.compute_bytes, row.compute_mib)
    )


def _term(estimate_bytes: int, engine_mib: int) -> int:
    if estimate_bytes // MIB == engine_mib:
        return 0
    return from_mib(engine_mib + 1) - 1 - estimate_bytes if engine_mib else -estimate_bytes


def corrected(plan: Plan, differences: Sequence[DeviceDifference], engine_version: str) -> Plan:
    """`plan` with the engine's figures, and the proof. What no longer fits shows in its headroom."""
    devices = tuple(_corrected_use(use, d) for use, d in zip(plan.footprint.devices, differences, strict=False))
    host = _corrected_use(plan.footprint.host, differences[-1])
    footprint: Footprint = replace(plan.footprint, devices=devices, host=host)
    planned: tuple[PlannedDevice, ...] = tuple(
        replace(device, memory=_corrected_use(device.memory, difference))
        for device, difference in zip(plan.devices, differences[:-1], strict=False)
    )
    beside = plan.devices[len(planned) :]
    largest = max((difference.total_bytes() for difference in differences[:-1]), default=0)
    proof = Verified("llama-fit-params", engine_version, largest)
    return replace(plan, footprint=footprint, devices=(*planned, *beside), verified=proof)


def _corrected_use(use: MemoryUse, difference: DeviceDifference) -> MemoryUse:
    return replace(
        use,
        model_bytes=max(0, use.model_bytes + difference.model_bytes),
        context_bytes=max(0, use.context_bytes + difference.context_bytes),
        compute_bytes=max(0, use.compute_bytes + difference.compute_bytes),
    )
