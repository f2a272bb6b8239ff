"""The requests of a trial as the point of a record."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from splitter.bench.records.record import Point
from splitter.bench.result import RunSample
from splitter.bench.stats import percentiles, spread

if TYPE_CHECKING:
    from splitter.bench.tune.run import TrialShape


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
