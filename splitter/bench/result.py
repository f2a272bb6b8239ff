"""What a benchmark measured: frozen values."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from splitter.bench.stats import Spread, spread

TimedBy = Literal["engine", "clock"]


@dataclass(frozen=True, slots=True)
class Timings:
    """What the engine itself says about one request; None where it does not.

    `first_token_free`: `generation_s` does not hold the first token, which the prompt's last batch gave.
    """

    prompt_tokens: int | None = None
    prompt_s: float | None = None
    generated_tokens: int | None = None
    generation_s: float | None = None
    first_token_free: bool = False


@dataclass(frozen=True, slots=True)
class RunSample:
    """One measured request.

    `prompt_s` and `generation_s` are the engine's own times where it gives them (`timed_by` "engine"), else taken by
    our clock: until the first token, and from the first to the last one. `timed_tokens` are those that `generation_s`
    took. `first_token_s` and `total_s` are always our clock's, from sending the request. `gaps_s` are the times between
    two tokens; `sent_s` is when it was sent, on a clock that only differences of mean something.
    """

    prompt_tokens: int | None
    generated_tokens: int
    prompt_s: float
    generation_s: float
    first_token_s: float
    total_s: float
    timed_by: TimedBy
    timed_tokens: int
    gaps_s: tuple[float, ...] = ()
    sent_s: float = 0.0

    @property
    def prompt_tokens_per_s(self) -> float | None:
        """None when the number of prompt tokens is unknown or took no time."""
        return self.prompt_tokens / self.prompt_s if self.prompt_tokens and self.prompt_s > 0 else None

    @property
    def generation_tokens_per_s(self) -> float | None:
        """None when nothing was timed."""
        return self.timed_tokens / self.generation_s if self.timed_tokens > 0 and self.generation_s > 0 else None


@dataclass(frozen=True, slots=True)
class BenchResult:
    """The runs of one benchmark. `prompt_tokens` and `generated_tokens` were asked for; the runs say what was done."""

    url: str
    engine: str
    model: str
    prompt_tokens: int
    generated_tokens: int
    runs: tuple[RunSample, ...]

    @property
    def prompt_speed(self) -> Spread | None:
        """Prompt tokens per second."""
        return spread([v for run in self.runs if (v := run.prompt_tokens_per_s) is not None])

    @property
    def generation_speed(self) -> Spread | None:
        """Generated tokens per second."""
        return spread([v for run in self.runs if (v := run.generation_tokens_per_s) is not None])

    @property
    def first_token(self) -> Spread | None:
        """Seconds to the first token."""
        return spread([run.first_token_s for run in self.runs])


def sample(said: Timings, arrivals_s: tuple[float, ...], total_s: float) -> RunSample:
    """One run from what the engine said and when its tokens arrived (seconds after sending; at least one)."""
    first_s, last_s = arrivals_s[0], arrivals_s[-1]
    gaps_s = tuple(round(later - earlier, 6) for earlier, later in pairwise(arrivals_s))
    generated = len(arrivals_s) if said.generated_tokens is None else said.generated_tokens
    if said.prompt_s is not None and said.generation_s is not None:
        timed = generated - 1 if said.first_token_free else generated
        times = (said.prompt_s, said.generation_s, first_s, total_s)
        return RunSample(said.prompt_tokens, generated, *times, "engine", timed, gaps_s)
    times = (first_s, last_s - first_s, first_s, total_s)
    return RunSample(said.prompt_tokens, generated, *times, "clock", generated - 1, gaps_s)
