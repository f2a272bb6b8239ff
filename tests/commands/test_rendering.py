"""The printed command says what the process gets: run by real shells, split by the rules of Windows."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from splitter.engine.command import EngineCommand, EngineRef, Server
from splitter.engine.commands import build_command
from splitter.engine.rendering import command_line
from splitter.errors import UsageError
from tests.commands.plans import facts, koboldcpp_plan, plan
from tests.script.hostile import LINUX_ONLY_NAMES, NAMES, PATTERNS

ECHO = (
    "import os, sys; print('\\0'.join([*sys.argv[1:], os.environ['CUDA_DEVICE_ORDER'], os.environ['SECRET']]), end='')"
)


@pytest.mark.parametrize("shell", [s for s in ("dash", "bash", "zsh") if shutil.which(s)])
def test_a_shell_gives_the_program_what_the_command_holds(shell: str, tmp_path: Path) -> None:
    (tmp_path / "the key").write_text("p & w\nrest")
    words = (*NAMES, *LINUX_ONLY_NAMES, *PATTERNS)
    command = EngineCommand(
        EngineRef("llama-server"),
        (sys.executable, "-c", ECHO, *words),
        {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"},
        env_files={"SECRET": str(tmp_path / "the key")},
    )
    line = command_line(command, "linux")
    done = subprocess.run(
        [shell, "-c", line], capture_output=True, text=True, check=True, env={"PATH": os.environ["PATH"]}
    )
    assert done.stdout.split("\0") == [*words, "PCI_BUS_ID", "p & w"]


def test_the_line_for_cmd_sets_the_environment_first() -> None:
    made = build_command(
        plan(model=facts(path="C:\\my models\\a & b.gguf"), override_tensors=(r"blk\.(1|2)\.=CPU",)),
        EngineRef("llama-server", "C:\\llama cpp\\llama-server.exe", "11434"), Server(),
    )  # fmt: skip
    line = command_line(made, "windows")
    program = '"C:\\llama cpp\\llama-server.exe" -m "C:\\my models\\a & b.gguf" --fit off'
    assert line.startswith(f'set "CUDA_DEVICE_ORDER=PCI_BUS_ID" && {program}')
    assert '-ot "blk\\.(1|2)\\.=CPU"' in line


def test_a_trailing_backslash_does_not_eat_the_quote() -> None:
    command = EngineCommand(EngineRef("llama-server"), ("e.exe", "C:\\with space\\"))
    assert command_line(command, "windows") == 'e.exe "C:\\with space\\\\"'


def test_what_cmd_cannot_carry_is_refused() -> None:
    with pytest.raises(UsageError, match="double quote"):
        command_line(EngineCommand(EngineRef("llama-server"), ("e.exe", 'a"b c')), "windows")


def test_koboldcpps_line_carries_its_environment() -> None:
    made = build_command(koboldcpp_plan(), EngineRef("koboldcpp", "/opt/koboldcpp", "1.123"), Server(port=5001))
    assert command_line(made, "linux").startswith(
        "CUDA_DEVICE_ORDER=PCI_BUS_ID CUDA_VISIBLE_DEVICES=2,0,1 /opt/koboldcpp --model "
    )
