"""`splitter doctor`: driver, engines, device order, ports, RAM, known traps; each finding with what to do."""

import os
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.text import Text

from splitter.cli.options import OutputOptions, with_options
from splitter.cli.output import Output
from splitter.printable import printable_lines

if TYPE_CHECKING:
    from splitter.engine.command import EngineRef
    from splitter.plan.request import EngineKind
    from splitter.run.diagnosis import Seen

EXAMPLES = """Example:

splitter doctor --json
"""
STYLES = {"ok": "green", "note": "yellow", "problem": "bold red"}
PORTS = (8080, 5001)


@with_options(OutputOptions)
def doctor(report: OutputOptions) -> None:
    """Look at the driver, the engines, device order, ports and RAM, and say what to do."""
    from splitter.run.diagnosis import diagnose

    output = Output("doctor", as_json=report.json)
    with output.step("looking around"):
        findings = diagnose(_look())
    for finding in findings:
        level = (f"{finding.level:<8}", STYLES[finding.level])
        hint = [f"\n         do: {printable_lines(finding.hint)}"] if finding.hint else []
        output.show(Text.assemble(level, f" {printable_lines(f'{finding.subject}: {finding.message}')}", *hint))
    output.data({"findings": [asdict(finding) for finding in findings]})


def _look() -> "Seen":
    from splitter.engine.llama_server.dry_run import find_dry_run
    from splitter.rig.probe import probe_rig
    from splitter.run.diagnosis import Seen
    from splitter.run.endpoint import is_free, port_owner

    kinds: tuple[EngineKind, ...] = ("llama-server", "koboldcpp", "embedded")
    engines: dict[str, EngineRef | None] = {kind: _engine(kind) for kind in kinds}
    llama = engines["llama-server"]
    return Seen(
        rig=probe_rig(llama.path if llama else None),
        engines=engines,
        ports={port: None if is_free("127.0.0.1", port) else port_owner(port) or "another program" for port in PORTS},
        environment=dict(os.environ),
        dry_run=find_dry_run(llama) if llama else None,
    )


def _engine(kind: "EngineKind") -> "EngineRef | None":
    from splitter.engine.find import find_engine
    from splitter.errors import EngineNotFoundError

    try:
        return find_engine(kind)
    except EngineNotFoundError:
        return None
