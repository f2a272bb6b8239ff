"""What an engine has worked since its supervisor began: a pure count over its log and its slots.

A request's tokens count as they come, where /slots tells them, and exactly once it ends, where the log does: nothing is
counted twice, and the count never falls.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from splitter.engine.log.timings import Timing, task_in, timings

REMEMBERED = 64  # tasks that ended: an answer of /slots may be older than the log line


@dataclass(frozen=True, slots=True)
class Tally:
    """Finished `requests`; `generated_tokens` of these and of those under way; prompt tokens without cached ones.

    The seconds are those of finished requests, added up: requests that ran side by side count each its own;
    `timed_prompt_tokens` are the prompt tokens whose time the engine told. `last_*` are the speeds of the latest
    finished request alone.
    """

    requests: int = 0
    generated_tokens: int = 0
    prompt_tokens: int = 0
    finished_tokens: int = 0
    generation_s: float = 0.0
    prompt_s: float = 0.0
    last_generation_tokens_per_s: float | None = None
    last_prompt_tokens_per_s: float | None = None
    timed_prompt_tokens: int = 0
    counted: Mapping[int, int] = field(default_factory=dict)
    ended: tuple[int, ...] = ()
    task: int | None = None

    def generation_tokens_per_s(self) -> float | None:
        """The mean speed of one request since the start."""
        return rate(self.finished_tokens, self.generation_s)

    def prompt_tokens_per_s(self) -> float | None:
        """The mean prompt speed since the start."""
        return rate(self.timed_prompt_tokens, self.prompt_s)


def rate(tokens: int, seconds: float | None) -> float | None:
    """Tokens per second; None when nothing was measured."""
    return tokens / seconds if tokens and seconds and seconds > 0 else None


def after_line(tally: Tally, line: str) -> Tally:
    """The tally after one line of the engine's log."""
    told = timings(line)
    if not told:
        named = task_in(line)
        return tally if named is None or named == tally.task else replace(tally, task=named)
    for timing in told:
        tally = after_prompt(tally, timing) if timing.prompt else after_answer(tally, timing)
    return tally


def after_prompt(tally: Tally, timing: Timing) -> Tally:
    """A prompt was read."""
    return replace(
        tally,
        prompt_tokens=tally.prompt_tokens + timing.tokens,
        prompt_s=tally.prompt_s + (timing.seconds or 0.0),
        timed_prompt_tokens=tally.timed_prompt_tokens + (0 if timing.seconds is None else timing.tokens),
        last_prompt_tokens_per_s=rate(timing.tokens, timing.seconds) or tally.last_prompt_tokens_per_s,
    )


def after_answer(tally: Tally, timing: Timing) -> Tally:
    """A request ended: what was not yet counted of it is added."""
    task = tally.task if timing.task is None else timing.task
    before = 0 if task is None else tally.counted.get(task, 0)
    return replace(
        tally,
        requests=tally.requests + 1,
        generated_tokens=tally.generated_tokens + max(0, timing.tokens - before),
        finished_tokens=tally.finished_tokens + timing.tokens,
        generation_s=tally.generation_s + (timing.seconds or 0.0),
        last_generation_tokens_per_s=rate(timing.tokens, timing.seconds) or tally.last_generation_tokens_per_s,
        counted={other: count for other, count in tally.counted.items() if other != task},
        ended=tally.ended if task is None else (*tally.ended[1 - REMEMBERED :], task),
        task=task,
    )


def after_slots(tally: Tally, generated: Mapping[int, int]) -> Tally:
    """What the tasks under way have generated; a task that is no longer named was cancelled or will be in the log."""
    live = {task: count for task, count in generated.items() if task not in tally.ended}
    new = sum(max(0, count - tally.counted.get(task, 0)) for task, count in live.items())
    counted = {task: max(count, tally.counted.get(task, 0)) for task, count in {**tally.counted, **live}.items()}
    newest = dict(sorted(counted.items())[-REMEMBERED:])
    return replace(tally, generated_tokens=tally.generated_tokens + new, counted=newest)


def after_restart(tally: Tally) -> Tally:
    """A new process counts its tasks from 0 again; the totals stay."""
    return replace(tally, counted={}, ended=(), task=None)
