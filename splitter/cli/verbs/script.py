"""`splitter script`: writes the .bat and the .sh of a plan, on demand a .kcpps and a systemd unit."""

from pathlib import Path
from typing import Annotated

import typer

from splitter.app.planning import plan_script
from splitter.app.scripting import Kinds, remake_line, rendered
from splitter.app.sentences import model_line, summary_line, verdict
from splitter.cli.flags import wishes_of
from splitter.cli.options import FlagOptions, OutputOptions, PlanOptions, with_options
from splitter.cli.output import Output
from splitter.script.write import write_files

EXAMPLES = """Examples:

splitter script model.gguf -o launchers

splitter script --profile phoenix -o .   (for the phoenix rig, as a .bat to double-click)

splitter script model.gguf --portable -o D:\\llm   (everything in one folder, on any drive)

splitter script model.gguf --engine koboldcpp --kcpps

splitter script model.gguf --systemd -o ~/.config/systemd/user
"""


@with_options(PlanOptions, FlagOptions, OutputOptions)
def script(
    context: typer.Context,
    asked: PlanOptions,
    flags: FlagOptions,
    report: OutputOptions,
    model: Annotated[str | None, typer.Argument(help="GGUF file, hf:OWNER/REPO[/FILE], or URL.")] = None,
    folder: Annotated[str, typer.Option("-o", "--output", help="Folder to write to.", metavar="DIR")] = ".",
    name: Annotated[str | None, typer.Option("--name", help="Name of the scripts, without suffix.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that splitter did not write.")] = False,
    portable: Annotated[
        bool, typer.Option("--portable", help="Look for engine and model beside the script and nowhere else.")
    ] = False,
    kcpps: Annotated[bool, typer.Option("--kcpps", help="Also write koboldcpp's own settings file.")] = False,
    systemd: Annotated[bool, typer.Option("--systemd", help="Also write a systemd user unit.")] = False,
    task_xml: Annotated[bool, typer.Option("--task-xml", help="Also write a Windows Task Scheduler task.")] = False,
) -> None:
    """Write the .bat and the .sh that start the planned engine."""
    output = Output("script", as_json=report.json, save=asked.save)
    wishes = wishes_of(model, asked, flags)
    planned = plan_script(wishes, output)
    remake = remake_line(context.obj or [], planned.plan.rig.host.os == "windows", portable)
    files = rendered(planned, Kinds(kcpps, systemd, portable, task_xml), name or _profile_name(asked.profile), remake)
    written = write_files(files, folder, force=force)
    output.show(model_line(planned.plan.facts), summary_line(planned.plan), verdict(planned.plan))
    for path in written:
        output.plain(str(path))
    _say_how_to_start(written, planned.plan.rig.host.os, output)
    if task_xml:
        xml = next(path for path in written if path.suffix == ".xml")
        output.show("", "register the task on that machine, in an administrator's prompt:")
        output.plain(f'schtasks /Create /TN "splitter {xml.stem}" /XML "{xml}"')
    output.data({"files": [str(path) for path in written], "argv": list(planned.command.argv)})


def _say_how_to_start(written: tuple[Path, ...], system: str, output: Output) -> None:
    from splitter.engine.quoting import posix_argument

    suffix = ".bat" if system == "windows" else ".sh"
    started = next((path for path in written if path.suffix == suffix), None)
    if started is None:
        return
    if system == "windows":
        folder = started.parent if started.parent != Path() else "this folder"
        output.show("", f"double-click {started.name} in {folder}: it starts the engine and opens the chat page")
    else:
        output.show("")
        output.plain(f"start it: sh {posix_argument(str(started))}")


def _profile_name(profile: str | None) -> str | None:
    return None if profile is None else Path(profile).stem
