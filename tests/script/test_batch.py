"""What a batch file holds, and what it refuses to hold."""

import pytest

from splitter.engine.command import EngineRef, Server
from splitter.engine.commands import build_command
from splitter.errors import UsageError
from splitter.script.render import render, script_name
from tests.commands.plans import facts, plan, rig
from tests.script.made import files


def batch(
    engine: str | None = "C:\\llama\\llama-server.exe", model: str = "C:\\m\\model.gguf", **options: object
) -> str:
    return files(engine, model, **options)[1][0].content.decode()


def test_lines_end_as_cmd_wants_and_ascii_needs_no_code_page() -> None:
    text = batch()
    assert "\n" not in text.replace("\r\n", "")
    assert "chcp 65001" not in text
    assert text.startswith("@echo off\r\nsetlocal EnableExtensions DisableDelayedExpansion\r\nrem Written by splitter ")


def test_other_letters_switch_the_code_page_before_they_appear() -> None:
    lines = batch(model="C:\\m\\模型 é.gguf").split("\r\n")
    first = next(i for i, line in enumerate(lines) if not line.isascii())
    assert lines.index("chcp 65001 >nul") < first
    assert "if defined CODEPAGE chcp %CODEPAGE% >nul" in lines


def test_the_header_says_what_for_whom_and_how_again() -> None:
    made = plan(model=facts(path="C:\\m\\100% model.gguf"), on=rig(os="windows"))
    command = build_command(made, EngineRef("llama-server", None, "11434"), Server())
    bat, sh = (file.content.decode() for file in render(made, command, remake="splitter script --profile p% ^"))
    assert "rem Model:    Qwen2.5 32B Instruct, Q4_K_M, C:\\m\\100%% model.gguf\r\n" in bat
    assert "rem Rig:      phoenix\r\n" in bat
    assert "rem Device:   CUDA1 card 1: 24 layers and the output layer, 1000 MiB of 7.71 GiB free\r\n" in bat
    assert "rem Remake:   splitter script --profile p%%\r\n" in bat
    assert "# Remake:   splitter script --profile p%\n" in sh


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"model": 'C:\\m\\a"b.gguf'}, "double quote"),
        ({"model": "C:\\m\\a\nb.gguf"}, "control character"),
        ({"engine": "C:\\a\tb.exe"}, "control character"),
        ({"override_tensors": ('x"y=CPU',)}, "double quote"),
        ({"override_tensors": ("x" * 8000 + "=CPU",)}, "too long"),
    ],
)
def test_what_cmd_cannot_carry_is_refused(options: dict[str, object], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence) as caught:
        batch(**options)  # type: ignore[arg-type]
    assert caught.value.hint


def test_a_plan_made_on_linux_looks_for_windows_names_beside_the_script() -> None:
    text = batch(engine="/home/me/bin/koboldcpp-linux-x64", model="/home/me/m.gguf", kind="koboldcpp", version="1.123")
    assert 'if exist "koboldcpp.exe" set ENGINE_AT=beside' in text
    assert '".\\koboldcpp.exe" --model "m.gguf" ' in text
    assert "/home/me" not in "".join(line for line in text.split("\r\n") if not line.startswith("rem"))


def test_the_embedded_engine_runs_in_its_own_python() -> None:
    text = batch(engine="C:\\py\\python.exe", kind="embedded")
    assert '"C:\\py\\python.exe" -m splitter.engine.embedded.server -m "C:\\m\\model.gguf" %FLAGS%' in text
    assert '".\\python.exe"' not in text


def test_projector_and_draft_follow_the_model() -> None:
    text = batch(mmproj="C:\\m\\p & q.gguf", draft_model="C:\\m\\d.gguf")
    assert '-m "model.gguf" %FLAGS% --mmproj "p & q.gguf" -md "d.gguf" %FLAGS2%' in text
    assert '-m "C:\\m\\model.gguf" %FLAGS% --mmproj "C:\\m\\p & q.gguf" -md "C:\\m\\d.gguf" %FLAGS2%' in text
    assert 'if not exist "p & q.gguf" goto no_projector' in text


def test_a_model_on_the_network_is_looked_for_beside_the_script_only() -> None:
    text = batch(model="hf:Qwen/Qwen2.5-32B-Instruct-GGUF/q4.gguf")
    assert 'if exist "q4.gguf" set MODEL_AT=beside' in text
    assert "MODEL_AT=planned" not in text
    assert 'download it from: "https://huggingface.co/Qwen/Qwen2.5-32B-Instruct-GGUF/resolve/main/q4.gguf"' in text


def test_every_goto_has_its_label() -> None:
    for options in ({}, {"mmproj": "C:\\p.gguf", "draft_model": "C:\\d.gguf"}, {"engine": None}):
        lines = batch(**options).split("\r\n")
        labels = {line[1:] for line in lines if line.startswith(":")}
        targets = {line.split("goto ")[1] for line in lines if "goto " in line and not line.startswith("rem")}
        assert {t for t in targets if "%" not in t} <= labels
        assert len(labels) == len([line for line in lines if line.startswith(":")])


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Qwen2.5 32B Instruct", "qwen2.5-32b-instruct"),
        ("Écru / 模型 & co.", "ecru-co"),
        ("模型", "launch"),
        ("../../etc", "etc"),
        ("phoenix", "phoenix"),
        ("CON", "run-con"),
        ("nul.gguf", "run-nul.gguf"),
        ("Lpt1", "run-lpt1"),
        ("console", "console"),
        ("com10", "com10"),
        ("a" * 79 + ".b" * 50, "a" * 79),
        ('<>:"/\\|?*', "launch"),
        ("trailing dots...", "trailing-dots"),
    ],
)
def test_names_that_every_system_takes(text: str, name: str) -> None:
    assert script_name(text) == name


def test_a_koboldcpp_of_any_usual_name_beside_the_script_will_do() -> None:
    _, (batch, _) = files(None, "D:\\m.gguf", kind="koboldcpp", version="1.123")
    text = batch.content.decode()
    assert "koboldcpp_cu12.exe" in text
    assert 'do if exist "%%E" set "ENGINE_NAME=%%E"\r\nif defined ENGINE_NAME set ENGINE_AT=variant' in text
    assert '".\\%ENGINE_NAME%" --model' in text
    assert "koboldcpp.exe or koboldcpp_cu12.exe" in text


def test_the_chat_page_opens_when_the_engine_answers() -> None:
    _, (batch, _) = files("C:\\e.exe", "D:\\m.gguf")
    text = batch.content.decode()
    assert "curl -fs -o nul http://127.0.0.1:8080/health && start http://127.0.0.1:8080 && exit" in text
    assert text.index("SPLITTER_NO_BROWSER") < text.index(":beside_beside")
