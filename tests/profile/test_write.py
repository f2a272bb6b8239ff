"""Profiles written from plans and commands, and edited without losing what their owner wrote."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitter.engine.command import EngineRef, Server
from splitter.engine.commands import build_command
from splitter.engine.engines import rules_of
from splitter.engine.reading.command import read_command
from splitter.engine.reading.script import read_script
from splitter.errors import ProfileError
from splitter.model.load import load_model
from splitter.plan.request import Request
from splitter.plan.solve import solve
from splitter.profile.edit import edit_profile
from splitter.profile.files import load_profile, save_profile
from splitter.profile.keys import KEYS, Key
from splitter.profile.profile import built_in, merge, to_request
from splitter.profile.schema import read_layer
from splitter.profile.write import command_values, plan_values, render_profile
from splitter.script.render import render
from tests.check.builders import SEED, rig
from tests.engine.oracle import skeleton

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).filter(
    lambda t: t.strip() and "\0" not in t
)


def value_of(key: Key) -> st.SearchStrategy[Any]:
    """Values that `key` accepts."""
    whole = st.integers(1, int(key.maximum or 60000))
    return {
        "text": TEXTS,
        "workload": st.sampled_from(("chat", "agent", "4096:512", "4096:512@8192")),
        "integer": whole,
        "number": st.one_of(whole, st.floats(key.minimum or 0, 1e6)),
        "boolean": st.booleans(),
        "choice": st.sampled_from(key.choices or ("",)),
        "version": st.sampled_from(["1.110", "11434", "b6325", "1e3"]),
        "numbers": st.lists(st.one_of(whole, st.floats(0, 1e6)), min_size=1, max_size=4).map(tuple),
        "texts": st.lists(TEXTS, min_size=1, max_size=3).map(tuple),
        "context": st.one_of(whole, st.just("max")),
    }[key.kind]


SETTABLE = [key for key in KEYS if not key.path.startswith("rig.")]
ENTRIES = st.sampled_from(SETTABLE).flatmap(lambda key: st.tuples(st.just(key.path), value_of(key)))


def profiles_of(keys: list[Key]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({key.path: value_of(key) for key in keys})


@given(st.lists(st.sampled_from(SETTABLE), max_size=6, unique=True).flatmap(profiles_of))
def test_what_is_rendered_is_read_back(values: dict[str, Any]) -> None:
    assert read_layer(render_profile(values, "a comment\nof two lines"), "p").values == values


OWNED = """# my machine
model: m.gguf      # the good one
engine: {kind: koboldcpp}  # fast enough

settings:          # found by trying
  # never above 4096, or the 1050 dies
  context_size: 4096
  tensor_split:
    - 1.5
    - 4.5
  flash_attention: on  # default anyway
server:
  port: 5001
# the end
"""


@given(ENTRIES)
def test_an_edit_changes_one_value_and_keeps_every_comment(entry: tuple[str, Any]) -> None:
    path, value = entry
    before = read_layer(OWNED, "p").values
    edited = edit_profile(OWNED, path, value)
    assert read_layer(edited, "p").values == {**before, path: value}
    comments = ("# my machine", "# the good one", "# fast enough", "# found by trying", "# never above", "# the end")
    assert all(comment in edited for comment in comments)


@pytest.mark.parametrize(
    ("text", "path", "value", "expected"),
    [
        ("", "goal", "context", "goal: context\n"),
        ("# c", "server.port", 9, "# c\nserver:\n  port: 9\n"),
        ("goal: speed # x\n", "goal", "context", "goal: context # x\n"),
        ("goal:\nmodel: m\n", "goal", "context", "goal: context\nmodel: m\n"),
        ("engine: koboldcpp # k\n", "engine.version", "1.123", "engine: {kind: koboldcpp, version: '1.123'} # k\n"),
        ("engine: koboldcpp # k\n", "engine.kind", "embedded", "engine: embedded # k\n"),
        ("rig: phoenix # r\n", "rig.gpus", ("2080",), "rig: {gpus: ['2080']} # r\n"),
        ("rig: {name: a} # r\n", "rig.name", "b", "rig: {name: b} # r\n"),
        ("rig: {name: a} # r\n", "rig.file", "b.yaml", "rig: {file: b.yaml} # r\n"),
        ("server:\n", "server.port", 9, "server: {port: 9}\n"),
        ("server: {}\n", "server.port", 9, "server: {port: 9}\n"),
        ("server: {host: a}\n", "server.port", 9, "server: {host: a, port: 9}\n"),
        ("server:\n  host: a\n", "server.port", 9, "server:\n  port: 9\n  host: a\n"),
        ("settings: {tensor_split: [1, 2]}\n", "settings.tensor_split", (3, 4), "settings: {tensor_split: [3, 4]}\n"),
    ],
)
def test_edits(text: str, path: str, value: Any, expected: str) -> None:
    assert edit_profile(text, path, value) == expected


@pytest.mark.parametrize(
    ("text", "path", "value", "words"),
    [
        ("goal: speed\n", "gaol", "speed", "unknown key 'gaol'"),
        ("goal: speed\n", "goal", "fast", "goal must be one of"),
        ("goal: [\n", "goal", "speed", "not valid YAML"),
    ],
)
def test_edits_that_cannot_be(text: str, path: str, value: Any, words: str) -> None:
    with pytest.raises(ProfileError, match=words):
        edit_profile(text, path, value)


@pytest.mark.parametrize(
    ("kind", "version", "server"),
    [
        ("llama-server", "11434", Server()),
        ("llama-server", "11434", Server(web_ui=False, cors_origins="https://a.example,https://b.example")),
        ("llama-server", "6150", Server(web_ui=False)),
        ("koboldcpp", "1.123", Server()),
    ],
)
def test_plan_to_script_to_profile_to_plan_is_the_same_plan(kind: str, version: str, server: Server) -> None:
    facts = load_model(str(skeleton("qwen2.5-32b-q4_k_m")))
    request = Request(fixed={"context_size": 4096}, engine=rules_of(kind, version))
    plan = solve(facts, rig(), request)
    command = build_command(plan, EngineRef(kind, None, version), server)
    texts = [render_profile(plan_values(plan, command.server))]
    for script in render(plan, command):
        texts.append(render_profile(command_values(read_script(script.content.decode(), script.name, version=version))))
    for text in texts:
        task = to_request(merge([built_in(), read_layer(text, "p")], "p"))
        again = solve(facts, rig(), task.request)
        assert again.placement == plan.placement
        assert build_command(again, task.engine, task.server).argv == command.argv


def test_the_seed_as_a_profile() -> None:
    text = render_profile(command_values(read_command(SEED)), "from koboldai.bat")
    assert text == (
        "# from koboldai.bat\n"
        "model: Qwen2.5-32B-Instruct-Q4_K_M.gguf\n"
        "engine:\n  kind: koboldcpp\n"
        "settings:\n  context_size: 4096\n  gpu_layers: 40\n  tensor_split: [1.5, 4.5, 3.0]\n"
        "server:\n  host: 127.0.0.1\n  port: 5001\n"
    )


def test_what_a_command_leaves_open_stays_open() -> None:
    values = command_values(read_command("llama-server -m m.gguf -ngl all -c 0 -np -1 -dev none"))
    assert {key for key in values if key.startswith("settings.")} == set()


def test_saving_by_name_and_by_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("APPDATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    saved = save_profile("goal: context\n", "mine")
    assert saved == tmp_path / "splitter" / "profiles" / "mine.yaml"
    assert load_profile("mine").get("goal") == "context"
    with pytest.raises(ProfileError, match="exists already"):
        save_profile("goal: speed\n", "mine")
    save_profile("goal: speed\n", "mine", overwrite=True)
    assert load_profile("mine").get("goal") == "speed"
    assert save_profile("", "./here.yaml") == Path("here.yaml")
    with pytest.raises(ProfileError, match="unknown key"):
        save_profile("gaol: x\n", "other")
