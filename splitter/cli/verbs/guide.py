"""`splitter` without a verb: a short guided run on a terminal. Every step is a verb that could be typed."""

from collections.abc import Callable

import typer

from splitter.cli.output import Output
from splitter.printable import printable_lines

SHOWN = 15
Run = Callable[[list[str]], int]


def guide(run: Run) -> None:
    """Shows the rig and the models found, plans the chosen one, and offers to launch it or to write the script.

    `run` carries out one command line and returns its exit code.
    """
    output = Output("splitter", as_json=False)
    engine = _engine()
    output.show("1. This machine (splitter rig)", "")
    _step(run, ["rig", *engine])
    output.show("", "2. The models that are here (splitter models)", "")
    chosen = [choose_model(output), *engine]
    output.show("", f"3. The plan (splitter plan {' '.join(chosen)})", "")
    _step(run, ["plan", *chosen])
    answer = str(typer.prompt("\n[l]aunch it, write the [s]cripts here, or [q]uit", default="q")).strip().lower()
    if answer.startswith("l"):
        _step(run, ["launch", *chosen])
    elif answer.startswith("s"):
        _step(run, ["script", *chosen])


def _step(run: Run, words: list[str]) -> None:
    code = run(words)
    if code:
        raise typer.Exit(code)


def _engine() -> list[str]:
    """The embedded engine where there is no GPU to plan for; else each verb's own default."""
    from splitter.engine.engines import EVERYWHERE
    from splitter.rig.probe import probe_rig

    return [] if probe_rig().devices else ["--engine", EVERYWHERE.name]


def choose_model(output: Output) -> str:
    """The path of a model that is here, or what the user types."""
    from splitter.cli.views.words import size
    from splitter.model.found import find_models

    with output.step("looking for models"):
        found = find_models().models
    for number, model in enumerate(found[:SHOWN], start=1):
        output.show(printable_lines(f"{number:>3}. {model.name} ({size(model.size_bytes)}, {model.source})"))
    if len(found) > SHOWN:
        output.show(f"     and {len(found) - SHOWN} more: splitter models")
    if not found:
        output.show("     none in the usual caches")
    answer = str(typer.prompt("\nNumber, path or hf:OWNER/REPO/FILE")).strip()
    chosen = int(answer) if answer.isdecimal() else 0
    return found[chosen - 1].path if 1 <= chosen <= len(found) else answer
