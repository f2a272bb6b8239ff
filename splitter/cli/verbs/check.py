"""`splitter check`: what a given command would put on each card, whether it fits, and what is wrong with it."""

import sys
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated

import typer

from splitter.app.wire import Status, remedy_data
from splitter.cli.options import EngineOptions, MarginOptions, OutputOptions, RigOptions, with_options
from splitter.cli.output import Output

if TYPE_CHECKING:
    from splitter.app.checking import Checked
    from splitter.app.wishes import Wishes

EXAMPLES = """Examples:

splitter check model.gguf -ngl 40 -ts 1.5,4.5,3 -c 4096 --rig phoenix

splitter check --command 'koboldcpp.exe --usecuda 0 1 2 --gpulayers 40 --tensor_split 1.5 4.5 3 --model m.gguf'

splitter check start.bat --json   (with MODEL before or after it: for that model)

splitter check -p phoenix   (the command that a profile makes)

splitter check compose.yaml#llm --rig phoenix   (one service; also llama-swap's config, presets, .ps1, .service)

splitter check --log llama-server.log   (why a start failed; with MODEL in front, what would have fitted)
"""

WORDS = {"allow_extra_args": True, "ignore_unknown_options": True}  # the engine's own flags


@with_options(RigOptions, EngineOptions, MarginOptions, OutputOptions)
def check(
    context: typer.Context,
    devices: RigOptions,
    engine: EngineOptions,
    margin: MarginOptions,
    report: OutputOptions,
    target: Annotated[str | None, typer.Argument(metavar="[MODEL|FILE.bat]", help="A model or a script.")] = None,
    command: Annotated[
        str | None,
        typer.Option("--command", help="A whole command line; - reads it from standard input.", metavar="LINE"),
    ] = None,
    profile: Annotated[
        str | None, typer.Option("--profile", "-p", help="A profile: the command that it makes.", metavar="P")
    ] = None,
    log: Annotated[
        str | None, typer.Option("--log", help="An engine's log; - reads it from standard input.", metavar="FILE")
    ] = None,
) -> None:
    """Check flags, a command line, a script or a log. What it puts on each card, whether it fits, what is wrong."""
    from splitter.app.checking import evaluate_read, read_profile, read_target
    from splitter.cli.flags import wishes_of
    from splitter.cli.views.checked import checked_view, on_a_screen, traps_to_tell
    from splitter.errors import UsageError

    output = Output("check", as_json=report.json)
    wishes = wishes_of(None, devices, engine, margin)
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
    status, code = _verdict(checked)
    refusals = [asdict(refusal) for refusal in checked.refusals]
    output.data(checked.data() | {"remedy": remedy_data(checked)}, status, refusals)
    if code:
        raise typer.Exit(code)


def _check_log(log: str, model: str | None, wishes: "Wishes", output: Output) -> None:
    """Tells a log; exit 3 where memory was missing, 4 where something else ended the engine."""
    from splitter.app.checking_log import check_log, log_data, read_text
    from splitter.cli.views.checked import remedy_view
    from splitter.cli.views.log_story import log_view

    found = check_log(read_text(log, sys.stdin), model, wishes, output)
    output.show(*log_view(found.story, found.explained))
    data = log_data(found)
    if found.checked is not None:
        output.show(
            *remedy_view(found.checked.plan, found.checked.culprit, _instead(found.checked), found.checked.better)
        )
        data |= {"remedy": remedy_data(found.checked)}
    status: Status = "does_not_fit" if found.story.short else "error" if found.story.failure else "ok"
    output.data(data, status)
    if found.failed():
        raise typer.Exit(3 if found.story.short else 4)


def _instead(checked: "Checked") -> str | None:
    return checked.instead["line"] if checked.instead else None


def _verdict(checked: "Checked") -> tuple[Status, int]:
    if checked.refusals:
        return "error", 1
    return ("ok", 0) if checked.fits else ("does_not_fit", 3)
