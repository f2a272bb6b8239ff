"""`splitter plan`: the solved placement, why, the alternatives, the command."""

from collections.abc import Sequence
from typing import Annotated

import typer

from splitter.app.answers import advice_data
from splitter.app.planning import plan_model
from splitter.app.ranking import Ranking, rank, several_models
from splitter.app.saving import place_of
from splitter.cli.flags import wishes_of
from splitter.cli.options import FlagOptions, OutputOptions, PlanOptions, with_options
from splitter.cli.output import Output
from splitter.errors import DoesNotFitError

EXAMPLES = """Examples:

splitter plan model.gguf

splitter plan model.gguf --gpus "1050ti,2080,1060-6gb" -c max --goal context

splitter plan hf:OWNER/REPO   (several quantisations: ranked by what this rig would get)

splitter plan hf:OWNER/REPO/FILE.gguf --rig phoenix --engine koboldcpp --engine-version 1.123

splitter plan model.gguf --report plan.html   (memory and predicted speed as charts)

splitter plan model.gguf -ngl 40 --margin 600,400,400 --json
"""


@with_options(PlanOptions, FlagOptions, OutputOptions)
def plan(
    context: typer.Context,
    asked: PlanOptions,
    flags: FlagOptions,
    report: OutputOptions,
    model: Annotated[str | None, typer.Argument(help="GGUF file, folder, hf:OWNER/REPO[/FILE], or URL.")] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Prove the plan with llama-fit-params.")] = False,
    page: Annotated[
        str | None, typer.Option("--report", help="Also write an HTML page with charts.", metavar="FILE")
    ] = None,
) -> None:
    """Work out which layer goes where. And why, what else would be possible, and the command."""
    from splitter.cli.views.plan import plan_view

    output = Output("plan", as_json=report.json, save=asked.save)
    wishes = wishes_of(model, asked, flags)
    choice = several_models(wishes, output)
    if choice is not None:
        ranking = rank(choice, output)
        follow_up = ranking.recommended and _next_line(context.obj, model, ranking.recommended)
        _show_ranking(ranking, follow_up, output)
        return
    if page:
        place_of(page)  # a wrong one is refused before any work
    planned = plan_model(wishes, output, verify=verify)
    if page:
        from splitter.app.reporting import plan_report, save_report

        save_report(page, plan_report(planned))
    output.show(*plan_view(planned.plan), "")
    output.plain(planned.line)
    output.data(planned.data())
    if page:
        output.say(f"wrote {page}")


def _show_ranking(ranking: Ranking, follow_up: str | None, output: Output) -> None:
    """The ranked table and the command to run next; exit 3 when no file fits."""
    from splitter.cli.views.advice import advice_view

    advice = ranking.advice
    output.show(*advice_view(ranking.name, ranking.rig, advice))
    if follow_up:
        output.show("")
        output.plain(follow_up)
    output.data(advice_data(ranking.name, ranking.rig, advice), "ok" if advice.fits() else "does_not_fit")
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
