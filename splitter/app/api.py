"""The Python API: `import splitter; splitter.plan("m.gguf", gpus="1050ti,2080,1060-6gb", context=8192)`.

Each function is a use case that the terminal has as well. Keywords are the profile's keys (`app.keywords`); errors are
`splitter.errors.SplitterError` with a sentence and the next step. Nothing is printed: `events` is told instead.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from splitter.app.checking import Checked, evaluate_read, read_target
from splitter.app.events import Events, Silent
from splitter.app.keywords import Keywords, Text, checked_wishes
from splitter.app.planning import Planned, plan_model
from splitter.app.wishes import Wishes, ask
from splitter.errors import UsageError
from splitter.profile.profile import BUILT_IN

if TYPE_CHECKING:
    from splitter.app.ranking import Ranking
    from splitter.app.running import Running
    from splitter.bench.records.record import Record

__all__ = ["bench", "check", "launch", "plan", "rank"]


def plan(
    model: Text | None = None,
    *,
    profile: Text | None = None,
    verify: bool = False,
    events: Events | None = None,
    **keywords: Unpack[Keywords],
) -> Planned:
    """The best placement of `model` and the command for it. `verify`: proven by the engine's own dry run.

    DoesNotFitError when nothing obeys what is given.
    """
    return plan_model(checked_wishes(model, profile, keywords), events or Silent(), verify=verify)


def check(
    target: Text | None = None,
    *flags: str,
    command: str | None = None,
    events: Events | None = None,
    **keywords: Unpack[Keywords],
) -> Checked:
    """What a command would do: `check("m.gguf", "-ngl", "40")`, `check("start.bat")`, `check(command="llama-server
    -m m.gguf -ngl 40")`. Settings among the keywords are taken as if they stood in the command, and stand in the one
    of the answer. It never raises because something does not fit: ask `.fits`.
    """
    from dataclasses import replace

    wishes = checked_wishes(None, None, keywords)
    given = wishes.settings()
    if given.get("context_size") == "max":
        raise UsageError("check looks at one context size, not at max", "give a number, or ask splitter.plan for max")
    asked = Wishes({key: value for key, value in wishes.values.items() if not key.startswith("settings.")})
    read = read_target(None if target is None else str(target), command, list(flags), asked)
    read = replace(read, settings={**read.settings, **given})
    return evaluate_read(read, asked, events or Silent(), names=tuple(given))


def rank(
    models: Text | Iterable[Text],
    *,
    profile: Text | None = None,
    events: Events | None = None,
    **keywords: Unpack[Keywords],
) -> "Ranking":
    """The models of a folder, of hf:OWNER/REPO, or the given files, the most advisable for the rig first."""
    from splitter.app.ranking import ModelSet, rank, several_models

    told = events or Silent()
    named = [str(models)] if isinstance(models, str | Path) else [str(m) for m in models]
    wishes = checked_wishes(named[0] if named else None, profile, keywords)
    found = several_models(wishes, told) if len(named) == 1 else None
    return rank(found or ModelSet(", ".join(named), tuple(named), lambda name: name, ask(wishes)), told)


def launch(
    model: Text | None = None,
    *,
    profile: Text | None = None,
    name: str | None = None,
    log_file: Text | None = None,
    events: Events | None = None,
    **keywords: Unpack[Keywords],
) -> "Running":
    """Plans `model`, starts the engine and returns when it is ready: `.url`, `.metrics()`, `.stop()`; a `with` stops
    it at its end. Without `port` any free one is taken. `name` is what `splitter ps` shows."""
    from splitter.app.running import launch_model

    wishes = _with_free_port(checked_wishes(model, profile, keywords))
    log = None if log_file is None else str(log_file)
    return launch_model(wishes, events or Silent(), name=name, log_file=log)


def bench(
    model: Text | None = None,
    *,
    url: str | None = None,
    profile: Text | None = None,
    prompt_tokens: int = 512,
    generate: int = 128,
    depths: Iterable[int] = (0,),
    concurrency: Iterable[int] = (1,),
    repetitions: int | None = None,
    budget_s: float | None = None,
    save: bool = True,
    label: str = "",
    events: Events | None = None,
    **keywords: Unpack[Keywords],
) -> "Record":
    """Tokens per second of a running server (`url`) or of the plan of `model`, which is launched for it. `save` keeps
    the measurement for `splitter bench list`, and its id with it."""
    from splitter.app.measuring import BenchWishes, bench_model, bench_url
    from splitter.app.recording import check_keeping, kept
    from splitter.bench.measure import Sweep
    from splitter.bench.stopping import Stopping
    from splitter.run.keys import read_key

    stopping = Stopping(repetitions, budget_s or Stopping().budget_s)
    sweep = Sweep(prompt_tokens, generate, tuple(depths), tuple(concurrency), stopping)
    asked = BenchWishes(sweep, label, save, budget_given=budget_s is not None)
    told = events or Silent()
    check_keeping(save)
    if url is not None:
        key = _only_key(model, profile, keywords)
        record = bench_url(url, None if key is None else read_key(key), asked, told)
    else:
        record = bench_model(_with_free_port(checked_wishes(model, profile, keywords)), asked, told)
    return kept(record) if save else record


def _only_key(model: Text | None, profile: Text | None, keywords: Mapping[str, Any]) -> Text | None:
    """The key's file for a server that runs already. UsageError for what would have to be planned or launched."""
    given = {"model": model, "profile": profile, **keywords}
    wrong = [name for name, value in given.items() if value is not None and name != "api_key_file"]
    if wrong:
        raise UsageError(f"url measures a running server as it is, without {', '.join(wrong)}", "leave one of them out")
    return keywords.get("api_key_file")


def _with_free_port(wishes: Wishes) -> Wishes:
    """A port that nobody has, where none is asked for."""
    from splitter.run.endpoint import any_free_port

    port = ask(wishes).profile.values["server.port"]
    return wishes.over({"server.port": any_free_port()}) if port.source == BUILT_IN else wishes
