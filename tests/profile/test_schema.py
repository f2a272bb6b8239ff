"""Profiles as text: what is accepted, what is refused and in which words."""

import json
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitter.errors import ProfileError, SplitterError
from splitter.memory.settings import Settings
from splitter.profile.keys import KEYS, SECTIONS, nearest
from splitter.profile.schema import check_value, profile_schema, read_layer
from splitter.safe_yaml import MAX_BYTES


def values(text: str) -> dict[str, Any]:
    return dict(read_layer(text, "p.yaml").values)


def refusal(text: str) -> tuple[str, str]:
    with pytest.raises(ProfileError) as caught:
        read_layer(text, "p.yaml")
    return caught.value.message, caught.value.hint


def test_every_field_of_settings_has_a_key_and_no_other() -> None:
    names = {key.name() for key in KEYS if key.section() == "settings"}
    assert names == {field.name for field in fields(Settings)}


def test_a_full_profile_becomes_typed_values_with_their_lines() -> None:
    text = """
model: hf:a/b/c.gguf
engine: {kind: koboldcpp, version: "1.110"}
rig: phoenix
margin_mib: [300, 0, 512]
settings:
  context_size: max
  tensor_split: [1.5, 4.5, 3]
  flash_attention: on
  device_order: CUDA1
server:
  port: 5001
"""
    layer = read_layer(text, "p.yaml")
    assert layer.values == {
        "model": "hf:a/b/c.gguf",
        "engine.kind": "koboldcpp",
        "engine.version": "1.110",
        "rig.name": "phoenix",
        "margin_mib": (300, 0, 512),
        "settings.context_size": "max",
        "settings.tensor_split": (1.5, 4.5, 3),
        "settings.flash_attention": "on",
        "settings.device_order": ("CUDA1",),
        "server.port": 5001,
    }
    assert layer.lines["settings.tensor_split"] == 8


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("engine: embedded", {"engine.kind": "embedded"}),
        ("rig: ./my.yaml", {"rig.file": "./my.yaml"}),
        ("rig: [1050ti, 2080]", {"rig.gpus": ("1050ti", "2080")}),
        ("engine:\n  version: 11434", {"engine.version": "11434"}),
        ("settings:\n  flash_attention: off", {"settings.flash_attention": "off"}),
        ("settings:\n", {}),
        ("goal:\n", {}),
        ("", {}),
        ("# only a comment", {}),
    ],
)
def test_shorthands_and_empty_sections(text: str, expected: dict[str, Any]) -> None:
    assert values(text) == expected


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("modell: x", "p.yaml:1: unknown key 'modell'", "did you mean model?"),
        ("settings:\n  contxt_size: 1", "p.yaml:2: unknown key 'contxt_size' in settings", "settings.context_size?"),
        ("settings:\n  ngl: 1", "p.yaml:2: unknown key 'ngl' in settings", "did you mean settings.gpu_layers?"),
        ("ctx-size: 1", "p.yaml:1: unknown key 'ctx-size'", "did you mean settings.context_size?"),
        (
            "server:\n  api_key: secret",
            "p.yaml:2: unknown key 'api_key' in server",
            "server.api_key_file?",
        ),
        ("servr: {}", "p.yaml:1: unknown key 'servr'", "did you mean server?"),
        ("settings: {qqqq: 1}", "p.yaml:1: unknown key 'qqqq' in settings", "known keys: context_size,"),
        ("server:\n  port: '80'", "p.yaml:2: server.port must be a whole number from 1 to 65535, not '80'", "port"),
        ("server: {port: 70000}", "p.yaml:1: server.port must be a whole number from 1 to 65535, not 70000", ""),
        ("settings: {gpu_layers: true}", "settings.gpu_layers must be a whole number of at least 0, not True", "-ngl"),
        ("settings: {split_mode: row}", "settings.split_mode must be one of none, layer, tensor, not 'row'", "-sm"),
        ("settings:\n  tensor_split: '1.5,4.5'", "must be a number or a list of numbers", "-ts"),
        ("settings:\n  tensor_split: [1, .nan]", "must be a number or a list of numbers", "-ts"),
        ("settings:\n  tensor_split: [1, -1]", "must be a number or a list of numbers", "-ts"),
        ("settings:\n  tensor_split: [1, .inf]", "must be a number or a list of numbers", "-ts"),
        ("engine: {version: 1.110}", 'engine.version must be a version in quotes, such as "1.123", not 1.11', ""),
        ("goal: fast", "goal must be one of speed, context, balanced, not 'fast'", ""),
        ("model: 2024-01-01\nmodel: b", "p.yaml:2: the key 'model' appears twice", "keep one"),
        ("rig: {name: a, gpus: [b]}", "the rig is given twice (rig.name and rig.gpus)", "keep one"),
        ("- a\n- b", "p.yaml contains no keys and values", "model: FILE"),
        ("a: [1", "p.yaml:1: not valid YAML", "check indentation"),
        ("model: !!python/object/apply:os.system [ls]", "p.yaml:1: the tag", "plain value"),
        ("server: 8080", "p.yaml:1: server must contain keys of its own", "host, port, api_key_file"),
        ("? [a, b]\n: c", "p.yaml:1: a key must be one word", ""),
        ("x: " + "y" * MAX_BYTES, "p.yaml is larger than 65536 bytes", ""),
        ("x: " + "[" * 30000, "p.yaml:1: nested deeper than 6 levels", ""),
        ("server: {port: " + "9" * 5000 + "}", "p.yaml:1:", ""),
    ],
)
def test_refusals_name_file_line_and_remedy(text: str, message: str, hint: str) -> None:
    said, next_step = refusal(text)
    assert message in said
    assert hint in next_step
    assert len(said) < 300


def test_a_billion_laughs_are_refused_before_they_expand() -> None:
    lines = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    lines += [f"a{i}: &a{i} [" + ", ".join([f"*a{i - 1}"] * 9) + "]" for i in range(1, 30)]
    assert "anchors and aliases are not allowed" in refusal("\n".join(lines))[0]


def test_a_command_line_value_is_checked_by_the_same_table() -> None:
    assert check_value("settings.context_size", 4096, "command line") == 4096
    with pytest.raises(ProfileError, match=r"command line: server\.port must be"):
        check_value("server.port", "many", "command line")
    with pytest.raises(ProfileError, match=r"unknown key 'settings\.gpu'"):
        check_value("settings.gpu", 1, "command line")


def test_nearest_looks_in_the_section_first_and_gives_up_on_nonsense() -> None:
    assert nearest("prot", "server") == "server.port"
    assert nearest("backof", "") == "supervision.backoff_s"
    assert nearest("zzzzzz", "settings") is None


def test_the_json_schema_knows_every_key_and_is_json() -> None:
    schema = json.loads(json.dumps(profile_schema()))
    top = schema["properties"]
    for key in KEYS:
        home = top if not key.section() else top[key.section()]
        home = home["anyOf"][-1]["properties"] if "anyOf" in home else home.get("properties", home)
        assert home[key.name()]["description"] == key.about
    assert set(SECTIONS) <= set(top)


WORDS = st.sampled_from([*(key.name() for key in KEYS), *SECTIONS, "modell", "on", "1e999", "~", "&a", "*a", "!!int x"])
SCALARS = st.one_of(
    WORDS, st.integers().map(str), st.floats().map(str), st.text(max_size=8).map(repr), st.text(max_size=8)
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: "[" + ", ".join(items) + "]"),
        st.lists(st.tuples(WORDS, inner), max_size=3).map(
            lambda items: "{" + ", ".join(f"{key}: {value}" for key, value in items) + "}"
        ),
    ),
    max_leaves=12,
)


@given(
    st.one_of(
        st.text(),
        TREES,
        st.lists(st.tuples(WORDS, TREES), max_size=4).map(lambda rows: "\n".join(map(": ".join, rows))),
    )
)
def test_any_text_is_a_layer_or_a_sentence(text: str) -> None:
    try:
        layer = read_layer(text, "p.yaml")
    except SplitterError as refused:
        message = refused.message
    else:
        message = "p.yaml"
        assert set(layer.values) == set(layer.lines)
    assert message.startswith("p.yaml")
