"""A command is never empty and holds nothing that no system can pass."""

from dataclasses import replace
from pathlib import Path

import pytest

from splitter.engine.command import EngineCommand, EngineRef
from splitter.engine.koboldcpp.versions import koboldcpp_release
from splitter.engine.llama_server import dry_run
from splitter.engine.llama_server.dry_run import verify
from splitter.engine.llama_server.dry_run_rows import DryRunRow, compare, parse_rows
from splitter.engine.llama_server.versions import NEWEST, llama_build
from splitter.errors import EngineError
from splitter.memory.footprint import Footprint, MemoryUse
from splitter.memory.rules import LLAMA_CPP
from splitter.plan.engine_rules import EngineRules
from splitter.units import MIB
from tests.commands.plans import facts, plan


def test_a_command_names_its_program() -> None:
    for argv in ((), ("",)):
        with pytest.raises(EngineError, match="empty"):
            EngineCommand(EngineRef("llama-server"), argv)
    with pytest.raises(EngineError, match="NUL"):
        EngineCommand(EngineRef("llama-server"), ("llama-server", "-m", "a\0b"))


@pytest.mark.parametrize(
    ("text", "build"),
    [
        ("11434", 11434),
        ("b6327", 6327),
        ("2026.10.11549", 11549),
        ("0.6.0-dev", NEWEST),
        (None, NEWEST),
        ("0.1.2", NEWEST),
    ],
)
def test_llama_builds(text: str | None, build: int) -> None:
    assert llama_build(text) == build


@pytest.mark.parametrize(
    ("text", "release"),
    [("1.115.1", (1, 115, 1)), ("1.76", (1, 76, 0)), ("koboldcpp-1.96", (1, 96, 0)), (None, (NEWEST, 0, 0))],
)
def test_koboldcpp_releases(text: str | None, release: tuple[int, ...]) -> None:
    assert koboldcpp_release(text) == release


def test_rows_are_read_among_other_lines() -> None:
    text = "ggml_cuda_init: found 2\nCUDA0 9794 32 218 \nprinting estimated memory 1 2 3\nHost 112 0 18\n"
    assert parse_rows(text) == (DryRunRow("CUDA0", 9794, 32, 218), DryRunRow("Host", 112, 0, 18))


def test_an_estimate_within_the_same_mib_agrees() -> None:
    use = MemoryUse(10 * MIB + 5, 3 * MIB, 7 * MIB - 1)
    made = replace(plan(parallel=1, device_order=("CUDA0",), tensor_split=()), engine=EngineRules(memory=LLAMA_CPP))
    one = Footprint((use,), MemoryUse(5 * MIB, 0, 2 * MIB))
    object.__setattr__(made, "footprint", one)
    device, host = compare(made, (DryRunRow("CUDA0", 10, 3, 7), DryRunRow("Host", 1, 0, 2)))
    assert (device.model_bytes, device.context_bytes, device.compute_bytes) == (0, 0, 8 * MIB - 1 - (7 * MIB - 1))
    assert host.total_bytes() == 0  # the host's own row leaves out repacked weights


def tool(folder: Path, body: str) -> EngineRef:
    path = folder / "llama-fit-params"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return EngineRef("llama-server", str(folder / "llama-server"), "11434")


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("echo 'error: invalid argument: --fit-print' >&2; exit 1", "does not accept --fit-print"),
        ("echo 'something odd'; exit 3", r"exit 3\): something odd"),
        ("exit 0", "exit 0"),
        ("echo 'Host 1 2 3'", "says nothing about CUDA2, CUDA0, CUDA1"),
        ("sleep 5", "no answer in"),
    ],
)
def test_a_dry_run_that_fails_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, sentence: str
) -> None:
    monkeypatch.setattr(dry_run, "TIMEOUT_S", 0.5)
    model = tmp_path / "m.gguf"
    model.touch()
    with pytest.raises(EngineError, match=sentence) as caught:
        verify(plan(model=facts(str(model)), parallel=1), tool(tmp_path, body))
    assert caught.value.hint
