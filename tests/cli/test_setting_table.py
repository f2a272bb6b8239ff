"""Settings are described once: options, profile keys, JSON schema, JSON and messages follow the table."""

from dataclasses import fields
from typing import Any

import pytest

from splitter.app.wire import settings_data
from splitter.cli.flags import fixed_settings
from splitter.cli.options import FlagOptions
from splitter.engine.llama_server.flags import flags_by_name
from splitter.memory.setting_table import ALL_CACHE_TYPES, SETTINGS, Setting, flag_of
from splitter.memory.settings import Settings
from splitter.profile.keys import BY_PATH
from splitter.profile.schema import profile_schema

TYPED: dict[str, tuple[Any, Any]] = {
    "context": ("8192", 8192),
    "layers": ("40", 40),
    "numbers": ("1.5,4.5/3", (1.5, 4.5, 3.0)),
    "texts": ("CUDA1,CUDA0", ("CUDA1", "CUDA0")),
    "text": ("m.gguf", "m.gguf"),
    "type": ("q8_0", "q8_0"),
    "items": (["a=CPU,b=CUDA0", "c=CPU"], ("a=CPU", "b=CUDA0", "c=CPU")),
    "integer": (3, 3),
}


def test_the_table_has_every_setting_and_no_other() -> None:
    names = [setting.name for setting in SETTINGS]
    assert sorted(names) == sorted(field.name for field in fields(Settings))
    assert len(set(names)) == len(names)
    spelled = [flag for setting in SETTINGS for flag in setting.flags]
    assert len(set(spelled)) == len(spelled)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_each_is_an_option_a_key_and_a_json_name(setting: Setting) -> None:
    assert setting.name in {parameter.name for parameter in FlagOptions.parameters()}
    assert BY_PATH[f"settings.{setting.name}"].about.endswith(setting.about)
    assert setting.name in profile_schema()["properties"]["settings"]["properties"]
    assert setting.name in settings_data(Settings(context_size=1, gpu_layers=0, device_order=()))


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_what_is_typed_becomes_the_setting(setting: Setting) -> None:
    silent: Any = False if setting.kind == "boolean" else None
    typed, meant = (True, setting.means) if setting.kind == "boolean" else TYPED.get(setting.kind, (None, None))
    if setting.kind == "choice":
        typed = meant = setting.choices[0]
    assert fixed_settings(FlagOptions(**{setting.name: typed})) == {setting.name: meant}
    assert fixed_settings(FlagOptions(**{setting.name: silent})) == {}
    accepted = BY_PATH[f"settings.{setting.name}"].accept(meant)
    assert accepted == meant


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_the_flags_are_llama_cpps(setting: Setting) -> None:
    """Every spelling is one that some build of llama-server knows, positive or negative as here."""
    known = flags_by_name()
    assert flag_of(setting.name) == setting.flags[0]
    for flag in setting.flags:
        assert flag in known
        if setting.kind == "boolean":
            assert known[flag][1] is setting.means or flag.startswith(("--no-", "-n"))


def test_cache_types_are_named_once() -> None:
    known = [setting.name for setting in SETTINGS if setting.kind == "type"]
    assert {"cache_type_k", "cache_type_v"} <= set(known)
    assert all(BY_PATH[f"settings.{name}"].choices == tuple(ALL_CACHE_TYPES) for name in known)
