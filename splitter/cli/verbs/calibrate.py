"""`splitter calibrate`: what each card really reaches, measured once, used by every later plan."""

from typing import Annotated

import typer

from splitter.app.answers import calibrated_data, kept_data
from splitter.app.calibrating import calibrate_model, forget_kept, kept_calibrations
from splitter.bench.tune.run import TrialShape
from splitter.cli.flags import wishes_of
from splitter.cli.options import MachineOptions, OutputOptions, with_options
from splitter.cli.output import Output
from splitter.cli.views.calibrate import calibrated_view, kept_view
from splitter.errors import UsageError

EXAMPLES = """Examples:

splitter calibrate model.gguf   (a model that fits every card alone measures best)

splitter calibrate --list

splitter calibrate --forget
"""


@with_options(MachineOptions, OutputOptions)
def calibrate(
    asked: MachineOptions,
    report: OutputOptions,
    model: Annotated[str | None, typer.Argument(help="GGUF file, hf:OWNER/REPO[/FILE], or URL.")] = None,
    show: Annotated[bool, typer.Option("--list", help="Show what is kept.")] = False,
    forget: Annotated[bool, typer.Option("--forget", help="Delete all calibrations.")] = False,
    prompt_tokens: Annotated[int, typer.Option("--prompt-tokens", help="Tokens of the prompt.", min=1)] = 256,
    generate: Annotated[int, typer.Option("--generate", help="Tokens to generate.", min=2)] = 32,
    repetitions: Annotated[int, typer.Option("--repetitions", "-r", help="Measured repetitions.", min=1)] = 3,
) -> None:
    """Measure each card. Later plans use what it reached instead of the catalog's figures."""
    output = Output("calibrate", as_json=report.json)
    if show or forget:
        if model or (show and forget):
            raise UsageError(
                "--list and --forget cannot be combined with anything else", "leave out MODEL and the other option"
            )
        if forget:
            count = forget_kept()
            output.show(f"forgot {count} calibration{'' if count == 1 else 's'}")
            output.data({"forgotten": count})
        else:
            kept = kept_calibrations()
            output.show(*kept_view(kept))
            output.data(kept_data(kept))
        return
    rig, done = calibrate_model(wishes_of(model, asked), TrialShape(prompt_tokens, generate), repetitions, output)
    output.show(*calibrated_view(rig, done))
    output.data(calibrated_data(rig, done))
