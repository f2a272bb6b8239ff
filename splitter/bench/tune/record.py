"""The requests of a trial as the point of a record, and the speed that a record knows for a plan."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from splitter.bench.plain import to_plain
from splitter.bench.records.record import Point, Record
from splitter.bench.records.records import Records
from splitter.bench.result import RunSample
from splitter.bench.stats import percentiles, spread
from splitter.engine.command import EngineRef
from splitter.plan.plan import Plan

if TYPE_CHECKING:
    from splitter.bench.tune.run import TrialShape  # it starts engines: a plan that asks for a speed does not

NEWEST = 200  # records looked through for a measurement of the same settings


def point_of(runs: Sequence[RunSample], shape: "TrialShape") -> Point:
    """The runs as one point."""
    prompt = [value for run in runs if (value := run.prompt_tokens_per_s)]
    generation = [value for run in runs if (value := run.generation_tokens_per_s)]
    return Point(
        n_prompt=shape.n_prompt,
        n_generate=shape.n_generate,
        repetitions=len(runs),
        prompt_tokens_per_s=spread(prompt),
        generation_tokens_per_s=spread(generation),
        request_prompt_tokens_per_s=spread(prompt),
        request_generation_tokens_per_s=spread(generation),
        first_token_s=percentiles([run.first_token_s for run in runs]),
        samples=tuple(runs),
    )


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


def _alone(record: Record) -> tuple[float, float | None] | None:
    """Of one request at a time with an empty context, as the speed model means it."""
    for point in record.points:
        if point.depth == 0 and point.concurrency == 1 and point.generation_tokens_per_s:
            prompt = point.prompt_tokens_per_s
            return point.generation_tokens_per_s.median, prompt.median if prompt else None
    return None
