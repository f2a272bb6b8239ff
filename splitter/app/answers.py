"""The `data` objects of what `app.wire` does not know: models, rankings, tunes, calibrations, records, remedies."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from splitter.app.wire import engine_data, error_item, model_data, settings_data
from splitter.bench.plain import to_plain
from splitter.bench.records.record import to_dict
from splitter.bench.stats import spread
from splitter.memory.model import MemoryModel
from splitter.memory.settings import Settings
from splitter.model.attention import cache_layers
from splitter.model.summary import summarize

if TYPE_CHECKING:
    from splitter.app.calibrating import Calibrated
    from splitter.app.listing import ListedModel
    from splitter.app.tuning import TuneJob
    from splitter.bench.calibrate.store import Kept
    from splitter.bench.records.record import Record
    from splitter.bench.tune.trial import Candidate
    from splitter.bench.tune.tune import Tuned
    from splitter.bench.verdict import PointRatio
    from splitter.model.facts import ModelFacts
    from splitter.plan.advise import Advice, RankedFile
    from splitter.rig.device import Rig

CONTEXT_STEP = 8192  # KV per token is what the cache grows by, seen over two contexts beyond every window


def models_data(listed: "tuple[ListedModel, ...]", rig: "Rig | None", notes: tuple[str, ...]) -> dict[str, Any]:
    """The models that were found, with what their headers and the solver say."""
    return {
        "rig": rig.name if rig else None,
        "models": [_model_data(item) for item in listed],
        "notes": list(notes),
    }


def _model_data(item: "ListedModel") -> dict[str, Any]:
    found, facts, plan = item.found, item.facts, item.plan
    return {
        "name": found.name,
        "path": found.path,
        "source": found.source,
        "size_bytes": found.size_bytes,
        "parts": found.parts,
        "missing_parts": found.missing_parts,
        "kind": item.kind,
        "architecture": facts.architecture if facts else None,
        "quantization": facts.quantization if facts else None,
        "layers": facts.layers if facts else None,
        "context_train": facts.context_train if facts else None,
        "parameters": facts.parameters if facts else None,
        "fit": item.fit,
        "gpu_layers": plan.settings.gpu_layers if plan else None,
        "context_size": plan.settings.context_size if plan else None,
        "generation_tokens_per_s": plan.speed.generation_tokens_per_s if plan else None,
        "prompt_tokens_per_s": plan.speed.prompt_tokens_per_s if plan else None,
        "error": error_item(item.error) if item.error else None,
    }


def cache_growth(facts: "ModelFacts") -> tuple[int, int]:
    """Bytes of an f16 cache per token of context, and the fixed part (windows, recurrent state) for one slot."""
    small, large = (_cache_bytes(facts, tokens) for tokens in (CONTEXT_STEP * 4, CONTEXT_STEP * 5))
    per_token = (large - small) // CONTEXT_STEP
    return per_token, small - per_token * CONTEXT_STEP * 4


def _cache_bytes(facts: "ModelFacts", tokens: int) -> int:
    settings = Settings(context_size=tokens, gpu_layers=0, device_order=(), parallel=1)
    return sum(MemoryModel(facts, settings).layer_context_bytes)


def inspect_data(facts: "ModelFacts") -> dict[str, Any]:
    """What a header says."""
    summary = summarize(facts)
    per_token, fixed = cache_growth(facts) if facts.layers else (0, 0)
    cached = [asdict(layer) for layer in cache_layers(facts)] if facts.layers else []
    return {
        "model": model_data(facts),
        "vocabulary": facts.vocabulary,
        **asdict(summary),
        "kv_bytes_per_token": per_token,
        "cache_fixed_bytes": fixed,
        "cache_layers": cached,
    }


def advice_data(name: str, rig: "Rig", advice: "Advice") -> dict[str, Any]:
    """A ranking."""
    return {
        "repository": name,
        "rig": rig.name,
        "files": [_file_data(file) for file in advice.files],
        "recommended": advice.recommended,
        "reason": advice.reason,
    }


def _file_data(file: "RankedFile") -> dict[str, Any]:
    facts, error = file.candidate.facts, file.candidate.error
    return {
        "file": file.file,
        "quantization": facts.quantization if facts else None,
        "file_bytes": facts.file_bytes if facts else None,
        "bits_per_weight": file.bits_per_weight,
        "quality": file.quality,
        "fits": file.fits,
        "on_gpus": file.on_gpus if file.fits else None,
        "gpu_layers": file.gpu_layers,
        "layers": file.layers,
        "context_size": file.context_size,
        "generation_tokens_per_s": file.tokens_per_s,
        "error": error_item(error) if error else None,
    }


def tune_data(job: "TuneJob", tuned: "Tuned", profile: Path | None) -> dict[str, Any]:
    """A tune, trial by trial."""
    return {
        "start": _candidate_data(tuned, tuned.start),
        "best": _candidate_data(tuned, tuned.best),
        "gain": tuned.gain(),
        "confirmed": to_plain(tuned.confirmed),
        "ended_by": tuned.ended_by,
        "launches": tuned.launches(),
        "trials": [
            {"label": trial.label, "record_id": trial.record_id, **to_plain(trial.outcome)} for trial in tuned.trials
        ],
        "profile": str(profile) if profile else None,
        "engine": engine_data(job.task.engine),
    }


def _candidate_data(tuned: "Tuned", found: "Candidate") -> dict[str, Any]:
    speed = spread(tuned.speeds(found.key))
    return {
        "label": found.label,
        "settings": settings_data(found.settings),
        "layers": dict(found.counts),
        "predicted_tokens_per_s": found.predicted,
        "generation_tokens_per_s": to_plain(speed),
    }


def calibrated_data(rig: "Rig", done: "Calibrated") -> dict[str, Any]:
    """What a calibration measured."""
    known = {device.id: device for device in rig.devices}
    flops = dict(done.fitted.flops)
    return {
        "cards": [
            {
                "id": name,
                "name": known[name].name,
                "bandwidth_bytes_per_s": round(value),
                "assumed_bandwidth_bytes_per_s": known[name].bandwidth_bytes_per_s,
                "fp16_flops": flops.get(name),
            }
            for name, value in done.fitted.bandwidths
        ],
        "host_bandwidth_bytes_per_s": done.fitted.host_bandwidth,
        "hop_s": done.fitted.hop_s,
        "layer_s": done.fitted.layer_s,
        "worst_error": done.fitted.worst_error,
        "runs": [{"label": load.label, "outcome": to_plain(found.outcome)} for load, found in done.runs],
    }


def kept_data(kept: "Sequence[Kept]") -> dict[str, Any]:
    """The calibrations that are kept."""
    return {"calibrations": [to_plain(item) for item in kept]}


def bench_data(record: "Record") -> dict[str, Any]:
    """The record as JSON, with the figures of its first point in front."""
    data = to_dict(record)
    if not record.points:
        return data
    names = ("prompt_tokens_per_s", "generation_tokens_per_s", "first_token_s")
    return {name: data["points"][0][name] for name in names} | data


def ratio_data(item: "PointRatio") -> dict[str, Any]:
    """One point of a comparison as JSON."""
    return asdict(item)


def duel_data(records: "Sequence[Record]") -> dict[str, Any]:
    """The alternatives of one comparison, the first of which is the plan."""
    from splitter.bench.records.record import to_dict
    from splitter.bench.verdict import compare_records

    rows = [
        {"record": to_dict(record), "plan_over_it": [ratio_data(item) for item in compare_records(records[0], record)]}
        for record in records
    ]
    return {"group": records[0].group, "alternatives": rows}
