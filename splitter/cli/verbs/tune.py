"""`splitter tune`: measures neighbours of the plan and keeps the fastest that survives."""

from typing import Annotated

import typer

from splitter.cli.options import (
    EngineOptions,
    FlagOptions,
    GoalOptions,
    MarginOptions,
    OutputOptions,
    RigOptions,
    ServerOptions,
    with_options,
)
from splitter.cli.output import Output

EXAMPLES = """Examples:

splitter tune model.gguf --minutes 20

splitter tune --profile phoenix --save-profile phoenix-fast

splitter tune model.gguf --from 'llama-server -m model.gguf -ngl 99 -ts 4,8,6 -c 8192'

splitter tune model.gguf -c 8192 -ub 512   (the flags you give are never varied)
"""


@with_options(RigOptions, EngineOptions, MarginOptions, GoalOptions, FlagOptions, ServerOptions, OutputOptions)
def tune(
    devices: RigOptions,
    engine: EngineOptions,
    margin: MarginOptions,
    goal: GoalOptions,
    flags: FlagOptions,
    server: ServerOptions,
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
    from splitter.app.answers import tune_data
    from splitter.app.tuning import TuneWishes, tune_model
    from splitter.bench.tune.run import TrialShape
    from splitter.cli.flags import wishes_of
    from splitter.cli.views.tune import tune_view

    output = Output("tune", as_json=report.json)
    wishes = wishes_of(model, devices, engine, margin, goal, flags, server)
    shape = TrialShape(prompt_tokens, generate, start_timeout)
    asked = TuneWishes(shape, minutes, resume, allow_lossy_kv, own_plan, start)
    job, tuned, path = tune_model(wishes, asked, save_profile, output)
    output.show(*tune_view(tuned, path))
    output.data(tune_data(job, tuned, path), "ok" if path else "error")
    if path is None:
        raise typer.Exit(4)
