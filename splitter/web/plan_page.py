"""The plan page's parts: what was asked in its address, what was solved, and the files to take away."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from splitter.app.events import Silent
from splitter.app.keywords import checked_wishes
from splitter.app.planning import Planned
from splitter.app.questions import answered
from splitter.app.reporting import plan_figures, plan_memory
from splitter.app.wishes import ask
from splitter.bench.report.html_report import figures_list
from splitter.bench.report.html_tables import memory_table, numbers
from splitter.bench.report.svg_bars import memory_bars
from splitter.bench.report.values import Figure
from splitter.errors import DoesNotFitError, SplitterError, UsageError
from splitter.plan.plan import Plan
from splitter.plan.speed_words import speed_text, turn_text
from splitter.printable import printable
from splitter.units import format_bytes
from splitter.web import page_words as words
from splitter.web.desk import Desk
from splitter.web.drawing import drawn
from splitter.web.reach import Reach

DOWNLOADS = {"bat": ".bat", "sh": ".sh", "kcpps": ".kcpps", "profile": "profile"}
SHOWN = ("full", "shown_device_order", "shown_ubatch_size")
FIT = {"gpu": "on cards", "partly": "partly in RAM", "cpu": "in RAM alone", "no": "does not fit", None: "?"}
ADDRESS_WORDS = 4000  # characters of one value in an address


class Plans:
    """Answers of the plan page and of what lists models."""

    def __init__(self, desk: Desk, reach: Reach, paths: tuple[str, ...]) -> None:
        self._desk, self._reach, self._paths = desk, reach, paths

    def keywords(self, query: Mapping[str, str]) -> dict[str, Any]:
        """The address's values as keywords: numbers and lists as the profile's keys want them. UsageError for a file
        beyond reach."""
        from splitter.app.questions import as_written

        given = {name: value for name, value in query.items() if value != "" and name not in SHOWN}
        if any(len(value) > ADDRESS_WORDS for value in given.values()):
            raise UsageError("a value in the address is too long", "start again from the plan page")
        if "context_size" in given:
            given.pop("context", None)
        if given.get("gpus"):
            given.pop("rig", None)
        if "cache_type_k" in given:
            given.setdefault("cache_type_v", given["cache_type_k"])
        self._reach.check(given)
        return {name: as_written(name, value) for name, value in given.items()}

    def page(self, query: Mapping[str, str]) -> dict[str, Any]:
        """The page before anything is solved."""
        given = {name: value for name, value in query.items() if value}
        shown: dict[str, Any] = {
            "given": given,
            "models": self.models_known(),
            "rigs": self._rigs(),
            "cards": _cards(),
            "engines": words.engine_names(),
            "choice_names": words.CHOICE,
            "facts": None,
            "error": None,
        }
        if not given.get("model"):
            return shown
        try:
            keywords = self.keywords(given)
            facts = self._desk.facts(keywords["model"])
            named = {name: value for name, value in keywords.items() if name in {"rig", "gpus", "engine", "backend"}}
            rig = self._desk.planner(ask(checked_wishes(None, None, named)))[1].rig
        except SplitterError as error:
            return shown | {"error": error}
        listed = words.controls(facts, rig, given)
        known = {control.name for control in listed} | set(words.NOT_A_WISH)
        extras = [(name, value) for name, value in given.items() if name not in known]
        return shown | {"facts": facts, "controls": listed, "extras": extras}

    def part(self, query: Mapping[str, str]) -> dict[str, Any]:
        """What was solved: first with the cards in the order that is shown, then whole."""
        fixed = [(name, printable(said, 160)) for name, said in words.wishes_in(query)]
        try:
            keywords = self.keywords(query)
            full = bool(query.get("full"))
            planned = self._desk.planned(keywords) if full else self._sketch(keywords, query)
        except SplitterError as error:
            short = isinstance(error, DoesNotFitError)
            return {"error": error, "ways": words.ways_out(error.hint) if short else (), "fixed": fixed,
                    "looking": short and not query.get("full")}  # fmt: skip
        return {"error": None, "fixed": fixed, "full": full, **_solved(planned, query)}

    def _sketch(self, keywords: Mapping[str, Any], query: Mapping[str, str]) -> Planned:
        """With what is shown held still, where that fits; it takes a tenth of a second."""
        held = {name: query.get(f"shown_{name}", "") for name in ("device_order", "ubatch_size")}
        more = self.keywords({name: value for name, value in held.items() if value and name not in keywords})
        try:
            return self._desk.sketched({**keywords, **more})
        except SplitterError:
            if not more:
                raise
            return self._desk.sketched(keywords)

    def file(self, kind: str, query: Mapping[str, str]) -> tuple[str, bytes]:
        """A file to take away: its name and its content. UsageError for a kind that there is not."""
        if kind not in DOWNLOADS:
            raise UsageError("there is no such file", "take one of the plan page's")
        keywords = self.keywords(query)
        if kind == "profile":
            answer = _answer("profile/text", keywords)
            return f"{Path(str(keywords.get('model', 'plan'))).stem}.yaml", answer["text"].encode()
        answer = _answer("script/text", {**keywords, "kcpps": kind == "kcpps"})
        found = next((file for file in answer["files"] if file["name"].endswith(DOWNLOADS[kind])), None)
        if found is None:
            raise UsageError(f"there is no {DOWNLOADS[kind]} of this plan", "choose the engine koboldcpp for a .kcpps")
        return found["name"], found["text"].encode()

    def models_known(self) -> list[tuple[str, str]]:
        """(reference, name) of what can be chosen."""
        from splitter.model.found import find_models

        named = [(path, Path(path).name) for path in self._paths if path.endswith(".gguf")]
        folders = [Path(path).expanduser() for path in self._paths]
        inside = [str(file) for folder in folders if folder.is_dir() for file in sorted(folder.glob("*.gguf"))]
        listed = [*named, *((path, Path(path).name) for path in inside)]
        return [*listed, *((model.path, printable(model.name)) for model in find_models().models)]

    def engine_names(self) -> tuple[str, ...]:
        """The engines that can be planned for."""
        return words.engine_names()

    def _rigs(self) -> list[str]:
        from splitter.rig.files import shipped_rigs

        return [*(path for path in self._paths if path.endswith((".yaml", ".yml"))), *shipped_rigs()]

    def models(self, query: Mapping[str, str]) -> dict[str, Any]:
        """The table of found models."""
        try:
            keywords = self.keywords({name: query.get(name, "") for name in ("rig", "gpus")})
            data = _answer("models", keywords)
        except SplitterError as error:
            return {"error": error}
        rows = [
            {"name": printable(row["name"]), "path": row["path"], "fit": _fit(row), "size": format_bytes(
                row["size_bytes"]), "quantization": row["quantization"], "context": row["context_size"],
             "speed": speed_text(row["generation_tokens_per_s"])}
            for row in data["models"]
        ]  # fmt: skip
        return {"error": None, "rows": rows, "rig": data["rig"], "notes": data["notes"]}

    def ranked(self, query: Mapping[str, str]) -> dict[str, Any]:
        """The files of a repository, ranked for the rig."""
        try:
            keywords = self.keywords({name: query.get(name, "") for name in ("model", "rig", "gpus")})
            data = _answer("rank", keywords)
        except SplitterError as error:
            return {"error": error}
        rows = [
            {"name": row["file"], "path": "", "fit": "yes" if row["fits"] else "no", "size": format_bytes(
                row["file_bytes"]), "quantization": row["quantization"], "context": row["context_size"],
             "speed": speed_text(row["generation_tokens_per_s"])}
            for row in data["files"]
        ]  # fmt: skip
        return {"error": None, "rows": rows, "rig": data["rig"], "reason": data["reason"], "notes": ()}

    def engines(self) -> dict[str, Any]:
        """What is here, and what could be."""
        from splitter.app.planning import resolve_engine
        from splitter.engine.installed import installed

        found = [resolve_engine(kind, None, None) for kind in words.engine_names()]
        rows = [
            {"kind": one.kind, "version": one.version or "not here", "path": one.path or ""}
            for one in found
        ]  # fmt: skip
        return {"found": rows, "installed": installed(), "installable": ("llama-server", "koboldcpp")}


def _fit(row: Mapping[str, Any]) -> str:
    if row["kind"] not in {None, "model"}:
        return f"not a language model ({row['kind']})"
    return FIT[row["fit"]] if row["fit"] or not row["error"] else "cannot be planned"


def _answer(name: str, values: Mapping[str, Any]) -> Any:
    answer = answered(name, values, Silent())
    if answer["data"] is None:
        item = answer["errors"][0]
        raise SplitterError(item["message"], item["hint"])
    return answer["data"]


def _cards() -> list[str]:
    from splitter.rig.files import known_cards

    return [card.name for card in known_cards()]


def _solved(planned: Planned, query: Mapping[str, str]) -> dict[str, Any]:
    plan = planned.plan
    mood, verdict = words.verdict_line(plan)
    memory = plan_memory(plan)
    asked = {name: value for name, value in query.items() if value and name not in SHOWN}
    return {
        "mood": mood,
        "verdict": verdict,
        "solved": words.solved_values(plan),
        "figures": drawn(figures_list((*_turn(plan), *plan_figures(plan)))),
        "bars": drawn(memory_bars(memory) + numbers(memory_table(memory))),
        "others": [_other(other) for other in plan.alternatives],
        "reasons": [printable(line, 600) for line in plan.reasons],
        "warnings": plan.warnings,
        "line": planned.line,
        "query": urlencode(asked),
        "downloads": [(kind, suffix) for kind, suffix in DOWNLOADS.items() if _offered(kind, planned)],
        "port": planned.command.server.port,
        "startable": planned.command.engine.path is not None,
        "why_not": f"{planned.command.engine.kind} is not on this machine: see Engines. The files run where it is.",
    }


def _offered(kind: str, planned: Planned) -> bool:
    from splitter.engine.engines import ENGINES

    return kind != "kcpps" or ENGINES[planned.command.engine.kind].settings_file == ".kcpps"


def _turn(plan: Plan) -> tuple[Figure, ...]:
    turn = plan.speed.turn
    if turn is None or turn.seconds is None:
        return ()
    took = f"{turn.seconds:.1f} s" if turn.seconds < 10 else f"{turn.seconds:.0f} s"
    return (Figure("A turn", took, turn_text(turn)),)


def _other(plan: Plan) -> dict[str, Any]:
    on_gpu = sum(owner is not None for owner in plan.placement.layers)
    turn = plan.speed.turn
    rows = [
        ("layers on cards", f"{on_gpu} of {len(plan.placement.layers)}"),
        ("context", str(plan.settings.context_size)),
        ("cache", plan.settings.cache_type_k),
        ("generation", speed_text(plan.speed.generation_tokens_per_s)),
        ("prompt", speed_text(plan.speed.prompt_tokens_per_s)),
        ("a turn", f"{turn.seconds:.0f} s" if turn and turn.seconds is not None else "?"),
    ]
    return {"title": plan.title, "rows": rows, "changes": words.changes_of(plan.flags)}
