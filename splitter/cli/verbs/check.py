"""`splitter check`: what a given command would put on each card, whether it fits, and what is wrong with it."""

from typing import Annotated

import typer

from splitter.cli.options import EngineOptions, MarginOptions, OutputOptions, RigOptions, with_options
from splitter.cli.output import Output

EXAMPLES = """Examples:

splitter check model.gguf -ngl 40 -ts 1.5,4.5,3 -c 4096 --rig phoenix

splitter check --command 'koboldcpp.exe --usecuda 0 1 2 --gpulayers 40 --tensor_split 1.5 4.5 3 --model m.gguf'

splitter check start.bat --json
"""


@with_options(RigOptions, EngineOptions, MarginOptions, OutputOptions)
def check(
    context: typer.Context,
    devices: RigOptions,
    engine: EngineOptions,
    margin: MarginOptions,
    report: OutputOptions,
    target: Annotated[str | None, typer.Argument(metavar="[MODEL|FILE.bat]", help="A model or a script.")] = None,
    command: Annotated[str | None, typer.Option("--command", help="A whole command line.", metavar="LINE")] = None,
) -> None:
    """Evaluate flags, a command line or a script: per card, whether it fits, which traps it holds."""
    from splitter.cli.check_steps import evaluate_read, read_target
    from splitter.cli.json_data import plan_data
    from splitter.cli.views.plan import plan_view

    output = Output("check", as_json=report.json)
    read = read_target(target, command, list(context.args), engine)
    checked = evaluate_read(read, devices, engine, margin, output)
    fits = checked.plan.fits()
    output.show(*plan_view(checked.plan))
    output.data(plan_data(checked.plan, checked.engine, checked.command), "ok" if fits else "does_not_fit")
    if not fits:
        raise typer.Exit(3)
