"""A script read back by the reader of other people's scripts holds the settings it was made from."""

import random
from dataclasses import replace
from typing import Any

import pytest

from splitter.engine.command import EngineRef, Server
from splitter.engine.commands import build_command
from splitter.engine.reading.complete import complete_settings
from splitter.engine.reading.script import read_script
from splitter.memory.settings import Settings
from splitter.plan.plan import Plan
from splitter.script.render import render
from tests.commands.plans import facts, koboldcpp_plan, plan, rig, with_model
from tests.commands.random_plans import koboldcpp_settings, llama_settings
from tests.script.hostile import NAMES

IN_ENGINE = "C:\\engines & co\\{}.exe"


def idle(settings: Settings) -> dict[str, Any]:
    """What the other settings make idle, at one fixed value."""
    alone = len(settings.device_order) < 2
    split = {"tensor_split": ()} if alone or settings.split_mode == "none" else {}
    mode: dict[str, Any] = {"split_mode": "layer"} if alone else {}
    main = {"main_gpu": 0} if alone or settings.split_mode != "none" else {}
    cards = {} if settings.device_order else {"gpu_layers": 0, "kv_offload": True}
    slots: dict[str, Any] = {"kv_unified": True} if settings.parallel == 1 else {}
    return {**split, **mode, **main, **cards, **slots}


def read_back(made: Plan, suffix: str, content: bytes, version: str) -> Settings:
    read = read_script(content.decode(), f"run{suffix}", version=version)
    assert read.kind == made.engine.name
    assert not read.unknown
    assert not read.refusals
    return replace(complete_settings(read, made.facts, made.rig).settings, **idle(made.settings))


@pytest.mark.parametrize("suffix", [".bat", ".sh"])
def test_llama_server(suffix: str) -> None:
    rng = random.Random(17)
    for name in NAMES * 3:
        model = f"C:\\models\\{name}.gguf" if suffix == ".bat" else f"/models/{name}.gguf"
        beside = ("mmproj", "mmproj_device", "draft_model", "draft_gpu_layers", "draft_device_order")
        settings = {**llama_settings(rng, 64), **dict.fromkeys(beside)}
        made = plan(model=facts(path=model), on=rig(os="windows"), **settings)
        engine = IN_ENGINE.format("llama-server") if suffix == ".bat" else "/engines & co/llama-server"
        files = render(made, build_command(made, EngineRef("llama-server", engine, "11434"), Server()))
        (content,) = (file.content for file in files if file.name.endswith(suffix))
        assert read_back(made, suffix, content, "11434") == replace(made.settings, **idle(made.settings)), (
            content.decode()
        )


@pytest.mark.parametrize("suffix", [".bat", ".sh"])
@pytest.mark.parametrize("version", ["1.123", "1.115.1", "1.76"])
def test_koboldcpp(suffix: str, version: str) -> None:
    rng = random.Random(19)
    for name in NAMES:
        made = with_model(koboldcpp_plan(**koboldcpp_settings(rng, version)), f"C:\\models\\{name}.gguf")
        files = render(made, build_command(made, EngineRef("koboldcpp", None, version), Server(port=5001)))
        (content,) = (file.content for file in files if file.name.endswith(suffix))
        expected = replace(made.settings, **idle(made.settings), flash_attention="on")
        assert replace(read_back(made, suffix, content, version), flash_attention="on") == expected, content.decode()
