"""The real llama-server reads every command we write, and the real placement is the planned one."""

import os
import random
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from splitter.engine.command import EngineRef, Server
from splitter.engine.commands import build_command
from splitter.engine.find import ask_version, find_engine
from splitter.engine.llama_server.command import load_args
from splitter.memory.settings import Settings
from splitter.model.load import load_model
from splitter.plan.placement import counts_of
from tests.commands.plans import facts, plan
from tests.commands.random_plans import llama_settings
from tests.engine.oracle import RIGS, engine_dir

pytestmark = pytest.mark.engine
TINY = str(Path(__file__).parents[2] / "examples" / "tiny.gguf")


def test_the_engine_and_its_version_are_found() -> None:
    found = find_engine("llama-server", str(engine_dir().path))
    assert found.path == str(engine_dir().binary("llama-server"))
    assert found.version == ask_version("llama-server", found.path)
    assert found.version == "0.6.0-dev"  # a build from the source package knows no build number


def test_the_real_parser_takes_200_random_plans() -> None:
    rng = random.Random(5)
    engine = engine_dir()
    binary, env = str(engine.binary("llama-server")), {**os.environ, **engine.env(RIGS["phoenix"])}
    for _ in range(200):
        made = plan(model=facts(path=TINY, layers=5), **llama_settings(rng, 5))
        command = build_command(made, EngineRef("llama-server", binary, "11434"), Server(port=18080, api_key_file="/k"))
        argv = [*command.argv, "--list-devices"]
        if "--api-key-file" in argv:  # read while parsing, so it would have to exist
            at = argv.index("--api-key-file")
            argv[at : at + 2] = ["--api-key-file", os.devnull]
        done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (argv, done.stderr[-500:])
        assert "CUDA2" in done.stdout + done.stderr


def test_the_real_parser_refuses_what_it_does_not_know() -> None:
    engine = engine_dir()
    done = subprocess.run(
        [str(engine.binary("llama-server")), "--no-mmap", "--list-devices"], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0


def test_layers_land_where_the_plan_put_them() -> None:
    rng = random.Random(7)
    engine = engine_dir()
    env = {**os.environ, **engine.env(RIGS["phoenix"])}
    tool = str(engine.binary("llama-fit-params"))
    for _ in range(25):
        order = tuple(rng.sample(["CUDA0", "CUDA1", "CUDA2"], rng.randint(1, 3)))
        split = tuple(float(rng.randint(1, 4)) for _ in order)
        made = plan(
            model=facts(path=TINY, layers=layers_of_tiny()), device_order=order, gpu_layers=rng.randint(1, 9),
            tensor_split=split if rng.random() < 0.5 else (), context_size=512,
        )  # fmt: skip
        argv = [tool, *load_args(made, "11434"), "--fit-print", "on", "-lv", "5"]
        done = subprocess.run(argv, env=env, capture_output=True, text=True, check=True)
        landed = re.findall(r"layer +\d+ assigned to device (\S+?),", done.stdout + done.stderr)
        expected = ["CPU" if owner is None else order[owner] for owner in made.placement.layers]
        assert landed == expected, (argv, counts_of(made.placement))


def layers_of_tiny() -> int:
    return load_model(TINY).layers


def test_settings_hold_nothing_that_the_command_forgets() -> None:
    """Every field of Settings changes the command: a new field must find its way into it."""
    base = plan(model=facts(path=TINY))
    other: dict[str, Any] = {
        "context_size": 8192, "gpu_layers": 3, "device_order": ("CUDA0", "CUDA1", "CUDA2"),
        "tensor_split": (1.0, 1.0, 1.0), "split_mode": "tensor", "batch_size": 256, "ubatch_size": 64,
        "cache_type_k": "q8_0", "cache_type_v": "q8_0", "flash_attention": "on", "parallel": 1, "kv_unified": False,
        "swa_full": True, "kv_offload": False, "op_offload": False, "n_cpu_moe": 2, "cpu_moe": True,
        "override_tensors": ("a=CPU",), "mmap": False, "threads": 3, "mmproj": "/p", "draft_model": "/d",
        "spec_type": "draft-mtp", "cache_ram_mib": 64, "ctx_checkpoints": 4,
    }  # fmt: skip
    # -mg with -sm none; -ngld, -devd, -ctkd and -ctvd with -md; -mmdev with -mm; the most drafted with --spec-type
    only_with_others = {
        "main_gpu", "draft_gpu_layers", "draft_device_order", "mmproj_device", "draft_cache_type_k",
        "draft_cache_type_v", "spec_draft_n_max",
    }  # fmt: skip
    assert set(other) | only_with_others == set(Settings.__dataclass_fields__)
    command = build_command(base, EngineRef("llama-server"), Server()).argv
    for name, value in other.items():
        changed = replace(base, settings=replace(base.settings, **{name: value}))
        assert build_command(changed, EngineRef("llama-server"), Server()).argv != command, name
    beside = replace(base, settings=replace(base.settings, mmproj="/p", draft_model="/d"))
    command = build_command(beside, EngineRef("llama-server"), Server()).argv
    homes: dict[str, Any] = {
        "draft_gpu_layers": 3, "draft_device_order": ("CUDA1",), "mmproj_device": "CUDA1",
        "draft_cache_type_k": "q8_0", "draft_cache_type_v": "q8_0",
    }  # fmt: skip
    for name, value in homes.items():
        changed = replace(beside, settings=replace(beside.settings, **{name: value}))
        assert build_command(changed, EngineRef("llama-server"), Server()).argv != command, name
