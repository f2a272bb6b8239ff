"""What is kept of a model: registry entry, log, record, profile, unit, task. One attack in each, as raw as can be."""

import io
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

from splitter.bench.records.record import ModelInfo
from splitter.bench.records.records import Records
from splitter.errors import ProfileError, UsageError
from splitter.profile.schema import read_layer
from splitter.profile.write import render_profile
from splitter.run.endpoint import any_free_port
from splitter.run.entry import Entry, Reserved
from splitter.run.registry import Registry
from splitter.script.systemd import render_unit
from splitter.script.task import render_task
from tests.bench.make_record import make_point, make_record
from tests.script.made import planned
from tests.security.attacks import Attack, hidden
from tests.security.attempts import RIG, complaints, words

FOREIGN_TAGS = {"script", "img", "iframe", "link", "base", "a", "form", "object", "embed"}
UNIT_KEYS = {"Description", "StartLimitIntervalSec", "StartLimitBurst", "WorkingDirectory", "ExecStart", "Restart",
             "RestartSec", "TimeoutStopSec", "WantedBy", "Environment"}  # fmt: skip

TASK_ELEMENTS = 24


def text_of(attack: Attack) -> str:
    """All that the attacker wrote, shortened: these places never saw the header reader's limits."""
    return "\n".join((attack.name, attack.template, attack.file, attack.architecture, *attack.texts.values()))[:20_000]


SHOWN_S = 60
LONGEST_LOG = 400_000  # characters: the last lines of a log, and an entry as JSON, are longer than what people read


def instance(attack: Attack, model: Path) -> list[str]:
    """`ps` and `logs`, also with -f, of an instance whose entry and log hold the attack."""
    text, log = text_of(attack), model.parent / "kept.log"
    log.write_bytes(text.encode("utf-8", "surrogateescape") + b"\x1b[2J\xff\n")
    wanted = Entry(
        "kept", "", 0, 0.0, "llama-server", text, "127.0.0.1", any_free_port(), text, str(model), text, str(log),
        ("llama-server", "-m", text), None, 0.0, (Reserved(text, text, None, 1, True),),
    )  # fmt: skip
    wrong: list[str] = []
    with Registry().claim(wanted, {text: 2**30}, 0.0) as claim:
        for verb in (("ps",), ("ps", "--json"), ("logs", "kept"), ("logs", "kept", "--json")):
            wrong += complaints(*words(*verb), {0}, LONGEST_LOG)

        shown = io.StringIO()

        def end() -> None:
            """When the first lines were shown, writes one more and goes."""
            end_s = time.monotonic() + SHOWN_S
            while not shown.getvalue() and time.monotonic() < end_s:
                time.sleep(0.01)
            with log.open("ab") as file:
                file.write(b"\x1b]0;late\x07\n")
            claim.release()

        threading.Thread(target=end, daemon=True).start()
        code, out, err = words("logs", "kept", "-f", out=shown)
    wrong += complaints(code, out, err, {0}, LONGEST_LOG)
    if "late" not in out:
        wrong.append("logs -f did not follow")
    return wrong


def measured(attack: Attack, model: Path) -> list[str]:
    """`bench list`, `show`, `report` and `export` of a record that holds the attack, in the terminal and as a page."""
    text, page, file = text_of(attack), model.parent / "record.html", model.parent / "record.md"
    point = replace(make_point(), warnings=(text,), ended_by=text)
    record = replace(
        make_record(label=text, points=(point,)), model=ModelInfo(text, text, text, text), note=text, error=text,
        argv=("llama-server", "-m", text), rig={"name": text, "devices": [{"id": text, "name": text}]},
    )  # fmt: skip
    with Records() as kept:
        number = str(kept.add(record))
    wrong: list[str] = []
    for verb in (("list", "--limit", "1"), ("show", number), ("report", number), ("list", "--limit", "1", "--json"),
                 ("report", number, "-o", str(page)), ("export", number, "-o", str(file))):  # fmt: skip
        limit = 400_000 if verb[0] == "list" and "--json" in verb else None
        code, out, err = words("bench", *verb)
        wrong += [f"bench {verb[0]}: {said}" for said in complaints(code, "" if limit else out, err, {0}, LONGEST_LOG)]
        wrong += [f"bench {verb[0]}: hidden characters"] if hidden(out) else []
    wrong += [f"the Markdown holds {hidden(found)}"] if hidden(found := file.read_text(encoding="utf-8")) else []
    return wrong + foreign_markup(page)


def planned_page(attack: Attack, model: Path) -> list[str]:
    """`plan --report`: one page without foreign markup."""
    page = model.parent / "plan.html"
    code, out, err = words("plan", str(model), *RIG, "--report", str(page))
    expected = {1} if attack.refused else {2} if attack.unspeakable else {0}
    wrong = list(complaints(code, out, err, expected))
    return wrong + (foreign_markup(page) if page.exists() else [])


class _Tags(HTMLParser):
    """Which elements and event handlers a page has."""

    def __init__(self) -> None:
        super().__init__()
        self.foreign: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        links = {name for name, value in attrs if name == "href" and not (value or "").startswith("#")}
        self.foreign |= {tag} & FOREIGN_TAGS | links | {name for name, _ in attrs if name.startswith("on")}


def foreign_markup(page: Path) -> list[str]:
    """What a page may not hold."""
    text, tags = page.read_text(encoding="utf-8"), _Tags()
    tags.feed(text)
    wrong = [f"{page.name} holds {sorted(tags.foreign)}"] if tags.foreign else []
    return wrong + ([f"{page.name} holds {sorted(map(hex, map(ord, hidden(text))))}"] if hidden(text) else [])


def saved_profile(attack: Attack, model: Path) -> list[str]:
    """A profile with the attack in its comment, as tune saves evidence, and in its values: read back as it was."""
    values = {"model": str(model), "name": attack.name or "x", "engine.kind": "llama-server"}
    try:
        text = render_profile(values, text_of(attack))
        read = dict(read_layer(text, "kept").values)
    except ProfileError:  # a name with NUL or of a mebibyte: refused in one sentence
        return []
    wrong = [f"the profile holds {hidden(text)}"] if hidden(text) else []
    return wrong if read == values else [*wrong, "the profile is read back as another one"]


def services(attack: Attack) -> list[str]:
    """The systemd unit and the Windows task of a model called so: the same keys and elements as for any other."""
    return [*_unit(attack), *_task(attack)]


def _unit(attack: Attack) -> Iterator[str]:
    made, command = planned("/engine/llama-server", f"/models/{attack.file}.gguf", os="linux")
    made = replace(made, facts=replace(made.facts, name=text_of(attack)))
    unit = render_unit(made, command, "kept", f"splitter script '{text_of(attack)}'").decode()
    if hidden(unit):
        yield f"the unit holds {hidden(unit)}"
    lines = [line for line in unit.split("\n") if line and line[0] not in "#["]
    if foreign := {line.partition("=")[0] for line in lines} - UNIT_KEYS:
        yield f"the unit holds lines that begin with {foreign}"
    if any(line.endswith("\\") for line in unit.split("\n")):
        yield "a line of the unit goes on in the next"


def _task(attack: Attack) -> Iterator[str]:
    made, command = planned("C:\\engine\\llama-server.exe", f"C:\\models\\{attack.file}.gguf")
    made = replace(made, facts=replace(made.facts, name=text_of(attack)))
    try:
        content = render_task(made, command, "kept", f"splitter script '{text_of(attack)}'").decode("utf-16")
    except UsageError:
        return
    if hidden(content, "\r\n"):
        yield f"the task holds {sorted(map(hex, map(ord, hidden(content))))}"
    root = ElementTree.fromstring(content.partition("?>")[2])
    if len(list(root.iter())) != TASK_ELEMENTS:
        yield f"the task has {len(list(root.iter()))} elements"
