"""`splitter doctor`: driver, engines, device order, ports, RAM, known traps; each finding with what to do."""

from dataclasses import asdict

import typer
from rich.text import Text

from splitter.app.looking import look_around
from splitter.cli.options import OutputOptions, with_options
from splitter.cli.output import Output
from splitter.printable import printable_lines

EXAMPLES = """Example:

splitter doctor --json
"""
STYLES = {"ok": "green", "note": "yellow", "problem": "bold red"}


@with_options(OutputOptions)
def doctor(report: OutputOptions) -> None:
    """Look for what is wrong on this machine. Driver, engines, device order, ports, RAM, and what to do.

    Exit code 1 where something is broken.
    """
    output = Output("doctor", as_json=report.json)
    findings = look_around(output)
    for finding in findings:
        level = (f"{finding.level:<8}", STYLES[finding.level])
        hint = [f"\n         do: {printable_lines(finding.hint)}"] if finding.hint else []
        output.show(Text.assemble(level, f" {printable_lines(f'{finding.subject}: {finding.message}')}", *hint))
    broken = any(finding.level == "problem" for finding in findings)
    output.data({"findings": [asdict(finding) for finding in findings]})
    if broken:
        raise typer.Exit(1)
