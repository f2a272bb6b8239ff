"""A .kcpps alone says to koboldcpp what the command line says: checked against the parsers of three releases."""

import json
import random
from dataclasses import replace
from typing import Any

import pytest

from splitter.engine.command import EngineRef, Server
from splitter.engine.commands import build_command
from splitter.engine.reading.complete import complete_settings
from splitter.engine.reading.script import read_script
from splitter.errors import UsageError
from splitter.plan.plan import Plan
from splitter.script.file import MARK
from splitter.script.kcpps import render_kcpps
from splitter.script.write import MARK_WITHIN_BYTES
from tests.commands.koboldcpp.parser import parse
from tests.commands.plans import koboldcpp_plan, plan, rig, with_model
from tests.commands.random_plans import koboldcpp_settings
from tests.script.hostile import LINUX_ONLY_NAMES, NAMES
from tests.script.test_round_trip import idle

SERVER = Server(port=5005)
NATURAL: dict[str, Any] = {"device_order": ("CUDA0", "CUDA1", "CUDA2"), "tensor_split": (31.0, 9.0, 25.0)}


def written(made: Plan, version: str | None, server: Server = SERVER) -> dict[str, Any]:
    command = build_command(made, EngineRef("koboldcpp", None, version), server)
    content = render_kcpps(made, command, "splitter script")
    assert MARK.encode() in content[:MARK_WITHIN_BYTES]
    loaded = json.loads(content)
    del loaded["splitter"]
    assert isinstance(loaded, dict)
    return loaded


def understood(made: Plan, version: str) -> dict[str, Any]:
    """What that release makes of the command line."""
    return parse(version, list(build_command(made, EngineRef("koboldcpp", None, version), SERVER).argv[1:]))


def same(left: Any, right: Any) -> bool:
    return bool(left == right) and type(left) is type(right)


@pytest.mark.parametrize("version", ["1.123", "1.115.1", "1.76"])
def test_the_file_sets_what_the_command_line_sets(version: str) -> None:
    rng = random.Random(f"kcpps {version}")
    for _ in range(200):
        settings = koboldcpp_settings(rng, version)
        made = koboldcpp_plan(**settings)
        if version == "1.76" and made.settings.device_order:
            made = koboldcpp_plan(**{**settings, "on": rig(1), "device_order": ("CUDA0",), "tensor_split": ()})
        expected, defaults = understood(made, version), parse(version, ["--port", "5001"])
        file = written(made, version)
        assert file.pop("istemplate") is False
        assert file.pop("device", "") == ("" if version == "1.76" else ",".join(made.settings.device_order))
        assert (file.pop("model_param"), file.pop("port_param")) == (made.facts.path, 5005)
        assert same(file.pop("model"), defaults["model"] if version != "1.76" else "")
        del expected["model"], expected["model_param"], expected["port_param"]
        assert set(file) <= set(expected), "koboldcpp knows every name"
        read = {**defaults, **file}
        assert [key for key, value in expected.items() if not same(read[key], value)] == []


@pytest.mark.parametrize("version", ["1.123", "1.115.1"])
def test_round_trip(version: str) -> None:
    rng = random.Random(23)
    for name in (*NAMES, *LINUX_ONLY_NAMES):
        made = with_model(koboldcpp_plan(**koboldcpp_settings(rng, version)), f"/models/{name}.gguf")
        command = build_command(made, EngineRef("koboldcpp", None, version), SERVER)
        text = render_kcpps(made, command, "splitter script").decode("ascii")
        read = read_script(text, "run.kcpps", version=version)
        assert (read.model, read.server.port, read.refusals) == (made.facts.path, 5005, ())
        found = replace(complete_settings(read, made.facts, made.rig).settings, **idle(made.settings))
        assert replace(found, flash_attention="on") == replace(
            made.settings, **idle(made.settings), flash_attention="on"
        )


@pytest.mark.parametrize(
    "settings",
    [
        {"mmproj": "/m/p.gguf"},
        {"draft_model": "/m/d.gguf", "draft_gpu_layers": 9},
        {"cpu_moe": True},
        {"kv_offload": False, "mmap": True, "threads": 7},
        {"split_mode": "tensor", "parallel": 4},
        {"device_order": (), "tensor_split": (), "gpu_layers": 0},
    ],
)
def test_one_setting_one_value(settings: dict[str, Any]) -> None:
    made = koboldcpp_plan(**settings)
    file, expected = written(made, "1.123"), understood(made, "1.123")
    left_out = {"model", "model_param", "port_param", "device", "istemplate"}
    assert [key for key in file if key not in left_out and not same(file[key], expected[key])] == []
    told = {key for key, value in expected.items() if value != parse("1.123", [])[key]}
    assert told - left_out <= set(file)


def test_a_model_on_the_network_is_a_file_beside() -> None:
    made = with_model(koboldcpp_plan(), "hf:a/b-GGUF/dir/m.gguf")
    assert written(made, "1.123")["model_param"] == "m.gguf"


def test_old_names_for_old_releases() -> None:
    file = written(koboldcpp_plan(**NATURAL), "1.90")
    assert (file["usecublas"], file["blasbatchsize"], file["model"]) == (["normal"], 512, [])
    assert not {"usecuda", "batchsize", "device"} & set(file)


def test_vulkan() -> None:
    own: dict[str, Any] = {"parallel": 1, "batch_size": 512, "ubatch_size": 512, "gpu_layers": 65}
    order = ("Vulkan1", "Vulkan0")
    made = plan(on=rig(2, "Vulkan"), engine="koboldcpp", device_order=order, tensor_split=(40.0, 25.0), **own)
    file = written(made, "1.123")
    assert (file["usevulkan"], file["device"], file["tensor_split"]) == ([], "Vulkan1,Vulkan0", [40.0, 25.0])


@pytest.mark.parametrize(
    ("made", "version", "server", "sentence"),
    [
        (plan(), "11434", SERVER, "plan is for llama-server"),
        (koboldcpp_plan(), "1.123", Server(api_key_file="/k"), "password"),
        (koboldcpp_plan(), "1.105", SERVER, "cannot choose cards"),
        (koboldcpp_plan(**NATURAL), "1.79", SERVER, "cannot choose cards"),
        (koboldcpp_plan(device_order=("CUDA1",), tensor_split=()), "1.105", SERVER, "cannot choose cards"),
    ],
)
def test_refusals(made: Plan, version: str, server: Server, sentence: str) -> None:
    command = build_command(made, EngineRef(made.engine.name, None, version), server)
    with pytest.raises(UsageError, match=sentence) as caught:
        render_kcpps(made, command, "")
    assert caught.value.hint
