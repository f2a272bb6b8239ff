"""`splitter` without a verb: a guided run on a terminal. Every step is a verb that could be typed.

Between two questions there are fewer lines than a small terminal (80x24) has.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from splitter.cli.output import Output, print_error
from splitter.errors import SplitterError
from splitter.printable import printable_lines

if TYPE_CHECKING:
    from splitter.app.listing import ListedModel
    from splitter.app.wishes import Wishes
    from splitter.rig.device import Rig

MODELS_SHOWN, CARDS_SHOWN = 9, 6
FETCH_ANOTHER = "f"
REMOTE = ("hf:", "http://", "https://")
Run = Callable[[list[str]], int]


@dataclass(frozen=True, slots=True)
class Setup:
    """What every later step is asked with: as words of a command line, and as values; whether the engine is here."""

    words: tuple[str, ...]
    values: tuple[tuple[str, Any], ...]
    engine_here: bool

    def wishes(self, model: str | None = None) -> "Wishes":
        from splitter.app.wishes import Wishes

        return Wishes(dict(self.values) | ({"model": model} if model else {}))


def guide(run: Run) -> None:
    """Shows the machine, gets engine and model where they are missing, plans, and launches or writes the script.

    `run` carries out one command line and returns its exit code.
    """
    output = Output("splitter", as_json=False)
    output.show("From here to a running model in four steps. Enter takes the answer in brackets; Ctrl-C leaves.")
    setup = _machine_and_engine(run, output)
    model = _planned_model(setup, output)
    _end(run, setup, model)


def _machine_and_engine(run: Run, output: Output) -> Setup:
    from splitter.engine.engines import DEFAULT, EVERYWHERE

    here = next((name for name in _downloadable() if _is_here(name)), None)
    chosen = Setup(("--engine", here), (("engine.kind", here),), True) if here else Setup((), (), False)
    with output.step("looking at the machine"):
        rig = _rig(chosen)
    output.show("", "1. This machine (splitter rig)", *_machine_lines(rig))
    if not rig.devices and _is_here(EVERYWHERE.name):
        output.show("", "2. The engine", "   the one that splitter brings along: it computes on the processor")
        return Setup(("--engine", EVERYWHERE.name), (("engine.kind", EVERYWHERE.name),), True)
    output.show("", "2. The engine: the program that runs the model (splitter engine)")
    if here:
        output.show(f"   {here} is here")
    else:
        chosen = Setup((), (), _installed(run, DEFAULT.name, output))
    if not rig.devices:
        return Setup((*chosen.words, "-ngl", "0"), (*chosen.values, ("settings.gpu_layers", 0)), chosen.engine_here)
    return chosen


def _downloadable() -> list[str]:
    from splitter.engine.releases import REPOSITORIES

    return list(REPOSITORIES)


def _is_here(engine: str) -> bool:
    from splitter.engine.find import find_engine
    from splitter.errors import EngineNotFoundError

    try:
        return find_engine(engine).path is not None
    except EngineNotFoundError:
        return False


def _rig(setup: Setup) -> "Rig":
    from splitter.app.planning import find_planner
    from splitter.app.wishes import ask
    from splitter.cli.output import Output

    return find_planner(ask(setup.wishes()), Output("splitter", as_json=True), needed=False)[1].rig


def _machine_lines(rig: "Rig") -> list[str]:
    from splitter.cli.views.words import size

    cards = [
        printable_lines(f"   {device.id} {device.name}, {size(device.total_bytes)}, {size(device.free_bytes)} free")
        for device in rig.devices
    ]
    more = len(cards) - CARDS_SHOWN
    shown = [*cards[:CARDS_SHOWN], f"   and {more} more cards"] if more > 0 else cards
    host = f"   {size(rig.host.ram_total_bytes)} RAM, {size(rig.host.ram_free_bytes)} free"
    return [*(shown or ["   no graphics card that an engine here could use"]), host]


def _installed(run: Run, engine: str, output: Output) -> bool:
    """Offers the release that fits; whether the engine is here then. Planning needs none."""
    output.show(f"   {engine} is not on this computer. The release that fits:")
    if run(["engine", "install", engine, "--dry-run"]):
        output.show("   going on without it: a plan and a script can be made")  # the verb has said why
        return False
    if _letter("\nInstall it? [y]es or [n]o", "yn", "y") == "n":
        return False
    return run(["engine", "install", engine]) == 0


def _letter(question: str, letters: str, default: str) -> str:
    """The first letter of the answer, asked for until it is one of `letters`."""
    asked = question
    while True:
        answer = str(typer.prompt(asked, default=default)).strip().lower()
        if answer[:1] and answer[:1] in letters:
            return answer[0]
        asked = f"{printable_lines(answer)}? One of {', '.join(letters)}"


def _planned_model(setup: Setup, output: Output) -> str:
    """The reference of a model whose plan was shown: here, or fetched now."""
    from splitter.app.listing import list_models

    output.show("", "3. The model (splitter models)")
    listing = list_models("", setup.wishes(), output)
    here = [model for model in listing.models if model.kind in {None, "model"}]
    while True:
        chosen = _chosen_here(here, output) if here else FETCH_ANOTHER
        try:
            if chosen == FETCH_ANOTHER:
                chosen = _fetched(setup, output)
            _show_plan(setup, chosen, output)
        except SplitterError as error:
            print_error(error)
            if not here:
                output.show("", "Name another model.")
                continue
        else:
            return chosen


def _chosen_here(found: "Sequence[ListedModel]", output: Output) -> str:
    _show_models(found[:MODELS_SHOWN], output)
    if len(found) > MODELS_SHOWN:
        output.show(f"     and {len(found) - MODELS_SHOWN} more: splitter models")
    return _model("\nNumber, path, or [f]etch a new one", [model.found.path for model in found], output, fetches=True)


def _fetched(setup: Setup, output: Output) -> str:
    """A model from the Hub, one of five that fit this rig or any other."""
    from splitter.app.pulling import pull
    from splitter.app.suggesting import suggest

    try:
        offered = suggest(setup.wishes(), output)
    except SplitterError as error:
        print_error(error)
        offered = ()
    if offered:
        output.show("   These fit this machine; the expected speed of an answer stands last:")
        _show_models(offered, output)
    question = "\nNumber, or hf:OWNER/REPO of another, or the path of a file"
    answer = _model(question, [model.found.path for model in offered], output, fetches=False)
    return pull(setup.wishes(answer), output).path if answer.lower().startswith("hf:") else answer


def _show_models(models: "Sequence[ListedModel]", output: Output) -> None:
    from splitter.cli.views.models import fit_words
    from splitter.cli.views.words import rate, size

    for number, model in enumerate(models, start=1):
        speed = f", {rate(model.plan.speed.generation_tokens_per_s)}" if model.plan else ""
        words = f"{size(model.found.size_bytes)}, {fit_words(model)}{speed}"
        output.show(printable_lines(f"{number:>4}. {model.found.name.rpartition('/')[2]}: {words}"))


def _model(question: str, listed: Sequence[str], output: Output, *, fetches: bool) -> str:
    """One of the list, a file that is here, a remote reference, or (where it `fetches`) FETCH_ANOTHER."""
    while True:
        answer = str(typer.prompt(question)).strip().strip('"')
        if answer.isdecimal() and 1 <= int(answer) <= len(listed):
            return listed[int(answer) - 1]
        if fetches and answer.lower() in {FETCH_ANOTHER, "fetch"}:
            return FETCH_ANOTHER
        if answer.lower().startswith(REMOTE) or Path(answer).expanduser().is_file():
            return answer
        numbers = f"no number from 1 to {len(listed)}, and there" if listed else "not the name of a model: there"
        output.show(printable_lines(f"{answer} is {numbers} is no such file"))


def _show_plan(setup: Setup, model: str, output: Output) -> None:
    from splitter.app.planning import plan_model
    from splitter.app.sentences import summary_line, verdict
    from splitter.cli.views.plan import memory_sheet

    plan = plan_model(setup.wishes(model), output).plan
    name = printable_lines(plan.facts.name)
    output.show("", f"4. The plan for {name} (splitter plan MODEL says why, and what else could be done)")
    output.show(summary_line(plan), memory_sheet(plan), verdict(plan))


def _end(run: Run, setup: Setup, model: str) -> None:
    launches = "[l]aunch it and open the chat page, " if setup.engine_here else ""
    question = f"\n{launches}write the [s]cripts here, or [q]uit"
    answer = _letter(question, "lsq" if launches else "sq", "l" if launches else "s")
    if answer == "q":
        return
    words = ["launch", model, *setup.words, "--open"] if answer == "l" else ["script", model, *setup.words]
    code = run(words)
    if code:
        raise typer.Exit(code)
