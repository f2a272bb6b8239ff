"""`splitter doctor`: driver, engines, device order, ports, RAM, known traps; each finding with what to do."""

import os
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer
from rich.text import Text

from splitter.cli.options import OutputOptions, with_options
from splitter.cli.output import Output
from splitter.printable import printable_lines

if TYPE_CHECKING:
    from splitter.engine.command import EngineRef
    from splitter.run.diagnosis import Seen

EXAMPLES = """Example:

splitter doctor --json
"""
STYLES = {"ok": "green", "note": "yellow", "problem": "bold red"}


@with_options(OutputOptions)
def doctor(report: OutputOptions) -> None:
    """Look for what is wrong on this machine. Driver, engines, device order, ports, RAM, and what to do.

    Exit code 1 where something is broken.
    """
    from splitter.run.diagnosis import diagnose

    output = Output("doctor", as_json=report.json)
    with output.step("looking around"):
        findings = diagnose(_look())
    for finding in findings:
        level = (f"{finding.level:<8}", STYLES[finding.level])
        hint = [f"\n         do: {printable_lines(finding.hint)}"] if finding.hint else []
        output.show(Text.assemble(level, f" {printable_lines(f'{finding.subject}: {finding.message}')}", *hint))
    broken = any(finding.level == "problem" for finding in findings)
    output.data({"findings": [asdict(finding) for finding in findings]})
    if broken:
        raise typer.Exit(1)


def _look() -> "Seen":
    from splitter.engine.engines import ENGINES, NAMES
    from splitter.engine.llama_server.dry_run import find_dry_run
    from splitter.rig.probe import probe_rig
    from splitter.run.diagnosis import Seen
    from splitter.run.endpoint import is_free, port_owner

    found: dict[str, EngineRef | None] = {name: _engine(name) for name in NAMES}
    here = [(ENGINES[name], engine) for name, engine in found.items() if engine]
    lister = next((path for kind, engine in here if (path := kind.lister(engine.path))), None)
    ports = dict.fromkeys(engine.port for engine in ENGINES.values())
    return Seen(
        rig=probe_rig(lister),
        engines=found,
        ports={port: None if is_free("127.0.0.1", port) else port_owner(port) or "another program" for port in ports},
        environment=dict(os.environ),
        dry_run=next((tool for _, engine in here if (tool := find_dry_run(engine))), None),
    )


def _engine(kind: str) -> "EngineRef | None":
    from splitter.engine.find import find_engine
    from splitter.errors import EngineNotFoundError

    try:
        return find_engine(kind)
    except EngineNotFoundError:
        return None
