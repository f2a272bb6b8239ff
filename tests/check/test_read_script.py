"""Scripts as people keep them: .bat, .sh, units and .kcpps files."""

import json

import pytest

from splitter.engine.command import Server
from splitter.engine.reading.script import read_script
from splitter.errors import UsageError
from tests.check.builders import SEED
from tests.script.hostile import NAMES, PATTERNS
from tests.script.made import files

BAT = r"""@echo off
REM Phoenix: koboldcpp.exe --gpulayers 99 is what we used before
chcp 65001 > nul
setlocal
cd /d "%~dp0"
set "MODEL=%~dp0my model & co.gguf"
set NGL=40
set CUDA_DEVICE_ORDER=PCI_BUS_ID
if not exist "%MODEL%" (
    echo no model at "%MODEL%" & pause & exit /b 1
)
start "kobold" /wait "%~dp0koboldcpp.exe" --usecuda ^
    --gpulayers %NGL% --tensor_split 1.5 4.5 3 ^
    --model "%MODEL%" > log.txt 2>&1
pause
"""
SH = """#!/bin/sh
set -eu
cd "$(dirname "$0")"
export CUDA_DEVICE_ORDER=PCI_BUS_ID
MODEL='my model.gguf'   # beside the script
EXTRA="-fa on"
if [ ! -f "$MODEL" ]; then
    echo "no model" >&2
    exit 1
fi
CUDA_VISIBLE_DEVICES=1,0 exec ./llama-server -m "$MODEL" \\
    -ngl ${NGL:-99} $EXTRA \\
    "$@"
"""
UNIT = """[Service]
Environment=CUDA_DEVICE_ORDER=PCI_BUS_ID "CUDA_VISIBLE_DEVICES=1,0"
ExecStart=/opt/llama/llama-server -m "/models/a b.gguf" \\
    -ngl 20
Restart=on-failure
"""


def test_a_batch_file() -> None:
    read = read_script(BAT.replace("\n", "\r\n"), "Phoenix.BAT")
    assert read.program == ".\\koboldcpp.exe"
    assert read.model == "my model & co.gguf"
    assert read.settings == {"gpu_layers": 40, "tensor_split": (1.5, 4.5, 3)}
    assert read.env == {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


def test_a_shell_script() -> None:
    read = read_script(SH, "run.sh")
    assert (read.program, read.model) == ("./llama-server", "my model.gguf")
    assert read.settings == {"gpu_layers": 99, "flash_attention": "on"}
    assert read.env == {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": "1,0"}


def test_a_systemd_unit() -> None:
    read = read_script(UNIT, "llama.service")
    assert read.model == "/models/a b.gguf"
    assert read.settings == {"gpu_layers": 20}
    assert read.env == {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": "1,0"}


@pytest.mark.parametrize(
    "line",
    [
        "echo Starting koboldcpp\ntaskkill /im koboldcpp.exe /f\nkoboldcpp.exe --model models\\m.gguf --gpulayers 9",
        'title koboldcpp\nstart "koboldcpp" /wait koboldcpp.exe --model models\\m.gguf --gpulayers 9',
        "if exist koboldcpp.exe (koboldcpp.exe --model models\\m.gguf --gpulayers 9) else (echo none)",
    ],
)
def test_lines_that_only_talk_about_the_engine(line: str) -> None:
    read = read_script(line, "a.bat")
    assert (read.program, read.model, read.settings) == ("koboldcpp.exe", "models/m.gguf", {"gpu_layers": 9})


def test_a_container() -> None:
    line = "docker run --gpus all -v /m:/m ghcr.io/ggml-org/llama.cpp:server-cuda -m /m/a.gguf -ngl 9"
    assert read_script(line, "run.sh").settings == {"gpu_layers": 9}


@pytest.mark.parametrize("name", ["koboldai.bat", "launch"])
def test_the_seeds_batch_file(name: str) -> None:
    read = read_script(f"\ufeff{SEED}\r\npause\r\n", name)
    assert read.settings == {"context_size": 4096, "gpu_layers": 40, "tensor_split": (1.5, 4.5, 3)}


def kcpps(**values: object) -> str:
    return json.dumps(values)


def test_a_kcpps_file_says_the_same_as_the_line() -> None:
    text = kcpps(
        model_param="m.gguf", model=None, usecuda=["normal", "mmq"], gpulayers=40, tensor_split=[1.5, 4.5, 3],
        contextsize=4096, quantkv=1, flashattention=True, maingpu=-1, port=5002, port_param=5002, host="",
        noswa=False, moecpu=0, draftmodel=None, draftgpulayers=999, batchsize=512, istemplate=False,
    )  # fmt: skip
    read = read_script(text, "phoenix.kcpps")
    assert read.model == "m.gguf"
    assert read.settings == {
        "gpu_layers": 40, "tensor_split": (1.5, 4.5, 3), "context_size": 4096, "cache_type_k": "q8_0",
        "cache_type_v": "q8_0", "flash_attention": "on", "batch_size": 512,
    }  # fmt: skip
    assert read.server == Server("", 5002)


def test_old_kcpps_keys() -> None:
    read = read_script(kcpps(model_param="m.gguf", usecublas=["normal", "0"], blasbatchsize=256), "a.kcpps")
    assert read.flags["usecuda"] == ["normal", "0"]
    assert read.settings == {"batch_size": 256}


@pytest.mark.parametrize(
    ("text", "name", "words"),
    [
        ("@echo off\r\npause\r\n", "a.bat", "neither koboldcpp nor llama-server"),
        ("{", "a.kcpps", "not valid JSON"),
        ("[1]", "a.kcpps", "contains no settings"),
        ("[" * 100000, "a.kcpps", "not valid JSON"),
        (kcpps(gpulayers="x"), "a.kcpps", "--gpulayers takes a whole number"),
        ("x" * 300000, "a.bat", "larger than"),
    ],
)
def test_scripts_that_hold_no_command(text: str, name: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        read_script(text, name)


@pytest.mark.parametrize("name", NAMES)
def test_what_splitter_writes_for_hostile_names_is_read_back(name: str) -> None:
    patterns = tuple(pattern for pattern in PATTERNS if "=" in pattern)
    for system, folder, suffix in (("windows", "C:\\", ".exe"), ("linux", "/", "")):
        engine, model = f"{folder}{name}{folder[-1]}llama-server{suffix}", f"{folder}{name}{folder[-1]}{name}.gguf"
        command, scripts = files(engine, model, os=system, override_tensors=patterns)
        for script in scripts:
            read = read_script(script.content.decode(), script.name)
            assert read.argv[3:] == command.argv[3:]
            assert read.model == f"{name}.gguf"
            assert read.env == command.env
