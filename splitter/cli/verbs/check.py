"""`splitter check`: what a given command would put on each card, whether it fits, and what is wrong with it."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from splitter.app.wire import Status
from splitter.cli.options import EngineOptions, MarginOptions, OutputOptions, RigOptions, with_options
from splitter.cli.output import Output
from splitter.printable import printable_lines

if TYPE_CHECKING:
    from splitter.app.checking import Checked

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
    from splitter.app.checking import evaluate_read, read_target
    from splitter.app.wire import plan_data
    from splitter.cli.flags import wishes_of
    from splitter.cli.views.plan import plan_view

    output = Output("check", as_json=report.json)
    wishes = wishes_of(None, devices, engine, margin)
    checked = evaluate_read(read_target(target, command, list(context.args), wishes), wishes, output)
    output.show(*plan_view(checked.plan))
    for refusal in checked.refusals:
        output.show(
            Text(f"{checked.engine.kind} would not start: {printable_lines(refusal.message)}", style="bold red")
        )
    status, code = _verdict(checked)
    data = plan_data(checked.plan, checked.engine, checked.command)
    output.data(data, status, [asdict(refusal) for refusal in checked.refusals])
    if code:
        raise typer.Exit(code)


def _verdict(checked: "Checked") -> tuple[Status, int]:
    if checked.refusals:
        return "error", 1
    return ("ok", 0) if checked.plan.fits() else ("does_not_fit", 3)
