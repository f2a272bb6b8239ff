"""`splitter plan`: the solved placement, why, the alternatives, the command."""

import json
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
from splitter.cli.output import Output, envelope

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
    """Solve the placement: what goes where, why, what else would be possible, and the command."""
    from splitter.app.planning import Wishes, prove, resolve, save_text, solve
    from splitter.app.ranking import report_advice, several_models
    from splitter.app.wire import command_data, plan_data
    from splitter.cli.views.plan import plan_view
    from splitter.engine.rendering import command_line

    output = Output("plan", as_json=report.json)
    wishes = Wishes(devices, engine, margin, goal, flags, server)
    choice = several_models(model, wishes, output)
    if choice is not None:
        code = report_advice(choice, wishes, output)
        raise typer.Exit(code)
    planned = solve(resolve(model, wishes, output), output)
    if verify:
        planned = prove(planned, output)
    line = command_line(planned.command, planned.plan.rig.host.os)
    data = plan_data(planned.plan, planned.task.engine, command_data(planned.command, line))
    if goal.save:
        save_text(goal.save, json.dumps(envelope("plan", "ok", data), indent=2) + "\n")
    if page:
        from splitter.bench.report.of_plan import plan_report, save_report

        save_report(page, plan_report(planned, line))
    output.show(*plan_view(planned.plan))
    output.show("")
    output.plain(line)
    output.data(data)
    if goal.save:
        output.say(f"wrote {goal.save}")
    if page:
        output.say(f"wrote {page}")
