"""`splitter rig`: the devices as the engine will see them."""

from typing import Annotated

import typer

from splitter.app.planning import find_planner, no_device
from splitter.app.saving import place_of, save_text
from splitter.app.wire import cards_data, error_item, rig_data
from splitter.app.wishes import ask
from splitter.cli.flags import wishes_of
from splitter.cli.options import OutputOptions, RigOptions, with_options
from splitter.cli.output import Output
from splitter.cli.views.cards import cards_view
from splitter.cli.views.rig import rig_view
from splitter.engine.engines import ENGINES
from splitter.errors import RigError, UsageError
from splitter.rig.catalog import nearest_names
from splitter.rig.files import dump_rig, known_cards, load_catalog

EXAMPLES = """Examples:

splitter rig   (this host)

splitter rig --gpus "1050ti,2080,1060-6gb" --save myrig.yaml

splitter rig --rig phoenix --json

splitter rig --cards 3060
"""


@with_options(RigOptions, OutputOptions)
def rig(
    asked: RigOptions,
    report: OutputOptions,
    save: Annotated[str | None, typer.Option("--save", help="Write a rig file.", metavar="FILE")] = None,
    cards: Annotated[
        bool, typer.Option("--cards", help="List the known cards; with words, those of that name.")
    ] = False,
    words: Annotated[list[str] | None, typer.Argument(help="With --cards: words of a card's name.")] = None,
) -> None:
    """Show the devices as the engine will see them. And where each value comes from."""
    if cards or words:
        _known_cards(" ".join(words or ()), report, asked=cards)
        return
    output = Output("rig", as_json=report.json)
    if save:
        place_of(save)  # a wrong one is refused before the devices are looked at
    chosen, planner = find_planner(ask(wishes_of(None, asked)), output, needed=False)
    found = planner.rig
    if save:
        save_text(save, dump_rig(found))
        output.say(f"wrote {save}")
    output.show(*rig_view(found))
    if found.devices or ENGINES[chosen.kind].cpu_only:
        output.data(rig_data(found))
        return
    missing = no_device(found)
    output.data(rig_data(found), "error", [error_item(missing)])
    output.say(f"no usable device: {missing.hint}")
    raise typer.Exit(missing.exit_code)


def _known_cards(word: str, report: OutputOptions, *, asked: bool) -> None:
    if not asked:
        raise UsageError(f"unexpected: {word}", f"`splitter rig --cards {word}` lists the cards of that name")
    found = known_cards(word)
    if not found:
        near = nearest_names(load_catalog(), word)
        raise RigError(
            f"no card is known as '{word}'",
            f"did you mean {' or '.join(near)}?" if near else "`splitter rig --cards` lists all",
        )
    output = Output("rig", as_json=report.json)
    output.show(*cards_view(found))
    output.data(cards_data(found))
