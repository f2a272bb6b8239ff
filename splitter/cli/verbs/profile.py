"""`splitter profile list|show|check|schema`: saved settings, each value with its source."""

from typing import Annotated

import typer

from splitter.cli.options import OutputOptions, with_options
from splitter.cli.output import Output, printable

app = typer.Typer(help="Saved settings: list, show, check, schema.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(metavar="PROFILE", help="A profile's name or file.")]


@app.command("list", epilog="Example: splitter profile list --json")
@with_options(OutputOptions)
def list_profiles(report: OutputOptions) -> None:
    """List the profiles that can be named."""
    from splitter.profile.files import available

    output = Output("profile", as_json=report.json)
    found = available()
    for item in found:
        output.show(printable(f"{item.name:<16} {item.error or item.description} ({item.origin})"))
    rows = [
        {"name": item.name, "path": str(item.path), "origin": item.origin, "description": item.description}
        for item in found
    ]
    output.data({"profiles": rows})


@app.command("show", epilog="Example: splitter profile show phoenix")
@with_options(OutputOptions)
def show_profile(report: OutputOptions, profile: Name) -> None:
    """Show every value of a profile, and where it comes from."""
    from rich.table import Table

    from splitter.profile.files import load_profile

    output = Output("profile", as_json=report.json)
    loaded = load_profile(profile)
    table = Table("key", "value", "source", box=None, header_style="bold", pad_edge=False)
    for key, found in sorted(loaded.values.items()):
        table.add_row(key, printable(str(found.value)), printable(found.source))
    output.show(table)
    values = {key: {"value": found.value, "source": found.source} for key, found in sorted(loaded.values.items())}
    output.data({"name": loaded.name, "path": loaded.path, "values": values})


@app.command("check", epilog="Example: splitter profile check mine.yaml")
@with_options(OutputOptions)
def check_profile(report: OutputOptions, profile: Name) -> None:
    """Check a profile: unknown keys, wrong values, contradictions."""
    from splitter.profile.files import load_profile
    from splitter.profile.profile import to_request

    output = Output("profile", as_json=report.json)
    loaded = load_profile(profile)
    to_request(loaded)
    output.show(printable(f"{loaded.name}: no mistakes"))
    output.data({"name": loaded.name, "path": loaded.path})


@app.command("schema", epilog="Example: splitter profile schema > splitter-profile.schema.json")
def print_schema() -> None:
    """Print the JSON Schema of profiles, for editors."""
    from splitter.cli.output import print_json
    from splitter.profile.schema import profile_schema

    print_json(profile_schema())
