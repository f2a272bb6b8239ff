"""The readers of foreign bytes, each as a function of bytes. Nothing but a SplitterError may come out of one."""

import json
from collections.abc import Callable
from dataclasses import replace

from splitter.bench.records.export import FORMATS, summary
from splitter.bench.records.record import MalformedError, from_json, to_dict
from splitter.bench.report.html_report import html_report
from splitter.bench.report.of_records import report
from splitter.cli.views.bench_record import list_view, record_view
from splitter.cli.views.ps import ps_view
from splitter.engine.command import EngineRef, Server
from splitter.engine.commands import build_command
from splitter.engine.log.last_words import last_words
from splitter.engine.reading.command import read_command
from splitter.engine.reading.script import read_script
from splitter.engine.reading.value import SCRIPT_SUFFIXES
from splitter.errors import SplitterError
from splitter.model.header import read_header
from splitter.model.read_facts import facts_from_headers
from splitter.model.summary import summarize
from splitter.profile.profile import built_in, merge, to_request
from splitter.profile.schema import read_layer
from splitter.profile.write import render_profile
from splitter.rig.files import load_catalog
from splitter.rig.rig_file import parse_rig
from splitter.run import entry as entries
from splitter.run.failure import quoted
from splitter.script.render import render
from tests.commands.plans import facts, plan, rig
from tests.model.gguf_files import BytesSource

PROGRAM = {"windows": "C:\\engine\\llama-server.exe", "linux": "/engine/llama-server"}


def header(data: bytes) -> None:
    """A GGUF header, its facts and their summary."""
    summarize(facts_from_headers((read_header(BytesSource(data)),), "fuzz.gguf"))


def profile(data: bytes) -> None:
    """A profile: what is read can be merged, asked for and written again."""
    layer = read_layer(data.decode("utf-8", "replace"), "fuzz.yaml")
    assert read_layer(render_profile(layer.values), "again").values == layer.values
    to_request(merge([built_in(), layer], "fuzz"))


def rig_file(data: bytes) -> None:
    """A rig file."""
    parse_rig(data.decode("utf-8", "replace"), "fuzz.yaml", "fuzz", load_catalog(), "linux")


def log(data: bytes) -> None:
    """A dead engine's log: what is said of it steers no terminal."""
    lines = data.decode("utf-8", "replace").split("\n")
    failure = last_words(lines)
    said = [quoted(lines), *([failure.sentence, failure.hint] if failure else [])]
    assert all(character.isprintable() or character == "\n" for text in said for character in text)


def script(data: bytes) -> None:
    """A plan with foreign names as .bat and .sh: what we wrote we read back, word for word."""
    fields = [part.decode("utf-8", "replace") for part in data.split(b"\xff", 5)]
    name, path, projector, override, rig_name = (*fields, *[""] * 5)[:5]
    system = "windows" if len(data) % 2 else "linux"
    made = plan(
        model=replace(facts(path=path or "model.gguf"), name=name),
        on=rig(os=system),
        mmproj=projector or None,
        override_tensors=(override,) if override else (),
    )
    command = build_command(made, EngineRef("llama-server", PROGRAM[system], "11434"), Server())
    for file in render(made, command, rig_name or None, name):
        _read_back(file.name, file.content)


def _read_back(name: str, content: bytes) -> None:
    """cmd.exe would end a line at a bare line break; our reader finds the engine, or refuses."""
    text = content.decode("utf-8")
    if name.endswith(".bat"):
        assert not {"\n", "\r"} & set(text.replace("\r\n", "")), "a line break inside a line"
    read_script(text, name)


def command(data: bytes) -> None:
    """A command or a script somebody wrote; the first byte chooses the dialect."""
    if not data:
        return
    text = data[1:].decode("utf-8", "replace")
    kinds = (*SCRIPT_SUFFIXES, "")
    suffix = kinds[data[0] % len(kinds)]
    read_script(text, f"fuzz{suffix}") if suffix else read_command(text)


def entry(data: bytes) -> None:
    """The registry's file of an instance: what is read can be shown, and written again."""
    found = entries.from_json(data.decode("utf-8", "replace"))
    if found is not None:
        assert entries.from_json(entries.to_json(found)) == found
        assert list(ps_view([found], 1.8e9))


def record(data: bytes) -> None:
    """A kept measurement: what is read can be listed, shown, exported, drawn and written again."""
    try:
        found = from_json(data.decode("utf-8", "replace"))
    except MalformedError:
        return
    assert to_dict(from_json(json.dumps(to_dict(found)))) == to_dict(found) or "NaN" in json.dumps(to_dict(found))
    list(list_view([found])), list(record_view(found)), summary(found)
    for form in FORMATS.values():
        form([found])
    html_report(report([found], "now"))


TARGETS: dict[str, Callable[[bytes], None]] = {
    "header": header,
    "profile": profile,
    "rig": rig_file,
    "log": log,
    "script": script,
    "command": command,
    "entry": entry,
    "record": record,
}


def survives(target: str, data: bytes) -> None:
    """Runs one input; whatever it raises that is no SplitterError is a finding."""
    try:
        TARGETS[target](data)
    except SplitterError as error:
        if not error.message:
            raise ValueError("an error without a sentence") from error
