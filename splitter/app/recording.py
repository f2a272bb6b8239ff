"""A Record from what the command line knows: the model's header, the plan, the host, the cards."""

import hashlib
import platform
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from splitter.app.planning import Planned
from splitter.app.wire import device_data, rig_data, settings_data
from splitter.bench.records.record import EngineInfo, HostInfo, Kind, ModelInfo, Predicted, Record
from splitter.bench.records.records import Records
from splitter.bench.tune.record import point_of
from splitter.engine.command import EngineCommand, EngineRef
from splitter.errors import RecordsError, SplitterError
from splitter.model.facts import ModelFacts
from splitter.model.header import read_header
from splitter.model.source import open_local
from splitter.plan.plan import Plan
from splitter.rig.host import probe_host

if TYPE_CHECKING:
    from splitter.bench.tune.run import Measured, TrialShape


def now() -> str:
    """The time as records keep it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def header_sha256(path: str) -> str | None:
    """SHA-256 of the file's header (everything before the weights); None for what is no local GGUF file."""
    try:
        source = open_local(path)
        return hashlib.sha256(source.read(0, read_header(source).data_offset)).hexdigest()
    except SplitterError:
        return None


def model_info(facts: ModelFacts) -> ModelInfo:
    """The model of a plan."""
    names = (facts.name, facts.architecture, facts.quantization, facts.file_bytes)
    return ModelInfo(facts.path, *names, header_sha256(facts.path))


def host_info() -> HostInfo:
    """This machine."""
    host = probe_host()
    return HostInfo(host.os, cpu_name(), host.cores, host.ram_total_bytes)


def cpu_name() -> str | None:
    """Linux tells it in /proc alone."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return named or platform.processor() or None


def argv_sha256(argv: tuple[str, ...]) -> str:
    """Two commands with the same hash are the same to the last word."""
    return hashlib.sha256("\0".join(argv).encode("utf-8", "surrogatepass")).hexdigest()


def plan_fields(plan: Plan) -> dict[str, Any]:
    """What a record keeps of a plan."""
    speed = plan.speed
    return {
        "settings": settings_data(plan.settings),
        "rig": rig_data(plan.rig),
        "devices": tuple(device_data(planned) for planned in plan.devices),
        "predicted": Predicted(speed.generation_tokens_per_s, speed.prompt_tokens_per_s, speed.basis),
    }


def command_fields(command: EngineCommand) -> dict[str, Any]:
    """What a record keeps of a command."""
    return {"argv": command.argv, "argv_sha256": argv_sha256(command.argv)}


def planned_record(planned: Planned, command: EngineCommand, build: str | None, **fields: Any) -> Record:
    """A record of `command` for the plan's model; `fields` are the rest. Only its own command has its figures."""
    engine = command.engine
    ours = plan_fields(planned.plan) if command is planned.command else {"rig": rig_data(planned.plan.rig)}
    about = {"engine": EngineInfo(engine.kind, engine.version or build, engine.path), "host": host_info()}
    values: dict[str, Any] = {
        "kind": "bench",
        "created_at": now(),
        "model": model_info(planned.plan.facts),
        **about,
        **command_fields(command),
        **ours,
    }
    return Record(**(values | fields))


def trial_record(
    kind: Kind, plan: Plan, engine: EngineRef, done: "Measured", shape: "TrialShape", *, group: str, label: str
) -> Record:
    """The record of one launch of a tune or a calibration, made now."""
    return Record(
        kind=kind,
        engine=EngineInfo(engine.kind, engine.version, engine.path),
        model=model_info(plan.facts),
        created_at=now(),
        label=label,
        group=group,
        host=host_info(),
        points=(point_of(done.runs, shape),) if done.runs else (),
        error=done.outcome.failed,
        **plan_fields(plan),
        **(command_fields(done.command) if done.command else {}),
    )


def chosen_records(ids: Iterable[int], group: str | None) -> tuple[Record, ...]:
    """Those of the numbers, or of the group, else the newest with its group. RecordsError where there are none."""
    numbers = tuple(dict.fromkeys(ids))
    with Records() as kept:
        if numbers:
            return tuple(kept.get(number) for number in numbers)
        newest = kept.list(group=group) if group else kept.list(limit=1)
        if group and not newest:
            raise RecordsError(f"there is no group {group}", "`splitter bench list` shows them")
        if not newest:
            raise RecordsError("nothing has been measured yet", "run `splitter bench MODEL` first")
        return kept.list(group=newest[0].group) if newest[0].group else newest


def keep(records: tuple[Record, ...]) -> tuple[int, ...]:
    """Keeps all of them; their ids."""
    with Records() as kept:
        return tuple(kept.add(record) for record in records)


def kept(record: Record) -> Record:
    """`record`, kept, with its id."""
    return replace(record, id=keep((record,))[0])


def check_keeping(save: bool) -> None:
    """RecordsError before anything is measured, when it could not be kept afterwards."""
    if not save:
        return
    try:
        with Records() as kept, kept.transaction():
            pass
    except RecordsError as error:
        raise RecordsError(error.message, f"{error.hint}; --no-save measures without keeping") from None
