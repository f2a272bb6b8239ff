"""What the engines fill in by themselves, by version; and which devices a command uses."""

from typing import Any

import pytest

from splitter.engine.reading.command import read_command
from splitter.engine.reading.complete import complete_settings
from splitter.errors import UsageError
from splitter.memory.settings import Settings
from splitter.rig.device import Rig
from tests.check.builders import SEED, facts, rig


def complete(line: str, version: str | None = None, on: Rig | None = None) -> Settings:
    return complete_settings(read_command(line, version=version), facts(), on or rig()).settings


def notes(line: str, version: str | None = None) -> list[str]:
    read = read_command(line, version=version)
    return [notice.code for notice in complete_settings(read, facts(), rig()).notices]


def test_llama_server_without_flags() -> None:
    assert complete("llama-server -m m.gguf") == Settings(
        context_size=32768, gpu_layers=65, device_order=("CUDA0", "CUDA1", "CUDA2")
    )


def test_a_folder_makes_no_other_program() -> None:
    assert complete("/home/me/llama-cli-builds/llama-server -m m.gguf").parallel == 4
    assert complete("/opt/llama/llama-cli -m m.gguf").parallel == 1


def test_the_seed_in_the_newest_koboldcpp() -> None:
    assert complete(SEED) == Settings(
        context_size=4096,
        gpu_layers=40,
        device_order=("CUDA0", "CUDA1", "CUDA2"),
        tensor_split=(1.5, 4.5, 3),
        batch_size=512,
        ubatch_size=512,
        flash_attention="on",
        parallel=1,
        kv_unified=True,
        mmap=False,
    )


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("1.64", {"context_size": 2048, "gpu_layers": 0, "flash_attention": "off", "swa_full": True, "mmap": True}),
        ("1.76", {"context_size": 4096, "gpu_layers": 65, "flash_attention": "off", "swa_full": True, "mmap": True}),
        ("1.96", {"context_size": 8192, "flash_attention": "off", "swa_full": True, "mmap": False}),
        ("1.110", {"context_size": 8192, "flash_attention": "on", "swa_full": True}),
        ("1.115.1", {"context_size": 16384, "flash_attention": "on", "swa_full": False}),
        ("1.118", {"context_size": 12288}),
        ("1.123", {"context_size": 16384}),
        (None, {"context_size": 16384, "batch_size": 512, "ubatch_size": 512, "parallel": 1}),
    ],
)
def test_koboldcpps_defaults_by_release(version: str | None, expected: dict[str, Any]) -> None:
    settings = complete("koboldcpp m.gguf", version)
    assert {name: getattr(settings, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("-np 3", {"parallel": 3, "kv_unified": False}),
        ("-np -1", {"parallel": 4, "kv_unified": True}),
        ("-np 3 -kvu", {"parallel": 3, "kv_unified": True}),
        ("-ngl 999", {"gpu_layers": 65}),
        ("-ngl all", {"gpu_layers": 65}),
        ("-ngl 0", {"gpu_layers": 0}),
        ("-dev none -ngl 9", {"gpu_layers": 0, "device_order": ()}),
        ("-dev CUDA2,CUDA0 -ts 1", {"device_order": ("CUDA2", "CUDA0"), "tensor_split": (1, 0)}),
        ("-ts 1,2,3,4", {"tensor_split": (1, 2, 3)}),
        ("-ts 0,0,0", {"tensor_split": ()}),
        ("-ub 4096", {"batch_size": 2048, "ubatch_size": 2048}),
        ("-ub 0 -b 256", {"ubatch_size": 256}),
        ("-c 0", {"context_size": 32768}),
        ("--kv-unified-per-slot 1000 -np 2", {"context_size": 2000}),
        ("-t -1 -ngld auto", {"threads": None, "draft_gpu_layers": None}),
    ],
)
def test_llama_server_fills_in(flags: str, expected: dict[str, Any]) -> None:
    settings = complete(f"llama-server -m m.gguf {flags}")
    assert {name: getattr(settings, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("line", "order"),
    [
        ("koboldcpp m --usecuda 1", ("CUDA1",)),
        ("koboldcpp m --usecuda 2 1", ("CUDA1",)),
        ("koboldcpp m --usecuda 2 1 --tensor_split 1 1 1", ("CUDA0", "CUDA1", "CUDA2")),
        ("koboldcpp m --usecuda normal", ("CUDA0", "CUDA1", "CUDA2")),
        ("koboldcpp m --usecpu", ()),
        ("koboldcpp m --usevulkan 2 0", ("CUDA2", "CUDA0")),
        ("koboldcpp m --device CUDA2,CUDA1", ("CUDA2", "CUDA1")),
        ("CUDA_VISIBLE_DEVICES=2,0 koboldcpp m --usecuda", ("CUDA2", "CUDA0")),
        ("CUDA_VISIBLE_DEVICES=2,0 llama-server -m m -dev CUDA1", ("CUDA0",)),
        ("CUDA_VISIBLE_DEVICES=1,9,0 llama-server -m m", ("CUDA1",)),
        ("CUDA_VISIBLE_DEVICES= llama-server -m m", ()),
        ("GGML_VK_VISIBLE_DEVICES=1 llama-server -m m", ("CUDA0", "CUDA1", "CUDA2")),
    ],
)
def test_the_devices_a_command_uses(line: str, order: tuple[str, ...]) -> None:
    assert complete(line).device_order == order


@pytest.mark.parametrize(
    ("line", "codes"),
    [
        ("llama-server -m m", ["fit_decides"]),
        ("llama-server -m m --fit off", []),
        ("llama-server -m m -ngl 40", []),
        ("llama-server -m m -ts 1,2,3", []),
        ("llama-server -m m -dev none", []),
        ("koboldcpp m --usecuda", ["autofit_decides"]),
        ("koboldcpp m --usecuda --gpulayers 9", []),
        ("koboldcpp m --usecuda --gpulayers 9 --autofit", ["autofit_decides"]),
        ("koboldcpp m --usecuda --tensor_split 1 2 3", ["auto_layers_guess"]),
    ],
)
def test_what_the_engine_decides_at_start_is_said(line: str, codes: list[str]) -> None:
    assert notes(line) == codes


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("llama-server -m m -dev CUDA7", "no device CUDA7"),
        ("llama-server -m m -b -5", "cannot run with batch_size -5"),
        ("llama-server -m m -mg 3", "the main GPU is 3"),
        ("llama-server -m m -mg -1", "the main GPU cannot be -1"),
    ],
)
def test_values_no_engine_could_run_with(line: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        complete(line)


def test_an_unknown_context_must_be_given() -> None:
    read = read_command("llama-server -m m")
    with pytest.raises(UsageError, match="does not say its context"):
        complete_settings(read, facts(context_train=None), rig())
