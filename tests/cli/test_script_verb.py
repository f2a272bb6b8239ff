"""`splitter script`: the kinds of files, the line that makes them again, what excludes what."""

import json
import shutil
from pathlib import Path

import pytest

from splitter.app.scripting import remake_line
from tests.cli.conftest import TINY, Splitter

KOBOLD = ("--rig", "phoenix", "--engine", "koboldcpp", "--engine-version", "1.123")


@pytest.fixture
def model(tmp_path: Path, splitter: Splitter) -> str:
    return str(shutil.copy(TINY, str(tmp_path / "my model.gguf")))


def text(path: str) -> str:
    return Path(path).read_text(encoding="utf-8")


def test_a_relative_model_is_found_from_any_folder(splitter: Splitter, model: str, tmp_path: Path) -> None:
    said = splitter("script", "my model.gguf", *KOBOLD, "-o", "out", "--kcpps", "--json")
    assert said.code == 0, said.out
    _, sh, kcpps = said.json()["data"]["files"]
    assert f"MODEL='{model}'" in text(sh)
    assert json.loads(text(kcpps))["model_param"] == model
    assert '# Remake:   splitter script "my model.gguf" --rig phoenix --engine koboldcpp' in text(sh)
    assert "-o out" not in text(sh)


def test_portable_files_name_no_folder(splitter: Splitter, model: str, tmp_path: Path) -> None:
    said = splitter("script", model, *KOBOLD, "-o", str(tmp_path / "out"), "--kcpps", "--portable", "--json")
    assert said.code == 0, said.out
    for path in said.json()["data"]["files"]:
        assert str(tmp_path) not in text(path)
        assert "my model.gguf" in text(path)


def test_a_profiles_file_gives_the_name(splitter: Splitter, model: str, tmp_path: Path) -> None:
    assert splitter("profile", "new", "./CON.yaml", model, *KOBOLD).code == 0
    said = splitter("script", "--profile", "./CON.yaml", "--json")
    assert [Path(path).name for path in said.json()["data"]["files"]] == ["run-con.bat", "run-con.sh"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--systemd",), "full path of llama-server"),
        (("--systemd", "--portable"), "--portable"),
        (("--kcpps",), "--engine koboldcpp"),
        (("--engine", "embedded", "--portable"), "one folder"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_written(
    splitter: Splitter, model: str, tmp_path: Path, words: tuple[str, ...], says: str
) -> None:
    version = () if "embedded" in words else ("--engine-version", "11434")
    said = splitter("script", model, "--rig", "phoenix", *version, "-o", str(tmp_path / "out"), *words)
    assert said.code == 2, said.err
    assert says in said.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("windows", "one_folder", "line"),
    [
        (False, False, "splitter script 'a b.gguf' --rig /r/x.yaml"),
        (True, False, 'splitter script "a b.gguf" --rig /r/x.yaml'),
        (False, True, "splitter script 'a b.gguf' --rig x.yaml"),
    ],
)
def test_the_line_that_makes_it_again(windows: bool, one_folder: bool, line: str) -> None:
    typed = ["script", "a b.gguf", "-o", "/some/where", "--rig", "/r/x.yaml", "--output=x"]
    assert remake_line(typed, windows, one_folder) == line
