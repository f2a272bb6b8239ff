"""A tune for people: every trial, the winner, the gain."""

from collections.abc import Iterator
from pathlib import Path

from rich.console import RenderableType
from rich.text import Text

from splitter.app.tuning import confirmation
from splitter.bench.stats import spread
from splitter.bench.tune.trial import Trial, layers_text
from splitter.bench.tune.tune import Tuned
from splitter.cli.views.sheet import Column, Row, Sheet, figures
from splitter.printable import printable_lines
from splitter.units import format_rate


def tune_view(tuned: Tuned, profile: Path | None) -> Iterator[RenderableType]:
    columns = (Column("trial", wraps=True), *figures("prompt t/s", "generation t/s", "from", "to"))
    yield Sheet(columns, tuple(Row((printable_lines(trial.label), *_cells(trial))) for trial in tuned.trials))
    gain = tuned.gain()
    faster = "" if gain is None else f", {100 * gain:+.1f} % over the start{confirmation(tuned)}"
    yield Text(f"fastest: {tuned.best.label} ({layers_text(tuned.best.counts)}){faster}", style="bold")
    why = "nothing is better by more than the noise" if tuned.ended_by != "time" else "the time is up"
    yield Text(f"{len(tuned.trials)} trials, {tuned.launches()} launches; {why}")
    if profile:
        yield Text(f"wrote {profile}")
    if tuned.ended_by == "time":
        yield Text("run the same command again to continue")


def _cells(trial: Trial) -> tuple[str, ...]:
    outcome = trial.outcome
    if outcome.failed is not None:
        return ("", printable_lines(outcome.failed), "", "")
    generation, prompt = spread(outcome.generation), spread(outcome.prompt)
    if generation is None:
        return ("?", "?", "?", "?")
    found = (prompt.median if prompt else None, generation.median, generation.minimum, generation.maximum)
    return tuple(format_rate(value, measured=True) for value in found)
