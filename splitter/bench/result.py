"""What a benchmark measured: frozen values."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

from splitter.bench.stats import Spread, spread

TimedBy = Literal["engine", "clock"]
LEAST_MERGED_S = 0.5  # koboldcpp's stream is 20 ms late at both ends: 8 % of half a second
LATE_FIRST_S = 0.4  # its first event comes no sooner than after 0.35 s, however short the prompt


@dataclass(frozen=True, slots=True)
class Timings:
    """What the engine itself says about one request; None where it does not.

    `first_token_free`: `generation_s` does not hold the first token, which the prompt's last batch gave. Drafted and
    accepted tokens are those of speculative decoding; None without it.
    """

    prompt_tokens: int | None = None
    prompt_s: float | None = None
    generated_tokens: int | None = None
    generation_s: float | None = None
    first_token_free: bool = False
    drafted_tokens: int | None = None
    accepted_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Arrivals:
    """When the events of an answer arrived, in seconds after sending (at least one), each of them one token.

    `merged`: an event may hold several tokens, and comes only when the server looks for new ones; `first_tokens` are
    those of the first event.
    """

    at_s: tuple[float, ...]
    merged: bool = False
    first_tokens: int = 1

    @property
    def gaps_s(self) -> tuple[float, ...]:
        """The times between two tokens; () where they are not known."""
        return () if self.merged else tuple(round(later - earlier, 6) for earlier, later in pairwise(self.at_s))

    def timed_s(self) -> float:
        """From the first event to the last; 0 where that says nothing about the speed."""
        took_s = self.at_s[-1] - self.at_s[0]
        return 0.0 if self.merged and took_s < LEAST_MERGED_S else took_s


@dataclass(frozen=True, slots=True)
class RunSample:
    """One measured request.

    `prompt_s` and `generation_s` are the engine's own times where it gives them (`timed_by` "engine"), else taken by
    our clock: until the first token, and from the first to the last one; 0 where neither tells. `timed_tokens` are
    those that `generation_s` took. `first_token_s` and `total_s` are always our clock's, from sending the request.
    `gaps_s` are the times between two tokens, () where tokens come merged; `sent_s` is when it was sent, on a clock
    that only differences of mean something. `drafted_tokens` and `accepted_tokens` as in Timings.
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
    drafted_tokens: int | None = None
    accepted_tokens: int | None = None

    @property
    def prompt_tokens_per_s(self) -> float | None:
        """None when the number of prompt tokens is unknown or took no time."""
        return self.prompt_tokens / self.prompt_s if self.prompt_tokens and self.prompt_s > 0 else None

    @property
    def generation_tokens_per_s(self) -> float | None:
        """None when nothing was timed."""
        return self.timed_tokens / self.generation_s if self.timed_tokens > 0 and self.generation_s > 0 else None


def acceptance(runs: Iterable[RunSample]) -> tuple[int, int] | None:
    """Tokens that were drafted and accepted; None where nothing was drafted."""
    told = [(run.drafted_tokens, run.accepted_tokens or 0) for run in runs if run.drafted_tokens]
    return (sum(drafted for drafted, _ in told), sum(accepted for _, accepted in told)) if told else None


def acceptance_text(runs: Iterable[RunSample]) -> str:
    """How many drafted tokens were accepted, in words; "" where nothing was drafted."""
    counts = acceptance(runs)
    return f"{100 * counts[1] / counts[0]:.0f} % of {counts[0]} drafted tokens were accepted" if counts else ""


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


def sample(said: Timings, arrivals: Arrivals, total_s: float) -> RunSample:
    """One run from what the engine said and when its tokens arrived. A time that neither tells is 0."""
    found = _timed(said, arrivals, total_s)
    return replace(found, drafted_tokens=said.drafted_tokens, accepted_tokens=said.accepted_tokens)


def _timed(said: Timings, arrivals: Arrivals, total_s: float) -> RunSample:
    first_s = arrivals.at_s[0]
    read_s = (
        said.prompt_s if said.prompt_s is not None else 0.0 if arrivals.merged and first_s < LATE_FIRST_S else first_s
    )
    generated = len(arrivals.at_s) if said.generated_tokens is None else said.generated_tokens
    clocks = (first_s, total_s)
    if said.generation_s is not None:
        timed = generated - 1 if said.first_token_free else generated
        times = (read_s, said.generation_s, *clocks)
        return RunSample(said.prompt_tokens, generated, *times, "engine", timed, arrivals.gaps_s)
    took_s = arrivals.timed_s()
    timed = generated - arrivals.first_tokens if took_s else 0
    return RunSample(said.prompt_tokens, generated, read_s, took_s, *clocks, "clock", timed, arrivals.gaps_s)
