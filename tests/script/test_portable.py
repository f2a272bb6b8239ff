"""The one-folder layout: no file holds a path to anywhere else, and everything is found beside the script."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from splitter.engine.command import EngineCommand, Server
from splitter.errors import UsageError
from splitter.script.file import ScriptFile
from splitter.script.render import render, render_kcpps_file
from tests.script.made import planned, put

WINDOWS: dict[str, Any] = {"engine": "C:\\engines\\koboldcpp_cu12.exe", "model": "D:\\models & co\\m.gguf"}
LINUX: dict[str, Any] = {"engine": "/opt/koboldcpp-linux-x64", "model": "/models & co/m.gguf", "os": "linux"}
PLACE = re.compile(r"\b[A-Za-z]:[\\/](?!/)|(?<![\w.:/}])/(?!dev/null|bin/sh|min cmd)\w{3,}")


def files(**options: Any) -> tuple[EngineCommand, tuple[ScriptFile, ...]]:
    made, command = planned(**{"kind": "koboldcpp", "version": "1.123", **options})
    again = render(made, command, "run", "splitter script m.gguf --portable", one_folder=True)
    kcpps = () if command.env_files else (render_kcpps_file(made, command, "run", "again", one_folder=True),)
    return command, (*again, *kcpps)


@pytest.mark.parametrize("options", [WINDOWS, LINUX], ids=["windows", "linux"])
def test_no_file_names_another_place(options: dict[str, Any]) -> None:
    for file in files(**options)[1]:
        text = file.content.decode()
        assert "models & co" not in text
        assert not PLACE.search(text), (file.name, PLACE.search(text))
        assert "planned place" not in text
        assert "on PATH" not in text


def test_each_system_looks_for_an_engine_of_its_own() -> None:
    for options, bat, sh in (
        (WINDOWS, "koboldcpp_cu12.exe", "koboldcpp"),
        (LINUX, "koboldcpp.exe", "koboldcpp-linux-x64"),
    ):
        _, (batch, posix, kcpps) = files(**options)
        assert f'".\\{bat}" --model "m.gguf" '.encode() in batch.content
        assert f"ENGINE=./{sh}\n".encode() in posix.content
        assert json.loads(kcpps.content)["model_param"] == "m.gguf"


def test_a_folder_moved_elsewhere_runs(tmp_path: Path) -> None:
    server = Server(port=5001, api_key_file="/secrets/the key")
    options = {**LINUX, "mmproj": "/far/p.gguf", "server": server}
    command, (_, sh) = files(**options)
    script = put(tmp_path / "here", sh)
    engine = script.parent / "koboldcpp-linux-x64"
    engine.write_text('#!/bin/sh\nprintf \'%s|\' "$KCPP_PASSWORD" "$@"\n')
    engine.chmod(0o755)
    for name in ("m.gguf", "p.gguf", "the key"):
        (script.parent / name).write_text("secret\n")
    moved = Path(shutil.move(script.parent, tmp_path / "any where"))
    done = subprocess.run([moved / script.name], cwd=tmp_path, capture_output=True, text=True, check=True)
    near = {"/models & co/m.gguf": "./m.gguf", "/far/p.gguf": "./p.gguf"}
    assert done.stdout.split("|")[:-1] == ["secret", *(near.get(word, word) for word in command.argv[1:])]


def test_a_model_on_the_network_keeps_its_page() -> None:
    _, (batch, posix, _) = files(engine=None, model="hf:a/b-GGUF/m.gguf")
    for file in (batch, posix):
        assert b"https://huggingface.co/a/b-GGUF/resolve/main/m.gguf" in file.content
        assert b"https://github.com/LostRuins/koboldcpp/releases" in file.content


def test_the_embedded_engine_fits_in_no_folder() -> None:
    with pytest.raises(UsageError, match="Python installation"):
        files(engine="/usr/bin/python3", model="/m.gguf", kind="embedded", version="11434")
