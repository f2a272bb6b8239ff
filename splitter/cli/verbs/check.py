"""`splitter check`: what a given command would put on each card, whether it fits, and what is wrong with it."""

import sys
from dataclasses import asdict, replace
from typing import Annotated

import typer

from splitter.app.checking import Checked, evaluate_read, read_profile, read_target
from splitter.app.sentences import traps_to_tell
from splitter.app.wishes import Wishes
from splitter.cli.flags import wishes_of
from splitter.cli.options import MachineOptions, OutputOptions, SaveOption, WorkloadText, with_options
from splitter.cli.output import Output
from splitter.cli.views.checked import checked_view, on_a_screen
from splitter.errors import DoesNotFitError, EngineError, SplitterError, UsageError

EXAMPLES = """Examples:

splitter check model.gguf -ngl 40 -ts 1.5,4.5,3 -c 4096 --rig phoenix

splitter check --command 'koboldcpp.exe --usecuda 0 1 2 --gpulayers 40 --tensor_split 1.5 4.5 3 --model m.gguf'

splitter check start.bat --json   (with MODEL before or after it: for that model)

splitter check -p phoenix   (the command that a profile makes)

splitter check compose.yaml#llm --rig phoenix   (one service; also llama-swap's config, presets, .ps1, .service)

splitter check --log llama-server.log   (why a start failed; with MODEL in front, what would have fitted)
"""

WORDS = {"allow_extra_args": True, "ignore_unknown_options": True}  # the engine's own flags


@with_options(MachineOptions, OutputOptions)
def check(
    context: typer.Context,
    asked: MachineOptions,
    report: OutputOptions,
    target: Annotated[str | None, typer.Argument(metavar="[MODEL|FILE.bat]", help="A model or a script.")] = None,
    command: Annotated[
        str | None,
        typer.Option("--command", help="A whole command line; - reads it from standard input.", metavar="LINE"),
    ] = None,
    profile: Annotated[
        str | None, typer.Option("--profile", "-p", help="A profile: the command that it makes.", metavar="P")
    ] = None,
    workload: WorkloadText = None,
    log: Annotated[
        str | None, typer.Option("--log", help="An engine's log; - reads it from standard input.", metavar="FILE")
    ] = None,
    save: SaveOption = None,
) -> None:
    """Check flags, a command line, a script or a log. What it puts on each card, whether it fits, what is wrong."""
    output = Output("check", as_json=report.json, save=save)
    wishes = wishes_of(None, asked)
    if workload is not None:
        wishes = replace(wishes, values={**wishes.values, "workload": workload})
    if log is not None:
        _check_log(log, target, wishes, output)
        return
    if profile is not None:
        if target is not None or command is not None:
            raise UsageError("--profile and a command are two things to check", "give one of them")
        wishes = replace(wishes, profile=profile)
        read = read_profile(wishes, output)
    else:
        line = sys.stdin.read() if command == "-" else command
        read = read_target(target, line, list(context.args), wishes)
    checked = evaluate_read(read, wishes, output)
    head = tuple(checked_view(checked.plan, checked.refusals, checked.culprit, _instead(checked), checked.better))
    traps = traps_to_tell(checked.plan, checked.refusals, checked.culprit)
    output.show(*on_a_screen(head, traps, output.out))
    output.data(checked.data(), checked.status, [asdict(refusal) for refusal in checked.refusals])
    if not checked.fits:
        raise typer.Exit(SplitterError.exit_code if checked.refusals else DoesNotFitError.exit_code)


def _check_log(log: str, model: str | None, wishes: Wishes, output: Output) -> None:
    """Tells a log; exit 3 where memory was missing, 4 where something else ended the engine."""
    from splitter.app.checking_log import check_log, read_text
    from splitter.cli.views.checked import remedy_view
    from splitter.cli.views.log_story import log_view

    found = check_log(read_text(log, sys.stdin), model, wishes, output)
    output.show(*log_view(found.story, found.explained))
    checked = found.checked
    if checked is not None:
        output.show(*remedy_view(checked.plan, checked.culprit, _instead(checked), checked.better))
    output.data(found.data(), found.status, found.errors())
    if found.failed():
        raise typer.Exit(DoesNotFitError.exit_code if found.story.short else EngineError.exit_code)


def _instead(checked: Checked) -> str | None:
    return checked.instead["line"] if checked.instead else None
