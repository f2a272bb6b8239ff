"""Runs one trial: proves that it fits, starts the engine, measures, stops the engine. Never leaves one behind."""

from dataclasses import dataclass

from splitter.bench.measure import measure
from splitter.bench.result import BenchResult, RunSample
from splitter.bench.tune.trial import Outcome, score
from splitter.engine.command import EngineCommand, EngineRef, Server
from splitter.engine.commands import build_command
from splitter.engine.llama_server.dry_run import find_dry_run, verify
from splitter.engine.log.events import OutOfMemory, events
from splitter.engine.log.last_words import last_words
from splitter.errors import EngineError, EngineNotFoundError, SplitterError
from splitter.plan.plan import Plan
from splitter.run.endpoint import any_free_port
from splitter.run.supervisor import launch


@dataclass(frozen=True, slots=True)
class TrialShape:
    """One request: tokens of its prompt and its answer; seconds the engine may take to load and between two tokens."""

    n_prompt: int
    n_generate: int
    start_timeout_s: float = 600.0
    silence_s: float = 120.0


@dataclass(frozen=True, slots=True)
class Measured:
    """The command that was started, what it gave, and the requests behind that."""

    command: EngineCommand | None
    outcome: Outcome
    runs: tuple[RunSample, ...] = ()


def run_trial(plan: Plan, engine: EngineRef, shape: TrialShape, repetitions: int) -> Measured:
    """Measures `plan` on a free port of the loopback. A refusal by the dry run or a death is an outcome, no error."""
    try:
        command = build_command(plan, engine, Server(port=any_free_port()))
        refused = refusal(plan, engine)
    except SplitterError as error:
        return Measured(None, Outcome(failed=error.message, launched=False))
    if refused:
        return Measured(command, refused)
    return _measured(command, shape, repetitions)


def refusal(plan: Plan, engine: EngineRef) -> Outcome | None:
    """Why the engine's dry run does not accept `plan`; None when it does, or there is none."""
    if find_dry_run(engine) is None:
        return None
    proven = verify(plan, engine)
    short = [device for device in proven.devices if device.headroom_bytes() < 0]
    if proven.fits():
        return None
    name = short[0].device.id if short else None
    return Outcome(failed=f"the dry run: no room on {name or 'the host'}", device=name, launched=False)


def _measured(command: EngineCommand, shape: TrialShape, repetitions: int) -> Measured:
    lines: tuple[str, ...] = ()
    try:
        with launch(command, start_timeout_s=shape.start_timeout_s) as instance:
            try:
                instance.wait_ready()
                result = measure(
                    instance.url,
                    n_prompt=shape.n_prompt,
                    n_generate=shape.n_generate,
                    repetitions=repetitions,
                    timeout_s=shape.silence_s,
                )
            finally:
                lines = instance.lines
    except EngineNotFoundError:  # no other trial would find it
        raise
    except EngineError as error:
        return Measured(command, Outcome(failed=_why(error, lines), device=blamed_device(lines)))
    return Measured(command, outcome_of(result), result.runs)


def _why(error: EngineError, lines: tuple[str, ...]) -> str:
    """The error, and what the log blames where the error does not say it."""
    found = last_words(lines)
    return error.message if found is None or found.sentence in error.message else f"{error.message}: {found.sentence}"


def blamed_device(lines: tuple[str, ...]) -> str | None:
    """The device that ran out of memory, by the engine's name."""
    found = [event.device for event in events(lines) if isinstance(event, OutOfMemory) and event.device]
    return found[-1] if found else None


def outcome_of(result: BenchResult) -> Outcome:
    """The scores of a measurement."""
    runs = [run for run in result.runs if run.generation_tokens_per_s]
    return Outcome(
        scores=tuple(
            score(run.prompt_tokens or result.prompt_tokens, run.prompt_s, run.timed_tokens, run.generation_s)
            for run in runs
        ),
        generation=tuple(run.generation_tokens_per_s or 0.0 for run in runs),
        prompt=tuple(run.prompt_tokens_per_s or 0.0 for run in runs),
        failed=None if runs else "the engine generated nothing that could be timed",
    )
