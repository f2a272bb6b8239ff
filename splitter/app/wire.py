"""The `data` objects of design.md 3: plain dictionaries, bytes as integers, unknown as null, never 0."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from splitter.app.checking import Checked
    from splitter.engine.command import EngineCommand, EngineRef
    from splitter.errors import SplitterError
    from splitter.memory.footprint import MemoryUse
    from splitter.memory.settings import Settings
    from splitter.model.facts import ModelFacts
    from splitter.plan.plan import Plan, PlannedDevice
    from splitter.rig.catalog import Card
    from splitter.rig.device import Device, Rig

JSON_VERSION = 1
LONGEST_SENTENCE = 8000  # characters of an error: ten quoted lines of a log, a list of files
Status = Literal["ok", "does_not_fit", "error"]


def envelope(command: str, status: Status, data: Any, errors: list[dict[str, str]] | None = None) -> dict[str, Any]:
    """The one JSON object of design.md 3."""
    return {"version": JSON_VERSION, "command": command, "status": status, "data": data, "errors": errors or []}


def error_item(error: "SplitterError") -> dict[str, str]:
    """An error as the object's `errors` hold it."""
    return {"code": error.code, "message": bounded(error.message), "hint": bounded(error.hint)}


def bounded(text: str) -> str:
    """A sentence that quotes a foreign name stays a sentence."""
    return text if len(text) <= LONGEST_SENTENCE else text[: LONGEST_SENTENCE - 1] + "…"


def status_of(error: "SplitterError") -> Status:
    """The object's status for an error."""
    return "does_not_fit" if error.code == "does_not_fit" else "error"


def model_data(facts: "ModelFacts") -> dict[str, Any]:
    """The model, in the JSON form of design.md."""
    return {
        "path": facts.path,
        "name": facts.name,
        "architecture": facts.architecture,
        "quantization": facts.quantization,
        "file_bytes": facts.file_bytes,
        "layers": facts.layers,
        "context_train": facts.context_train,
        "parameters": facts.parameters,
    }


def engine_data(engine: "EngineRef") -> dict[str, Any]:
    """The engine."""
    return {"kind": engine.kind, "version": engine.version, "path": engine.path}


def settings_data(settings: "Settings") -> dict[str, Any]:
    """The settings, lists for tuples."""
    data = asdict(settings)
    data["tensor_split"] = [int(share) if share == int(share) else share for share in settings.tensor_split]
    return {name: list(value) if isinstance(value, tuple) else value for name, value in data.items()}


def device_data(planned: "PlannedDevice") -> dict[str, Any]:
    """A device with what the plan puts on it."""
    device = planned.device
    return {
        "id": device.id,
        "name": device.name,
        "total_bytes": device.total_bytes,
        "free_bytes": device.free_bytes,
        "bandwidth_bytes_per_s": _integer(device.bandwidth_bytes_per_s),
        "layers": list(planned.layers),
        "holds_output": planned.holds_output,
        **_use_data(planned.memory),
        "overhead_bytes": planned.memory.overhead_bytes(),
        "overhead": dict(planned.memory.overhead),
        "margin_bytes": planned.margin_bytes,
        "used_bytes": planned.used_bytes(),
        "headroom_bytes": planned.headroom_bytes(),
        "node": device.node,
    }


def _use_data(use: "MemoryUse") -> dict[str, int]:
    return {"model_bytes": use.model_bytes, "context_bytes": use.context_bytes, "compute_bytes": use.compute_bytes}


def _integer(value: float | None) -> int | None:
    return None if value is None else round(value)


def speed_data(plan: "Plan") -> dict[str, Any]:
    """The speeds that a user will see, what they rest on, their bound, and the turn that they make."""
    speed = plan.speed
    return {
        "generation_tokens_per_s": speed.generation_tokens_per_s,
        "prompt_tokens_per_s": speed.prompt_tokens_per_s,
        "basis": speed.basis,
        "generation_range": _range_data(speed.generation_range),
        "prompt_range": _range_data(speed.prompt_range),
        "bound": None if speed.bound is None else asdict(speed.bound),
        "turn": None if speed.turn is None else asdict(speed.turn),
    }


def _range_data(within: tuple[float, float] | None) -> list[float] | None:
    return None if within is None else list(within)


def command_data(command: "EngineCommand", line: str) -> dict[str, Any]:
    """A command with its line for the rig's shell."""
    return {"argv": list(command.argv), "env": dict(command.env), "line": line}


def plan_data(plan: "Plan", engine: "EngineRef", command: dict[str, Any] | None) -> dict[str, Any]:
    """The whole `data` of `plan` and `check`; `command` is null where no engine command can say it."""
    verified = plan.verified
    return {
        "model": model_data(plan.facts),
        "engine": engine_data(engine),
        **placed_data(plan),
        "verified": None if verified is None else asdict(verified),
        "command": command,
        "reasons": list(plan.reasons),
        "warnings": [asdict(notice) for notice in plan.warnings],
        "alternatives": [
            {"title": other.title, "flags": list(other.flags), **placed_data(other)} for other in plan.alternatives
        ],
    }


def placed_data(plan: "Plan") -> dict[str, Any]:
    """What the plan and each of its alternatives have in common."""
    return {
        "settings": settings_data(plan.settings),
        "devices": [device_data(planned) for planned in plan.devices],
        "host": {
            **_use_data(plan.footprint.host),
            "overhead_bytes": plan.footprint.host.overhead_bytes(),
            "overhead": dict(plan.footprint.host.overhead),
            "growth": dict(plan.footprint.growth),
            "growth_bytes": sum(size for _, size in plan.footprint.growth),
            "ram_free_bytes": plan.rig.host.ram_free_bytes,
        },
        "speed": speed_data(plan),
        "fits": plan.fits(),
        "proven": plan.footprint.proven,
        "pipeline": plan.footprint.pipeline,
    }


def rig_data(rig: "Rig") -> dict[str, Any]:
    """A rig with its devices."""
    host = rig.host
    return {
        "name": rig.name,
        "host": {
            "ram_total_bytes": host.ram_total_bytes,
            "ram_free_bytes": host.ram_free_bytes,
            "ram_bandwidth_bytes_per_s": _integer(host.ram_bandwidth_bytes_per_s),
            "cores": host.cores,
            "os": host.os,
            "sources": dict(host.sources),
        },
        "devices": [rig_device_data(device) for device in rig.devices],
        "notes": list(rig.notes),
    }


def cards_data(cards: "Sequence[Card]") -> dict[str, Any]:
    """Known cards with their figures and where these come from."""
    return {"cards": [_card_data(card) for card in cards]}


def _card_data(card: "Card") -> dict[str, Any]:
    return {
        "name": card.name,
        "vendor": card.vendor,
        "family": card.family,
        "total_bytes": card.total_bytes,
        "unified": card.unified,
        "bandwidth_bytes_per_s": _integer(card.bandwidth_bytes_per_s),
        "fp16_flops": card.fp16_flops,
        "int8_ops": card.int8_ops,
        "sm_count": card.sm_count,
        "compute_capability": card.compute_capability,
        "link_bytes_per_s": _integer(card.link_bytes_per_s),
        "source": card.source,
        "measured": [asdict(speed) for speed in card.measured],
    }


def rig_device_data(device: "Device") -> dict[str, Any]:
    """A device of a rig, with where each value came from."""
    return {
        "id": device.id,
        "name": device.name,
        "total_bytes": device.total_bytes,
        "free_bytes": device.free_bytes,
        "bandwidth_bytes_per_s": _integer(device.bandwidth_bytes_per_s),
        "compute_capability": device.compute_capability,
        "sm_count": device.sm_count,
        "fp16_flops": device.fp16_flops,
        "link_bytes_per_s": _integer(device.link_bytes_per_s),
        "display": device.display,
        "unified": bool(device.unified),
        "node": device.node,
        "rtt_s": device.rtt_s,
        "node_link_bytes_per_s": _integer(device.node_link_bytes_per_s),
        "node_id": device.node_id,
        "uuid": device.uuid,
        "pci_bus_id": device.pci_bus_id,
        "sources": dict(device.sources),
    }


def remedy_data(checked: "Checked") -> dict[str, Any] | None:
    """What makes the command fit, in the shape of an alternative with its command."""
    if checked.better is None:
        return None
    return {"culprit": checked.culprit, "command": checked.instead, **placed_data(checked.better)}
