"""Rounds of requests -> Point: speeds together and per request, latencies, energy, warnings. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from splitter.bench.energy import Energy
from splitter.bench.records.record import Point
from splitter.bench.result import RunSample
from splitter.bench.stats import Spread, percentiles, spread
from splitter.bench.stopping import EndedBy, half_width

NOISY = 0.10  # the range of the speeds as a share of their median
TOLERATED_CACHED = 2  # a prompt's first tokens may be the same as the last prompt's

Round = tuple[RunSample, ...]


@dataclass(frozen=True, slots=True)
class Shape:
    """What one point asks for: `depth` tokens in the context, then `n_prompt` to read and `n_generate` to write."""

    n_prompt: int
    n_generate: int
    depth: int = 0
    concurrency: int = 1


def prompt_speed(round_: Round) -> float | None:
    """Prompt tokens per second of all requests together: the request's own, or until the last one's first token."""
    if len(round_) == 1:
        return round_[0].prompt_tokens_per_s
    if any(run.prompt_tokens is None or run.prompt_s <= 0 for run in round_):
        return None
    start_s = min(run.sent_s for run in round_)
    took_s = max(run.sent_s + run.first_token_s for run in round_) - start_s
    return sum(run.prompt_tokens or 0 for run in round_) / took_s if took_s > 0 else None


def generation_speed(round_: Round) -> float | None:
    """Generated tokens per second of all requests together: the request's own, or from the first token to the last."""
    if len(round_) == 1:
        return round_[0].generation_tokens_per_s
    if all(run.generated_tokens > 1 and not run.gaps_s for run in round_):
        return merged_speed(round_)
    first_s = min(run.sent_s + run.first_token_s for run in round_)
    took_s = max(run.sent_s + run.first_token_s + sum(run.gaps_s) for run in round_) - first_s
    return (sum(run.generated_tokens for run in round_) - 1) / took_s if took_s > 0 else None


def merged_speed(round_: Round) -> float | None:
    """`generation_speed` where tokens come merged: from when the first answer began to when the last one ended."""
    if any(run.generation_s <= 0 for run in round_):
        return None
    ends_s = [run.sent_s + run.total_s for run in round_]
    began_s = min(end_s - run.generation_s for end_s, run in zip(ends_s, round_, strict=True))
    return sum(run.timed_tokens for run in round_) / (max(ends_s) - began_s)


def known(values: Sequence[float | None]) -> list[float]:
    """The values that are there."""
    return [value for value in values if value is not None]


def point(
    shape: Shape, rounds: Sequence[Round], by: EndedBy, energy: Energy | None = None, notes: Sequence[str] = ()
) -> Point:
    """The point that `rounds` measured."""
    runs = [run for round_ in rounds for run in round_]
    told = all(run.prompt_s > 0 for run in runs), not unmeasured(runs)  # else only the slow ones would count
    prompt = known([prompt_speed(r) for r in rounds]) if told[0] else []
    generation = known([generation_speed(r) for r in rounds]) if told[1] else []
    cached = depth_cached(shape, runs)
    noises = noise("prompt", prompt), noise("generation", generation)
    found = (*noises, reread(shape, cached), queued(shape, runs), unmeasured(runs))
    return Point(
        shape.n_prompt,
        shape.n_generate,
        shape.depth,
        shape.concurrency,
        len(rounds),
        1,
        spread(prompt),
        spread(generation),
        spread(known([run.prompt_tokens_per_s for run in runs]) if told[0] else []),
        spread(known([run.generation_tokens_per_s for run in runs]) if told[1] else []),
        percentiles([run.first_token_s for run in runs]),
        percentiles([gap for run in runs for gap in run.gaps_s]),
        tuple(runs),
        energy.per_token(sum(run.generated_tokens for run in runs)) if energy else None,
        energy.source if energy else None,
        by,
        half_width(generation),
        cached,
        tuple(text for text in (*notes, *found) if text),
    )


def shape_of(found: Point) -> Shape:
    """What `found` asked for."""
    return Shape(found.n_prompt, found.n_generate, found.depth, found.concurrency)


def rounds_of(found: Point) -> tuple[Round, ...]:
    """The repetitions of `found`: its samples, `concurrency` at a time."""
    size = found.concurrency
    return tuple(found.samples[i : i + size] for i in range(0, len(found.samples), size))


def joined(points: Sequence[Point]) -> Point:
    """One point out of one per launch, all of the same shape and number of repetitions."""
    rounds = [round_ for each in points for round_ in rounds_of(each)]
    energies = [each.energy_j_per_token for each in points if each.energy_j_per_token is not None]
    energy = sum(energies) / len(energies) if energies else None
    fresh = point(shape_of(points[0]), rounds, "repetitions")
    return replace(fresh, launches=len(points), energy_j_per_token=energy, energy_from=points[0].energy_from)


def depth_cached(shape: Shape, runs: Sequence[RunSample]) -> bool | None:
    """Whether the depth came from the cache; None at depth 0 or where the server does not count."""
    if not shape.depth or any(run.prompt_tokens is None for run in runs):
        return None
    return all((run.prompt_tokens or 0) <= shape.n_prompt + TOLERATED_CACHED for run in runs)


def noise(what: str, values: Sequence[float]) -> str:
    """The warning about speeds that differ too much; "" where they do not."""
    found = spread(values)
    if found is None or not is_noisy(found):
        return ""
    share = 100 * (found.maximum - found.minimum) / found.median
    text = f"the {what} speeds differ by {share:.0f} % ({found.minimum:.1f} to {found.maximum:.1f} t/s)"
    return f"{text}: another program is using the machine, or a card changes its clock"


def is_noisy(found: Spread) -> bool:
    """Whether the range is large against the median."""
    return found.count > 1 and found.median > 0 and (found.maximum - found.minimum) / found.median > NOISY


def reread(shape: Shape, cached: bool | None) -> str:
    """The warning about a depth that no cache held."""
    if not shape.depth or cached:
        return ""
    return f"the {shape.depth} tokens of the depth were read again each time: the prompt speed is over all of them"


def unmeasured(runs: Sequence[RunSample]) -> str:
    """The warning about answers that came in too few pieces to time."""
    if all(run.timed_tokens for run in runs):
        return ""
    return (
        "the generation speed is not measurable: the server sends its answers in pieces of several tokens and does not "
        "say how long they took; generate more tokens (--generate 512), or let splitter launch the engine"
    )


def queued(shape: Shape, runs: Sequence[RunSample]) -> str:
    """The warning about a server that serves the requests one after the other."""
    if shape.concurrency == 1 or not runs or not (shortest := min(run.first_token_s for run in runs)):
        return ""
    waited = max(run.first_token_s for run in runs)
    alone = min(run.total_s for run in runs)
    return "some requests waited for others to end" if waited > alone > shortest else ""
