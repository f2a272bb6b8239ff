"""Commands for forks: the fork is named, what only it knows is named, the rest is read as its original reads it."""

from typing import Any

import pytest

from splitter.engine.koboldcpp.flags import kobold_flags
from splitter.engine.llama_server.flags import flags_by_name
from splitter.engine.reading.command import read_command
from splitter.engine.reading.forks import FORKS

LINES: list[tuple[str, str, dict[str, Any], tuple[str, ...]]] = [
    (
        "ik_llama.cpp",
        "./ik_llama.cpp/build/bin/llama-server -m x.gguf -ngl 99 -c 32768 -fmoe -mla 3 -amb 512 -rtr -ctk q8_0",
        {"gpu_layers": 99, "context_size": 32768, "cache_type_k": "q8_0", "mmap": False},
        ("-fmoe", "-mla 3", "-amb 512", "-rtr"),
    ),
    (
        "ik_llama.cpp",
        "llama-server -m x.gguf -sm graph -ts 1,1 -ngl 99 -khad -ger -no-gr",
        {"tensor_split": (1, 1), "gpu_layers": 99, "split_mode": "tensor"},
        ("-sm graph", "-khad", "-ger", "-no-gr"),
    ),
    (
        "ik_llama.cpp",
        "llama-server -m x.gguf -ngl 60 --n-cpu-moe 20 -ser 6,1 -ctk q8_KV -ctv q6_0 -fa",
        {"gpu_layers": 60, "n_cpu_moe": 20, "cache_type_k": "q8_KV", "cache_type_v": "q6_0", "flash_attention": "on"},
        ("-ser 6,1",),
    ),
    ("ik_llama.cpp", "ik_llama/llama-sweep-bench -m x.gguf -c 96 -ub 24", {"context_size": 96, "ubatch_size": 24}, ()),
    (
        "llama.cpp TurboQuant",
        "llama-server -m x.gguf -ngl 999 -c 131072 -ctk q8_0 -ctv turbo3 -kvu",
        {"gpu_layers": 999, "context_size": 131072, "cache_type_k": "q8_0", "cache_type_v": "q4_0", "kv_unified": True},
        ("-ctv turbo3",),
    ),
    (
        "Ollama's runner",
        "/usr/lib/ollama/runners/cuda_v12/ollama_llama_server --model /m/sha256-1 --ctx-size 8192 --batch-size 512 "
        "--n-gpu-layers 33 --parallel 4 --tensor-split 17,16 --port 41235",
        {"context_size": 8192, "batch_size": 512, "gpu_layers": 33, "parallel": 4, "tensor_split": (17, 16)},
        (),
    ),
    (
        "Ollama's runner",
        "/usr/bin/ollama runner --ollama-engine --model /m/sha256-1 --ctx-size 4096 --num-gpu 20 --kv-cache-type q8_0",
        {"context_size": 4096, "gpu_layers": 20, "cache_type_k": "q8_0"},
        ("--ollama-engine",),
    ),
    (
        "LM Studio's llama.cpp",
        "/home/me/.lmstudio/extensions/backends/llama.cpp-linux-x86_64-nvidia-cuda12/llama-server -m x.gguf -ngl 12",
        {"gpu_layers": 12},
        (),
    ),
    (
        "llama-cpp-python's server",
        "python3 -m llama_cpp.server --model x --n_gpu_layers 30 --n_ctx 4096 --tensor_split 1,2 --chat_format chatml",
        {"gpu_layers": 30, "context_size": 4096, "tensor_split": (1, 2)},
        ("--chat_format chatml",),
    ),
    ("llamafile", "./mixtral.llamafile --server --nobrowser -m x.gguf -ngl 9", {"gpu_layers": 9},
     ("--server", "--nobrowser")),
    (
        "koboldcpp-rocm",
        "koboldcpp_rocm.exe --model x.gguf --usecublas normal mmq --gpulayers 41 --contextsize 8192",
        {"gpu_layers": 41, "context_size": 8192},
        (),
    ),
    (
        "croco.cpp",
        "croco_cpp.exe --model x.gguf --usecublas --gpulayers 41 --blasubatchsize 256 --quantkv 14",
        {"gpu_layers": 41, "cache_type_k": "f16", "cache_type_v": "f16"},
        ("--blasubatchsize 256", "--quantkv 14"),
    ),
    ("esobold", "esobold.exe --model x.gguf --gpulayers 3", {"gpu_layers": 3}, ()),
]  # fmt: skip


@pytest.mark.parametrize(("name", "line", "settings", "own"), LINES)
def test_the_fork_and_what_only_it_knows_are_named(
    name: str, line: str, settings: dict[str, Any], own: tuple[str, ...]
) -> None:
    read = read_command(line)
    assert read.fork == name
    assert read.settings == settings
    assert read.refusals == ()
    notice = next(notice for notice in read.notices if notice.code == "fork")
    assert name in notice.message
    assert all(flag in notice.message for flag in own)
    assert all(word in read.argv for flag in own for word in flag.split())


def test_what_nobody_knows_is_named_too() -> None:
    read = read_command("llama-server -m x.gguf -fmoe --brand-new 3")
    assert "--brand-new" in next(notice.message for notice in read.notices if notice.code == "fork")


@pytest.mark.parametrize("line", ["llama-server -m x -ngl 9 -fa on", "koboldcpp --model x --gpulayers 9 --quantkv 2"])
def test_the_originals_are_no_forks(line: str) -> None:
    assert read_command(line).fork is None


def test_a_fork_has_no_flag_of_its_original() -> None:
    """Such a flag would be taken from every command of the original."""
    kobold = {name for _, _, names in kobold_flags() for name in names}
    known = {"llama-server": set(flags_by_name()), "koboldcpp": kobold}
    shared = {(fork.name, flag) for fork in FORKS for flag in fork.flags if flag in known[fork.of]}
    # Ollama's and llamafile's own words for what llama-server calls the same: they decide nothing about memory.
    assert {flag for _, flag in shared} <= {"--verbose", "--embedding", "--cache", "-mtp"}
