"""The speed that a record knows for a plan."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from splitter.bench.plain import to_plain
from splitter.bench.records.records import Records
from splitter.engine.command import EngineRef
from splitter.plan.plan import Plan

if TYPE_CHECKING:
    from splitter.bench.records.record import Record

NEWEST = 200  # records looked through for a measurement of the same settings


def speed_measured(records: Records, plan: Plan, engine: EngineRef) -> tuple[float, float | None] | None:
    """Generation and prompt tokens per second of the newest record of this model, engine build, settings and cards."""
    wanted = (plan.facts.path, plan.facts.file_bytes, engine.kind, engine.version)
    settings = json.loads(json.dumps(to_plain(plan.settings)))
    cards = [_card(to_plain(device)) for device in plan.rig.devices]
    for record in records.of_model(plan.facts.path, NEWEST):
        model, by = record.model, record.engine
        if (model.path, model.file_bytes, by.kind, by.version) != wanted or record.settings != settings:
            continue
        if record.rig and [_card(device) for device in record.rig.get("devices", ())] == cards:
            found = _alone(record)
            if found:
                return found
    return None


def _card(device: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(device.get(name) for name in ("id", "name", "total_bytes", "uuid"))


def _alone(record: "Record") -> tuple[float, float | None] | None:
    """Of one request at a time with an empty context, as the speed model means it."""
    for point in record.points:
        if point.depth == 0 and point.concurrency == 1 and point.generation_tokens_per_s:
            prompt = point.prompt_tokens_per_s
            return point.generation_tokens_per_s.median, prompt.median if prompt else None
    return None
