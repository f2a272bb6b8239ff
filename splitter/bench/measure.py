"""Measures a running server: rounds of requests at each depth and concurrency until the spread is small."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial

from splitter.bench.cards import EnergyMeter
from splitter.bench.client import Target, batch_times, fill, identify, make_prompt, run_once, told_by_log
from splitter.bench.dialects import PromptRequest
from splitter.bench.points import Round, Shape, generation_speed, known, point, prompt_speed
from splitter.bench.records.record import Point
from splitter.bench.result import BenchResult, RunSample
from splitter.bench.stopping import EndedBy, Stopping, ended
from splitter.errors import UsageError
from splitter.rig.device import Rig

Progress = Callable[[int, int], None]
DEPTH_NUMBER = 1_000_000  # the prompts that fill a depth have numbers of their own


def measure(
    url: str,
    *,
    api_key: str | None = None,
    model: str | None = None,
    engine: str | None = None,
    n_prompt: int = 512,
    n_generate: int = 128,
    repetitions: int = 5,
    seed: int = 0,
    timeout_s: float = 600,
    on_progress: Progress | None = None,
) -> BenchResult:
    """Sends one request to warm up, then `repetitions` measured ones; `on_progress` gets (done, all) after each.

    Every request has another prompt of `n_prompt` tokens (exactly so on llama-server; elsewhere as near as words allow)
    and asks for `n_generate` tokens. `model` is asked for by name where the server has several; `engine` is what the
    result calls the server, when the caller knows better than its interface tells. `timeout_s` bounds the silence
    between two tokens. Raises UsageError for values that cannot be measured, EngineError when the server is not there,
    refuses, or dies.
    """
    require_measurable(n_prompt, n_generate, repetitions)
    target = identify(url, api_key, model, timeout_s)
    runs: list[RunSample] = []
    for number, round_ in enumerate(rounds(PointJob(target, Shape(n_prompt, n_generate), seed))):
        runs += round_ if number else ()
        if on_progress:
            on_progress(number + 1, repetitions + 1)
        if number == repetitions:
            break
    return BenchResult(target.url, engine or target.dialect.name, target.model, n_prompt, n_generate, tuple(runs))


@dataclass(frozen=True, slots=True)
class Sweep:
    """What to measure: every depth at every concurrency; the `stopping` budget is for all points together."""

    n_prompt: int = 512
    n_generate: int = 128
    depths: tuple[int, ...] = (0,)
    concurrencies: tuple[int, ...] = (1,)
    stopping: Stopping = field(default_factory=Stopping)
    seed: int = 0
    timeout_s: float = 600

    def shapes(self) -> tuple[Shape, ...]:
        """The points in the order in which they are measured."""
        every = ((depth, together) for depth in self.depths for together in self.concurrencies)
        return tuple(Shape(self.n_prompt, self.n_generate, *pair) for pair in every)


@dataclass(frozen=True, slots=True)
class PointJob:
    """One point to measure; `rig` names the cards whose energy is read."""

    target: Target
    shape: Shape
    seed: int = 0
    rig: Rig | None = None


def measure_points(
    target: Target, sweep: Sweep, *, rig: Rig | None = None, on_progress: Callable[[str], None] | None = None
) -> tuple[Point, ...]:
    """Every point of `sweep` on the server that `client.identify` found. Raises as `measure` does.

    Each point has one round to warm up, then rounds until its rule ends it; what a point leaves of its share of the
    budget is there for the next ones. `rig` names the cards whose energy is read.
    """
    require_measurable(sweep.n_prompt, sweep.n_generate, sweep.stopping.repetitions or 1)
    if min(sweep.depths, default=-1) < 0 or min(sweep.concurrencies, default=0) < 1:
        raise UsageError("a depth is 0 or more, a concurrency 1 or more", "give for example --depths 0,4096")
    shapes, points = sweep.shapes(), []
    started_s = time.monotonic()
    for number, shape in enumerate(shapes):
        rule, budget_s = sweep.stopping, sweep.stopping.budget_s
        if budget_s is not None:
            left_s = started_s + budget_s - time.monotonic()
            rule = replace(rule, budget_s=max(0.0, left_s) / (len(shapes) - number))
        say = f"point {number + 1} of {len(shapes)}: depth {shape.depth}, {shape.concurrency} at once"
        points.append(
            measure_point(PointJob(target, shape, sweep.seed, rig), rule, on_progress and _telling(on_progress, say))
        )
    return tuple(points)


def _telling(on_progress: Callable[[str], None], what: str) -> Callable[[int], None]:
    return lambda done: on_progress(f"{what}, repetition {done + 1}")


def measure_point(job: PointJob, rule: Stopping, on_round: Callable[[int], None] | None = None) -> Point:
    """One point: `on_round` gets the number of finished repetitions before each further one."""
    started_s = time.monotonic()
    measuring = rounds(job)
    next(measuring)
    done: list[Round] = []
    longest_s, by = 0.0, None
    with EnergyMeter(job.rig) as meter:
        while by is None:
            if on_round:
                on_round(len(done))
            begun_s = time.monotonic()
            done.append(next(measuring))
            longest_s = max(longest_s, time.monotonic() - begun_s)
            by = why_ended(done, time.monotonic() - started_s, longest_s, rule)
    return point(job.shape, done, by, meter.energy, notes(job))


def why_ended(done: Sequence[Round], elapsed_s: float, longest_s: float, rule: Stopping) -> EndedBy | None:
    """None while more rounds are wanted."""
    series = (known([generation_speed(r) for r in done]), known([prompt_speed(r) for r in done]))
    return ended(series, len(done), elapsed_s, longest_s, rule)


def notes(job: PointJob) -> tuple[str, ...]:
    """What the server's own words say about the point."""
    slots, together = job.target.slots, job.shape.concurrency
    if slots is not None and together > slots:
        return (f"the server has {slots} slots: {together} requests at once have to wait for each other",)
    return ()


def rounds(job: PointJob) -> Iterator[Round]:
    """Endless rounds of `shape.concurrency` requests at once, the first one to warm up.

    Prompts are unique. On llama-server the depth is read once per slot and then taken from its cache; elsewhere, where
    no interface says what is cached, it is a part of every prompt.
    """
    target, together = job.target, job.shape.concurrency
    require_room(target, job.shape)
    depths = fill_depth(job)
    words = wanted = job.shape.n_prompt + (0 if depths else job.shape.depth)
    number = 0
    with ThreadPoolExecutor(together) as pool:
        while True:
            tasks = [task_of(job, words, number, i, depths[i] if depths else None) for i in range(together)]
            before = batch_times(target)
            done = told_by_log(target, tuple(pool.map(partial(run_once, target), tasks)), before)
            if number == 0:
                words = max(1, round(words * wanted / (done[0].prompt_tokens or wanted)))
            number += 1
            yield done


def fill_depth(job: PointJob) -> list[list[int]]:
    """Reads the depth into the cache of one slot per request; its token ids. [] where there is nothing to do."""
    target, depth = job.target, job.shape.depth
    if not depth or not target.dialect.takes_ids:
        return []
    filled = []
    for i in range(job.shape.concurrency):
        ids = make_prompt(target, depth, depth, job.seed, DEPTH_NUMBER + i)
        prefix = [number for number in ids if isinstance(number, int)]
        fill(target, PromptRequest(prefix, 0, job.seed, target.model, slot_of(target, i)))
        filled.append(prefix)
    return filled


def slot_of(target: Target, i: int) -> int:
    """The slot of the `i`-th request of a round."""
    return i % (target.slots or 1)


def task_of(job: PointJob, words: int, number: int, i: int, prefix: list[int] | None) -> PromptRequest:
    """The `i`-th request of round `number`: a new prompt, behind the cached depth where there is one."""
    target, shape = job.target, job.shape
    n_prompt = words if prefix is None and shape.depth else shape.n_prompt
    own = make_prompt(target, words, n_prompt, job.seed, number * shape.concurrency + i)
    if prefix is None or isinstance(own, str):
        return PromptRequest(own, shape.n_generate, job.seed, target.model)
    return PromptRequest([*prefix, *own], shape.n_generate, job.seed, target.model, slot_of(target, i))


def require_measurable(n_prompt: int, n_generate: int, repetitions: int) -> None:
    """UsageError for values that measure nothing."""
    if n_prompt < 1 or n_generate < 2 or repetitions < 1:
        raise UsageError(
            "a benchmark needs a prompt, at least 2 generated tokens and one repetition", "give larger numbers"
        )


def require_room(target: Target, shape: Shape) -> None:
    """UsageError when one request does not fit the server's context."""
    asked = (*((shape.depth,) if shape.depth else ()), shape.n_prompt, shape.n_generate)
    if target.slot_tokens is not None and sum(asked) > target.slot_tokens:
        message = f"{' + '.join(map(str, asked))} tokens do not fit the server's context of {target.slot_tokens}"
        raise UsageError(message, "measure fewer tokens, or start the server with a larger -c")
