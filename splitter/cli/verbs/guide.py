"""`splitter` without a verb: a short guided run on a terminal. Every step is a verb that could be typed."""

from collections.abc import Callable
from pathlib import Path

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
    engine = _engine(run, output)
    output.show("1. This machine (splitter rig)", "")
    _step(run, ["rig", *engine])
    output.show("", "2. The models that are here (splitter models)", "")
    chosen = [choose_model(output), *engine]
    output.show("", f"3. The plan (splitter plan {' '.join(chosen)})", "")
    _step(run, ["plan", *chosen])
    answer = _letter("\n[l]aunch it, write the [s]cripts here, or [q]uit", "lsq", "q")
    if answer == "l":
        _step(run, ["launch", *chosen, "--open"])
    elif answer == "s":
        _step(run, ["script", *chosen])


def _letter(question: str, letters: str, default: str) -> str:
    """The first letter of the answer, asked for until it is one of `letters`."""
    while True:
        answer = str(typer.prompt(question, default=default)).strip().lower()
        if answer[:1] and answer[:1] in letters:
            return answer[0]
        question = f"{answer}? One of {', '.join(letters)}"


def _step(run: Run, words: list[str]) -> None:
    code = run(words)
    if code:
        raise typer.Exit(code)


def _engine(run: Run, output: Output) -> list[str]:
    """The embedded engine where there is no GPU to plan for; else each verb's own default, which is offered to be
    installed where it is not here."""
    from splitter.engine.engines import DEFAULT, EVERYWHERE
    from splitter.engine.find import find_engine
    from splitter.errors import EngineNotFoundError
    from splitter.rig.probe import probe_rig

    if not probe_rig().devices:
        return ["--engine", EVERYWHERE.name]
    try:
        find_engine(DEFAULT.name)
    except EngineNotFoundError:
        output.show(f"{DEFAULT.name} is not on this computer (splitter engine install)", "")
        run(["engine", "install", DEFAULT.name, "--dry-run"])
        if _letter("\nInstall it: [y]es or [n]o", "yn", "y") == "y":
            run(["engine", "install", DEFAULT.name])  # where that fails it has said why, and planning needs none
    return []


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
    while True:
        answer = str(typer.prompt("\nNumber, path or hf:OWNER/REPO/FILE")).strip().strip('"')
        if answer.isdecimal() and 1 <= int(answer) <= len(found):
            return found[int(answer) - 1].path
        if answer.lower().startswith(("hf:", "http://", "https://")) or Path(answer).expanduser().exists():
            return answer
        output.show(printable_lines(f"{answer} is no number of the list, and there is no such file"))
