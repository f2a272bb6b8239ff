"""Engines are found where people keep them, and asked for their version; no engine is a normal outcome."""

import stat
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from splitter.engine.engines import ENGINES
from splitter.engine.find import ask_version, find_engine
from splitter.engine.places import usual_folders
from splitter.engine.version_text import koboldcpp_version, llama_version
from splitter.errors import EngineNotFoundError


def program(path: Path, says: str, stream: str = "stderr", sleep_s: float = 0) -> Path:
    """An executable that answers --version as an engine does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    answer = f"if sys.argv[1:] == ['--version']: print({says!r}, file=sys.{stream})"
    path.write_text(f"#!{sys.executable}\nimport sys, time\ntime.sleep({sleep_s})\n{answer}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home, a current folder and a PATH without any engine."""
    for name in ("home", "here", "bin"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("version: 10114 (ed7adbfef)\nbuilt with GNU 13.3.0", "10114"),
        ("ggml_cuda_init: found 1 CUDA devices:\nversion: 0.4.1-dev (build 10989, commit 38a5b42d9)", "10989"),
        ("version: 0.6.0-dev (build 0, commit unknown)", "0.6.0-dev"),
        ("version: 0 (unknown)", None),
        ("illegal option", None),
    ],
)
def test_what_llama_cpp_says_of_itself(text: str, version: str | None) -> None:
    assert llama_version(text) == version


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("1.115.1\n", "1.115.1"),
        ("***\nWelcome to KoboldCpp - Version 1.76\n", "1.76"),
        ("KoboldCpp Server - Version 1.123", "1.123"),
        ("", None),
    ],
)
def test_what_koboldcpp_says_of_itself(text: str, version: str | None) -> None:
    assert koboldcpp_version(text) == version


@pytest.mark.parametrize(
    "place", ["here", "bin", "home/llama.cpp/build/bin", "home/.local/bin", "home/Downloads", "home/llama.cpp"]
)
def test_llama_server_is_found(bare: Path, place: str) -> None:
    path = program(bare / place / "llama-server", "version: 10114 (ed7adbfef)")
    found = find_engine("llama-server")
    assert (found.path, found.version) == (str(path), "10114")


def test_koboldcpp_is_found_beside_the_model_by_its_release_name(bare: Path) -> None:
    path = program(bare / "models" / "koboldcpp-linux-x64-cuda1150", "1.92.1", "stdout")
    found = find_engine("koboldcpp", beside=[str(bare / "models" / "m.gguf")])
    assert (found.path, found.version) == (str(path), "1.92.1")


def test_an_older_koboldcpp_tells_its_version_in_its_help(bare: Path) -> None:
    path = bare / "bin" / "koboldcpp"
    path.write_text(
        "#!/bin/sh\ncase \"$*\" in --help) echo 'KoboldCpp Server - Version 1.76';;"
        " *) echo 'koboldcpp: error: unrecognized arguments: --version' >&2; exit 2;; esac\n"
    )
    path.chmod(0o755)
    assert find_engine("koboldcpp").version == "1.76"


def test_the_current_folder_comes_before_path(bare: Path) -> None:
    program(bare / "bin" / "llama-server", "version: 1000 (a)")
    program(bare / "here" / "llama-server", "version: 2000 (a)")
    assert find_engine("llama-server").version == "2000"


def test_a_named_file_or_folder_is_taken(bare: Path) -> None:
    path = program(bare / "my engine" / "build" / "bin" / "llama-server", "version: 7000 (a)")
    assert find_engine("llama-server", str(path)).path == str(path)
    assert find_engine("llama-server", str(bare / "my engine")).path == str(path)
    other = program(bare / "custom-name", "version: 7001 (a)")
    assert find_engine("llama-server", str(other), version="6000").version == "6000"


@pytest.mark.parametrize("kind", ["llama-server", "koboldcpp"])
def test_nothing_found_is_said_with_the_next_step(bare: Path, kind: str) -> None:
    for path in (None, str(bare / "nowhere"), str(bare / "home")):
        with pytest.raises(EngineNotFoundError) as caught:
            find_engine(kind, path)
        assert "--engine-path" in caught.value.hint


def test_a_version_alone_is_planned_for(bare: Path) -> None:
    found = find_engine("koboldcpp", version="1.76")
    assert (found.path, found.version) == (None, "1.76")


def test_a_silent_or_hanging_engine_has_no_version(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask_version("llama-server", str(program(bare / "a", "nothing"))) is None
    monkeypatch.setattr(type(ENGINES["llama-server"]), "version_timeout_s", 0.2)
    assert ask_version("llama-server", str(program(bare / "b", "version: 7000 (a)", sleep_s=5))) is None


def test_a_file_that_cannot_be_started(bare: Path) -> None:
    (bare / "text").write_text("no program")
    (bare / "text").chmod(0o755)
    with pytest.raises(EngineNotFoundError, match="cannot be started"):
        find_engine("llama-server", str(bare / "text"))


def test_the_embedded_engine_is_known_by_its_metadata() -> None:
    found = find_engine("embedded")
    assert found.path == sys.executable
    assert found.version is not None
    look = "import sys, splitter.engine.find as f; f.find_engine('embedded'); print('xllamacpp' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_missing_wheel_is_said_with_the_next_step(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    with pytest.raises(EngineNotFoundError, match="not installed") as caught:
        find_engine("embedded")
    assert "pip install" in caught.value.hint
    assert find_engine("embedded", version="2026.9.1").path is None


def test_windows_places() -> None:
    folders = [str(p) for p in usual_folders(Path("C:/Users/me"), {"LOCALAPPDATA": "L", "ProgramFiles": "P"}, True)]
    assert str(Path("L", "Microsoft", "WinGet", "Links")) in folders
    assert ENGINES["llama-server"].file_names(True) == ("llama-server.exe",)
    assert "koboldcpp-nocuda.exe" in ENGINES["koboldcpp"].file_names(True)
