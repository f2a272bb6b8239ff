"""Trials and calibration runs as records, and the speed that a record knows for a plan."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from splitter.bench.plain import to_plain
from splitter.bench.record import EngineInfo, HostInfo, Kind, ModelInfo, Point, Predicted, Record
from splitter.bench.records import Records
from splitter.bench.result import RunSample
from splitter.bench.stats import percentiles, spread
from splitter.engine.command import EngineRef
from splitter.plan.plan import Plan
from splitter.rig.device import Rig

if TYPE_CHECKING:
    from splitter.bench.trial_run import Measured, Shape  # it starts engines: a plan that asks for a speed does not

NEWEST = 200  # records looked through for a measurement of the same settings


def trial_record(
    kind: Kind,
    plan: Plan,
    engine: EngineRef,
    done: "Measured",
    shape: "Shape",
    *,
    group: str,
    label: str,
    created_at: str,
) -> Record:
    """The record of one launch."""
    facts, host = plan.facts, plan.rig.host
    argv = done.command.argv if done.command else ()
    return Record(
        kind=kind,
        engine=EngineInfo(engine.kind, engine.version, engine.path),
        model=ModelInfo(facts.path, facts.name, facts.architecture, facts.quantization, facts.file_bytes),
        created_at=created_at,
        label=label,
        group=group,
        argv=argv,
        argv_sha256=hashlib.sha256("\0".join(argv).encode()).hexdigest() if argv else None,
        settings=to_plain(plan.settings),
        rig=rig_data(plan.rig),
        host=HostInfo(host.os, None, host.cores, host.ram_total_bytes),
        predicted=Predicted(plan.speed.generation_tokens_per_s, plan.speed.prompt_tokens_per_s, plan.speed.basis),
        points=(point_of(done.runs, shape),) if done.runs else (),
        error=done.outcome.failed,
    )


def point_of(runs: Sequence[RunSample], shape: "Shape") -> Point:
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


def rig_data(rig: Rig) -> dict[str, Any]:
    """The rig of design.md 3."""
    plain: dict[str, Any] = to_plain(rig)
    return plain


def speed_measured(records: Records, plan: Plan, engine: EngineRef) -> tuple[float, float | None] | None:
    """Generation and prompt tokens per second of the newest record of this model, engine build, settings and cards."""
    wanted = (plan.facts.path, plan.facts.file_bytes, engine.kind, engine.version)
    settings = json.loads(json.dumps(to_plain(plan.settings)))
    cards = [_card(to_plain(device)) for device in plan.rig.devices]
    for record in records.list(limit=NEWEST):
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
