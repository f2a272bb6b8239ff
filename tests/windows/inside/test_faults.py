"""What once went wrong on Windows. Runs there only; `tests/windows/test_windows.py` starts it under wine."""

import io
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from splitter.app.background import Background
from splitter.app.launching import _words_into
from splitter.engine.command import Server
from splitter.run import endpoint, keys
from splitter.run.log_file import LogFile
from splitter.run.process import Process

pytestmark = pytest.mark.skipif(sys.platform != "win32", reason="Windows alone")
EXAMPLE = Path(__file__).parents[3] / "examples" / "tiny.gguf"


def splitter(*words: str, **more: str) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [sys.executable, "-m", "splitter", *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env={**os.environ, **more},
        check=False,
    )


def test_ctrl_c_without_a_console_ends_the_engine() -> None:
    """GenerateConsoleCtrlEvent fails in services and tasks, and os.kill then raises SystemError."""
    said: list[str] = []

    def fail(_event: int) -> None:
        raise SystemError("<built-in function kill> returned a result with an exception set")

    popen: Any = SimpleNamespace(send_signal=fail, terminate=lambda: said.append("terminated"))
    process = Process.__new__(Process)
    process._popen = popen
    process.interrupt()
    assert said == ["terminated"]


def test_an_open_output_file_does_not_fail_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """WinError 32: a background process has the file of its first words open as standard output."""
    words = tmp_path / "words"
    place = SimpleNamespace(words=words)
    log = LogFile(tmp_path / "log", 10**6, 2)
    with words.open("wb"), _words_into(log, place):  # type: ignore[arg-type]
        print("told")
    log.close()
    assert "told" in (tmp_path / "log").read_text(encoding="utf-8")
    assert Background.words is not None


def test_a_pipe_carries_every_letter_of_a_path(tmp_path: Path) -> None:
    for name in ("größe Ω.gguf", "модель.gguf", "模型 1.gguf"):
        model = tmp_path / name
        model.write_bytes(EXAMPLE.read_bytes())
        done = splitter("inspect", str(model))
        assert done.returncode == 0, done.stderr
        assert name.removesuffix(".gguf") in done.stdout.decode("utf-8").replace("\r\n", " ") or name in _shown(model)


def _shown(model: Path) -> str:
    done = splitter("inspect", str(model), "--json")
    return str(json.loads(done.stdout)["data"]["model"]["path"])


def test_slashes_stay_as_they_were_typed() -> None:
    done = splitter("inspect", "unsloth/none.gguf")
    assert done.returncode == 1
    assert b"unsloth/none.gguf" in done.stderr


def test_a_listener_of_our_own_is_ours() -> None:
    """wine lists no listener at all, Windows without rights none with its owner: neither is another program's."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        assert endpoint.listens(os.getpid(), server.getsockname()[1])


def test_a_key_file_stays_readable_for_its_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "key_file", lambda: tmp_path / "keys" / "api.key")
    server, said = keys.secured(Server(host="0.0.0.0"))
    assert server.api_key_file is not None
    assert len(Path(server.api_key_file).read_text(encoding="utf-8").strip()) >= 32
    assert "just created" in said[0]
    sid = keys.user_sid()
    assert sid is None or sid.startswith("S-1-5-")


def test_a_file_name_too_long_for_older_windows_is_a_sentence(tmp_path: Path) -> None:
    done = splitter("inspect", str(tmp_path / ("x" * 300 + ".gguf")))
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr


def test_the_terminal_of_another_code_page_gets_no_traceback() -> None:
    done = splitter("rig", "--gpus", "1050ti,2080", PYTHONIOENCODING="cp437")
    assert done.returncode == 0, done.stderr
    assert "GTX 1050 Ti" in io.StringIO(done.stdout.decode("cp437")).read()


def test_a_path_longer_than_older_windows_takes(tmp_path: Path) -> None:
    folder = Path("\\\\?\\" + str(tmp_path)).joinpath(*["a folder with a long name " + "x" * 40] * 5)
    folder.mkdir(parents=True)
    model = folder / "tiny.gguf"
    model.write_bytes(EXAMPLE.read_bytes())
    assert len(str(model)) > 300
    done = splitter("inspect", str(model), "--json")
    assert done.returncode == 0, done.stderr
    plain = splitter("inspect", str(model).removeprefix("\\\\?\\"))
    assert plain.returncode in {0, 1}
    assert b"Traceback" not in plain.stderr


@pytest.mark.skipif("SPLITTER_SHARE" not in os.environ, reason="needs a share")
def test_a_share_of_another_computer(tmp_path: Path) -> None:
    share = Path(os.environ["SPLITTER_SHARE"])
    (share / "tiny.gguf").write_bytes(EXAMPLE.read_bytes())
    model = str(share / "tiny.gguf")
    assert model.startswith("\\\\")
    words = ("--rig", "phoenix", "--engine-version", "11434")
    plan = splitter("plan", model, *words, "--json")
    assert plan.returncode == 0, plan.stderr
    assert model in json.loads(plan.stdout)["data"]["command"]["argv"]
    assert splitter("script", model, *words, "-o", str(share)).returncode == 0
    (batch,) = share.glob("*.bat")
    assert model.encode() in batch.read_bytes()
    assert b"pushd" in batch.read_bytes()  # cmd.exe has no current folder on a share: pushd gives it a drive


def test_a_console_of_another_code_page(tmp_path: Path) -> None:
    """A batch file that sets one, as people keep them: no traceback, and the names are whole."""
    for page in (437, 850, 932):
        batch = tmp_path / f"{page}.bat"
        words = f'"{sys.executable}" -m splitter rig --gpus 1050ti'
        batch.write_text(f"@chcp {page} >nul\r\n@set PYTHONIOENCODING=cp{page}\r\n@{words}\r\n", newline="")
        done = subprocess.run(["cmd", "/c", str(batch)], capture_output=True, check=False)
        assert done.returncode == 0, done.stdout
        assert b"GTX 1050 Ti" in done.stdout
