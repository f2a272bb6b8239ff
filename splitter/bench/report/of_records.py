"""Records to a Report: which numbers belong into which chart."""

import shlex
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from splitter.bench.records.record import Point, Record
from splitter.bench.report.memory import memories
from splitter.bench.report.sheets import about, cards, points_sheet, rig_sheet
from splitter.bench.report.values import (
    Command,
    Figure,
    Pair,
    Pairs,
    Report,
    Series,
    SpeedByDepth,
    TrialPoint,
    TuneHistory,
    Value,
)
from splitter.bench.report.words import finite, measured, milliseconds, percent, rate, tokens, value_of
from splitter.bench.result import RunSample
from splitter.bench.stats import spread

MEASURES = (("Generation", "generation_tokens_per_s"), ("Prompt", "prompt_tokens_per_s"))


def report(records: Sequence[Record], made_at: str, title: str = "") -> Report:
    """What `records` say together; `made_at` is the day and time to print."""
    ordered = sorted(records, key=lambda record: (record.created_at, record.id or 0))
    tunes = tune_histories(ordered)
    winners = _winners(ordered)
    shown = [record for record in ordered if record.kind != "tune"] or winners
    return Report(
        title=title or _title(ordered),
        subtitle=about(ordered),
        made_at=made_at,
        figures=figures(shown, tunes),
        memories=memories(shown),
        speeds=speeds(shown),
        tunes=tunes,
        pairs=pairs(shown),
        reasons=tuple(dict.fromkeys(f"{name_of(record)}: {record.note}" for record in ordered if record.note)),
        warnings=_warnings(ordered),
        sheets=(*points_sheet(ordered), *rig_sheet(ordered), *cards([*shown, *winners])),
        commands=_commands([*shown, *winners]),
    )


def name_of(record: Record) -> str:
    """The label, else the kind and number."""
    return record.label or (f"{record.kind} {record.id}" if record.id is not None else record.kind)


def _title(records: Sequence[Record]) -> str:
    names = dict.fromkeys(record.model.name or record.model.path or "unknown model" for record in records)
    return " and ".join(names) if 0 < len(names) <= 2 else f"{len(names)} models" if names else "Nothing measured"


def _winners(records: Sequence[Record]) -> list[Record]:
    """The fastest trial of each tune: it stands for the tune outside its history."""
    best = []
    for trials in _groups(records).values():
        won = max(trials, key=lambda trial: value.middle if (value := objective(trial)) else -1.0)
        best.append(won)
    return best


def _groups(records: Iterable[Record]) -> dict[str, list[Record]]:
    groups: dict[str, list[Record]] = {}
    for record in records:
        if record.kind == "tune":
            groups.setdefault(record.group, []).append(record)
    return groups


def objective(record: Record) -> Value | None:
    """Tokens per second of a whole request, prompt and answer, as tune scores; the generation speed where that is all.

    Taken at the smallest depth and concurrency that has one.
    """
    for point in sorted(record.points, key=lambda point: (point.concurrency, point.depth)):
        scores = [score for sample in point.samples if (score := _score(sample)) is not None]
        value = value_of(spread(scores)) or value_of(point.generation_tokens_per_s)
        if value is not None:
            return value
    return None


def _score(sample: RunSample) -> float | None:
    taken = sample.prompt_s + sample.generation_s
    return (sample.prompt_tokens + sample.timed_tokens) / taken if sample.prompt_tokens and taken > 0 else None


def tune_histories(records: Iterable[Record]) -> tuple[TuneHistory, ...]:
    """One per group of trials, in the order of their records."""
    return tuple(TuneHistory(group or "tune", tuple(_trials(trials))) for group, trials in _groups(records).items())


def _trials(records: Sequence[Record]) -> Iterable[TrialPoint]:
    best: float | None = None
    for number, record in enumerate(records, 1):
        value = None if record.error else objective(record)
        if value is not None:
            best = max(best or 0.0, value.middle)
        problem = record.error or ("" if value is not None else "no generation speed")
        yield TrialPoint(number, record.label or f"launch {number}", value, best, problem)


def speeds(records: Sequence[Record]) -> tuple[SpeedByDepth, ...]:
    """The measures that were taken at two depths or more."""
    charts = (SpeedByDepth(what, tuple(_series(records, field))) for what, field in MEASURES)
    return tuple(chart for chart in charts if any(len(series.points) > 1 for series in chart.series))


def _series(records: Sequence[Record], field: str) -> Iterable[Series]:
    def key(point: Point) -> tuple[int, int, int]:
        return point.concurrency, point.n_prompt, point.n_generate

    for record in records:
        for (concurrency, _, _), group in groupby(sorted(record.points, key=lambda p: (key(p), p.depth)), key):
            found = [(point.depth, value_of(getattr(point, field))) for point in group]
            points = tuple((depth, value) for depth, value in found if value is not None)
            if points:
                suffix = f", {concurrency} at once" if concurrency > 1 else ""
                yield Series(name_of(record) + suffix, points)


def pairs(records: Sequence[Record]) -> tuple[Pairs, ...]:
    """Predicted beside measured; also records without a prediction, so that alternatives can be compared."""
    charts = (Pairs(what, tuple(_pair_rows(records, field))) for what, field in MEASURES)
    return tuple(chart for chart in charts if any(row.measured or row.problem for row in chart.rows))


def _pair_rows(records: Sequence[Record], field: str) -> Iterable[Pair]:
    for record in records:
        promised = None if record.predicted is None else finite(getattr(record.predicted, field))
        alone = sorted((p for p in record.points if p.concurrency == 1), key=lambda point: point.depth)
        value = next((v for p in alone if (v := value_of(getattr(p, field))) is not None), None)
        if value is not None or record.error:
            basis = record.predicted.basis if record.predicted and promised is not None else ""
            yield Pair(name_of(record), promised, value, basis, record.error or "")


def figures(records: Sequence[Record], tunes: Sequence[TuneHistory]) -> tuple[Figure, ...]:
    """The headline of the newest record that measured something, and of the newest tune."""
    return (*_speed_figures(records), *(_tune_figure(tune) for tune in tunes[-1:]))


def _speed_figures(records: Sequence[Record]) -> Iterable[Figure]:
    record = max((r for r in records if r.points), key=_fastest, default=None)
    if record is None:
        return
    point = min(record.points, key=lambda point: (point.concurrency, point.depth))
    at = name_of(record) + (f", depth {tokens(point.depth)}" if point.depth else "")
    generation, prompt = value_of(point.generation_tokens_per_s), value_of(point.prompt_tokens_per_s)
    if generation is not None:
        yield Figure("Generation", f"{measured(generation)} t/s", at)
    if prompt is not None:
        yield Figure("Prompt", f"{measured(prompt)} t/s", f"{point.n_prompt} tokens")
    if point.first_token_s is not None:
        yield Figure(
            "First token",
            f"{milliseconds(point.first_token_s.p50)} ms",
            f"p95 {milliseconds(point.first_token_s.p95)} ms",
        )


def _fastest(record: Record) -> float:
    value = objective(record)
    return value.middle if value else -1.0


def _tune_figure(tune: TuneHistory) -> Figure:
    won, gain = tune.winner(), tune.gain()
    best = rate(won.value.middle) if won and won.value else "?"
    detail = f"{best} t/s, best of {len(tune.trials)} launches"
    return Figure("Tune", percent(gain), detail)


def _warnings(records: Iterable[Record]) -> tuple[str, ...]:
    texts: dict[str, None] = {}
    for record in records:
        if record.error:
            texts[f"{name_of(record)}: {record.error}"] = None
        texts.update(dict.fromkeys(f"{name_of(record)}: {w}" for point in record.points for w in point.warnings))
    return tuple(texts)


def _commands(records: Iterable[Record]) -> tuple[Command, ...]:
    found: dict[tuple[Any, ...], Command] = {}
    for record in records:
        if record.argv and record.argv not in found:
            found[record.argv] = Command(name_of(record), shlex.join(record.argv))
    return tuple(found.values())
