"""`splitter plan`: the solved placement, why, the alternatives, the command."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from splitter.app.wire import Status, envelope
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
from splitter.errors import DoesNotFitError

if TYPE_CHECKING:
    from splitter.app.ranking import Ranking

EXAMPLES = """Examples:

splitter plan model.gguf

splitter plan model.gguf --gpus "1050ti,2080,1060-6gb" -c max --goal context

splitter plan hf:OWNER/REPO   (several quantisations: ranked by what this rig would get)

splitter plan hf:OWNER/REPO/FILE.gguf --rig phoenix --engine koboldcpp --engine-version 1.123

splitter plan model.gguf --report plan.html   (memory and predicted speed as charts)

splitter plan model.gguf -ngl 40 --margin 600,400,400 --json
"""


@with_options(RigOptions, EngineOptions, MarginOptions, GoalOptions, FlagOptions, ServerOptions, OutputOptions)
def plan(
    context: typer.Context,
    devices: RigOptions,
    engine: EngineOptions,
    margin: MarginOptions,
    goal: GoalOptions,
    flags: FlagOptions,
    server: ServerOptions,
    report: OutputOptions,
    model: Annotated[str | None, typer.Argument(help="GGUF file, folder, hf:OWNER/REPO[/FILE], or URL.")] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Prove the plan with llama-fit-params.")] = False,
    page: Annotated[
        str | None, typer.Option("--report", help="Also write an HTML page with charts.", metavar="FILE")
    ] = None,
) -> None:
    """Work out which layer goes where. And why, what else would be possible, and the command."""
    from splitter.app.planning import plan_model
    from splitter.app.ranking import rank, several_models
    from splitter.app.saving import save_text
    from splitter.cli.flags import wishes_of
    from splitter.cli.views.plan import model_line, plan_view, verdict

    output = Output("plan", as_json=report.json)
    wishes = wishes_of(model, devices, engine, margin, goal, flags, server)
    choice = several_models(wishes, output)
    if choice is not None:
        ranking = rank(choice, output)
        follow_up = ranking.recommended and _next_line(context.obj, model, ranking.recommended)
        _show_ranking(ranking, follow_up, goal.save, output)
        return
    planned = plan_model(wishes, output, verify=verify)
    line, data = planned.line, planned.data()
    if goal.save:
        save_text(goal.save, json.dumps(envelope("plan", "ok", data), indent=2) + "\n")
    if page:
        from splitter.app.reporting import plan_report, save_report

        drawn = plan_report(planned, line, model_line(planned.plan.facts), verdict(planned.plan))
        save_report(page, drawn)
    output.show(*plan_view(planned.plan))
    output.show("")
    output.plain(line)
    output.data(data)
    if goal.save:
        output.say(f"wrote {goal.save}")
    if page:
        output.say(f"wrote {page}")


def _show_ranking(ranking: "Ranking", follow_up: str | None, save: str | None, output: Output) -> None:
    """The ranked table and the command to run next; exit 3 when no file fits."""
    from splitter.app.answers import advice_data
    from splitter.app.saving import save_text
    from splitter.cli.views.advice import advice_view

    advice = ranking.advice
    data = advice_data(ranking.name, ranking.rig, advice)
    status: Status = "ok" if advice.fits() else "does_not_fit"
    if save:
        save_text(save, json.dumps(envelope("plan", status, data), indent=2) + "\n")
    output.show(*advice_view(ranking.name, ranking.rig, advice))
    if follow_up:
        output.show("")
        output.plain(follow_up)
    output.data(data, status)
    if save:
        output.say(f"wrote {save}")
    if not advice.fits():
        raise typer.Exit(DoesNotFitError.exit_code)


def _next_line(arguments: Sequence[str], model: str | None, chosen: str) -> str:
    """The same command line for the `chosen` model, without what it reports to."""
    words, rest = ["splitter", "plan"], iter(arguments[1:])
    for word in rest:
        if word in {"--save", "--report"}:
            next(rest, None)
        elif word not in {model, "--json"} and not word.startswith(("--save=", "--report=")):
            words.append(word)
    return " ".join(map(_quoted, (*words[:2], chosen, *words[2:])))


def _quoted(text: str) -> str:
    return f'"{text}"' if any(char in text for char in " ()&;|<>*?'") else text
