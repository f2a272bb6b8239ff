"""`splitter tune`: measures neighbours of the plan and keeps the fastest that survives."""

from typing import Annotated

import typer

from splitter.app.answers import tune_data
from splitter.app.tuning import TuneWishes, tune_model
from splitter.app.wire import error_item
from splitter.bench.tune.run import TrialShape
from splitter.cli.flags import wishes_of
from splitter.cli.options import FlagOptions, OutputOptions, PlanOptions, with_options
from splitter.cli.output import Output
from splitter.cli.views.tune import tune_view
from splitter.errors import EngineError

EXAMPLES = """Examples:

splitter tune model.gguf --minutes 20

splitter tune --profile phoenix --save-profile phoenix-fast

splitter tune model.gguf --from 'llama-server -m model.gguf -ngl 99 -ts 4,8,6 -c 8192'

splitter tune model.gguf -c 8192 -ub 512   (the flags you give are never varied)
"""


@with_options(PlanOptions, FlagOptions, OutputOptions)
def tune(
    asked: PlanOptions,
    flags: FlagOptions,
    report: OutputOptions,
    model: Annotated[str | None, typer.Argument(help="GGUF file, hf:OWNER/REPO[/FILE], or URL.")] = None,
    minutes: Annotated[
        float, typer.Option("--minutes", help="Start no new trial after this many minutes.", min=0)
    ] = 30.0,
    resume: Annotated[
        bool, typer.Option("--resume/--fresh", help="Continue after an interruption, or start over.")
    ] = True,
    allow_lossy_kv: Annotated[bool, typer.Option("--allow-lossy-kv", help="Try a q8_0 cache as well.")] = False,
    start: Annotated[str | None, typer.Option("--from", help="Start from this engine command.", metavar="LINE")] = None,
    own_plan: Annotated[bool, typer.Option("--own-plan/--no-own-plan", help="Try splitter's own plan early.")] = True,
    save_profile: Annotated[
        str | None, typer.Option("--save-profile", help="The winner's profile (default: MODEL-tuned).", metavar="NAME")
    ] = None,
    prompt_tokens: Annotated[int, typer.Option("--prompt-tokens", help="Tokens of the prompt.", min=1)] = 256,
    generate: Annotated[int, typer.Option("--generate", help="Tokens to generate.", min=2)] = 64,
    start_timeout: Annotated[
        float, typer.Option("--start-timeout", help="Seconds the engine may take to load.", min=1)
    ] = 600.0,
) -> None:
    """Measure small changes of the plan and keep the fastest. It becomes a profile, with its evidence."""
    output = Output("tune", as_json=report.json, save=asked.save)
    wanted = TuneWishes(
        TrialShape(prompt_tokens, generate, start_timeout), minutes, resume, allow_lossy_kv, own_plan, start
    )
    job, tuned, path = tune_model(wishes_of(model, asked, flags), wanted, save_profile, output)
    output.show(*tune_view(tuned, path))
    if path is not None:
        output.data(tune_data(job, tuned, path))
        return
    reason = next((trial.outcome.failed for trial in tuned.trials if trial.outcome.failed), "no time was left")
    failed = EngineError(f"nothing could be measured: {reason}", "`splitter launch` shows the engine's whole log")
    output.data(tune_data(job, tuned, None), "error", [error_item(failed)])
    raise typer.Exit(failed.exit_code)
