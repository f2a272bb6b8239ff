"""`splitter profile list|show|new|set|edit|check|schema`: saved settings, each value with its source."""

from typing import Annotated

import typer

from splitter.app.profiles import edit, edit_text, values_of_plan, values_of_script
from splitter.cli.flags import wishes_of
from splitter.cli.options import FlagOptions, OutputOptions, PlanOptions, with_options
from splitter.cli.output import Output, print_json
from splitter.cli.views.profile import profile_sheet
from splitter.errors import UsageError
from splitter.printable import printable_lines
from splitter.profile.files import available, load_profile, save_profile
from splitter.profile.profile import to_request
from splitter.profile.schema import profile_schema
from splitter.profile.write import render_profile
from splitter.run.editor import edit_in_editor

app = typer.Typer(help="Keep settings as profiles.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(metavar="PROFILE", help="A profile's name or file.")]

NEW_EXAMPLES = """Examples:

splitter profile new mine model.gguf --gpus "1050ti,2080,1060-6gb" -c 8192   (saves a solved plan)

splitter profile new mine --from koboldai.bat   (takes over the settings of a script; also .sh, .service and .kcpps)

splitter profile new mine --profile phoenix --goal context
"""
SET_EXAMPLES = """Examples:

splitter profile set mine settings.context_size 8192

splitter profile set mine settings.tensor_split 12,29,24
"""


@app.command("list", epilog="Example: splitter profile list --json")
@with_options(OutputOptions)
def list_profiles(report: OutputOptions) -> None:
    """List the profiles that can be named."""
    output = Output("profile", as_json=report.json)
    found = available()
    for item in found:
        output.show(printable_lines(f"{item.name:<16} {item.error or item.description} ({item.origin})"))
    rows = [
        {"name": item.name, "path": str(item.path), "origin": item.origin, "description": item.description}
        for item in found
    ]
    output.data({"profiles": rows})


@app.command("show", epilog="Example: splitter profile show phoenix")
@with_options(OutputOptions)
def show_profile(report: OutputOptions, profile: Name) -> None:
    """Show every value of a profile, and where it comes from."""
    output = Output("profile", as_json=report.json)
    loaded = load_profile(profile)
    output.show(profile_sheet(loaded))
    output.data({"name": loaded.name, "path": loaded.path, "values": loaded.sourced()})


@app.command("new", epilog=NEW_EXAMPLES)
@with_options(PlanOptions, FlagOptions, OutputOptions)
def new_profile(
    asked: PlanOptions,
    flags: FlagOptions,
    report: OutputOptions,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The new profile's name, or a .yaml file.")],
    model: Annotated[str | None, typer.Argument(help="GGUF file, hf:OWNER/REPO[/FILE], or URL.")] = None,
    script: Annotated[
        str | None, typer.Option("--from", help="Take the settings from this .bat, .sh, .service or .kcpps.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a profile of this name.")] = False,
) -> None:
    """Save a plan, or the settings of a script, as a profile."""
    output = Output("profile", as_json=report.json, save=asked.save)
    wishes = wishes_of(model, asked, flags)
    if script and asked.profile:
        raise UsageError("--from and --profile both name the settings", "give one of them")
    values = values_of_script(script, wishes, output) if script else values_of_plan(wishes, output)
    if script and model:
        values["model"] = model
    text = render_profile(values, f"From {script}" if script else "A saved plan: every value is fixed.")
    path = save_profile(text, name, overwrite=force)
    output.plain(text.rstrip("\n"))
    output.say(f"wrote {path}")
    output.data({"name": path.stem, "path": str(path), "values": values})


@app.command("set", epilog=SET_EXAMPLES)
@with_options(OutputOptions)
def set_value(
    report: OutputOptions,
    profile: Name,
    key: Annotated[str, typer.Argument(metavar="KEY", help="Such as settings.context_size.")],
    value: Annotated[str, typer.Argument(metavar="VALUE", help="Lists with commas, such as 12,29,24.")],
) -> None:
    """Change one value of a profile. Its comments stay; a shipped profile is copied to your own first."""
    output = Output("profile", as_json=report.json)
    path, copied = edit(profile, key, value)
    output.say(f"wrote {path}" + (" (your own copy of the shipped profile)" if copied else ""))
    output.data({"name": path.stem, "path": str(path), "copied": copied})


@app.command("edit", epilog="Example: splitter profile edit mine")
@with_options(OutputOptions)
def edit_whole(report: OutputOptions, profile: Name) -> None:
    """Open a profile in $EDITOR. What makes no sense is not kept; a shipped profile is copied to your own first."""
    output = Output("profile", as_json=report.json)
    path, copied, changed = edit_text(profile, edit_in_editor)
    said = " (your own copy of the shipped profile)" if copied else ""
    output.say(f"wrote {path}{said}" if changed else f"{path}: nothing changed")
    output.data({"name": path.stem, "path": str(path), "copied": copied, "changed": changed})


@app.command("check", epilog="Example: splitter profile check mine.yaml")
@with_options(OutputOptions)
def check_profile(report: OutputOptions, profile: Name) -> None:
    """Look for mistakes in a profile."""
    output = Output("profile", as_json=report.json)
    loaded = load_profile(profile)
    to_request(loaded)
    output.show(printable_lines(f"{loaded.name}: no mistakes"))
    output.data({"name": loaded.name, "path": loaded.path})


@app.command("schema", epilog="Example: splitter profile schema > splitter-profile.schema.json")
def print_schema() -> None:
    """Print the JSON Schema of profiles, for editors."""
    print_json(profile_schema())
