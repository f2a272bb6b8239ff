"""`splitter ps`: the instances that run, whichever terminal they were launched from."""

import time

from splitter.cli.options import OutputOptions, with_options
from splitter.cli.output import Output
from splitter.cli.views.ps import ps_view
from splitter.run.entry import entry_data
from splitter.run.registry import Registry

EXAMPLES = """Example:

splitter ps --json
"""


@with_options(OutputOptions)
def ps(report: OutputOptions) -> None:
    """List the running instances. Phase, model, address, uptime, restarts, memory per card."""
    output = Output("ps", as_json=report.json)
    entries = Registry().entries()
    output.show(*ps_view(entries, time.time()))
    output.data({"instances": [entry_data(entry) for entry in entries]})
