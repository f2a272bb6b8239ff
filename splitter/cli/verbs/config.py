"""`splitter config`: every setting that is in force here, and where it comes from."""

from splitter.cli.options import OutputOptions, with_options
from splitter.cli.output import Output
from splitter.cli.views.profile import profile_sheet
from splitter.folders import config_folder
from splitter.profile.files import PROJECT_FILE, load_profile

EXAMPLES = """Example:

splitter config   (without a profile; `splitter profile show NAME` shows one)
"""


@with_options(OutputOptions)
def config(report: OutputOptions) -> None:
    """Show every setting that is in force, and where it comes from. Its files: config.yaml and splitter.yaml."""
    output = Output("config", as_json=report.json)
    loaded = load_profile(None)
    output.show(profile_sheet(loaded))
    output.say(f"yours: {config_folder() / 'config.yaml'}; of this folder: {PROJECT_FILE}")
    output.data({"files": [str(config_folder() / "config.yaml"), PROJECT_FILE], "values": loaded.sourced()})
