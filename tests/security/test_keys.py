"""API keys: made where others can reach the server, kept 0600, and standing nowhere but in their file."""

import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest

from splitter.cli.main import run
from splitter.engine.command import Server
from splitter.errors import EngineError
from splitter.masking import without_secrets
from splitter.run.endpoint import any_free_port
from splitter.run.keys import key_file, secured
from tests.security.attempts import RIG, words

TINY = str(Path(__file__).parents[2] / "examples" / "tiny.gguf")


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def test_loopback_needs_none() -> None:
    assert secured(Server()) == (Server(), ())
    assert not key_file().exists()


def test_a_key_is_made_once_and_told_by_its_path() -> None:
    server, said = secured(Server("0.0.0.0"))
    key = key_file().read_text().strip()
    assert server.api_key_file == str(key_file())
    assert re.fullmatch(r"[\w-]{43}", key)
    assert (key_file().stat().st_mode & 0o777, key_file().parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert str(key_file()) in said[0]
    assert key not in " ".join(said)
    again, _ = secured(Server("gaming-pc"))
    assert (again.api_key_file, key_file().read_text().strip()) == (server.api_key_file, key)
    assert [path.name for path in key_file().parent.iterdir()] == ["api.key"]


def test_a_key_that_others_can_read_is_warned_of(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_text("secret\n")
    mine.chmod(0o644)
    server, said = secured(Server("0.0.0.0", api_key_file=str(mine)))
    assert server.api_key_file == str(mine)
    assert said == (f"warning: others on this machine can read the API key file {mine} (chmod 600 {mine})",)
    mine.chmod(0o600)
    assert secured(Server(api_key_file=str(mine)))[1] == ()


def test_an_empty_key_is_refused(tmp_path: Path) -> None:
    key_file().parent.mkdir(parents=True)
    key_file().touch()
    with pytest.raises(EngineError, match="holds no key"):
        secured(Server("::"))


def test_the_key_stands_in_no_plan_and_no_script(tmp_path: Path) -> None:
    said = [*words("plan", TINY, *RIG, "--host", "0.0.0.0", "--json")]
    said += words("script", TINY, *RIG, "--host", "0.0.0.0", "-o", "made", "--systemd", "--engine-path", sys.executable)
    said += words("script", TINY, *RIG, "--host", "0.0.0.0", "-o", "made")
    key = key_file().read_text().strip()
    made = [path.read_text() for path in (tmp_path / "made").iterdir()]
    assert len(made) == 3
    assert all(str(key_file()) in text for text in made)
    assert not [text for text in (*map(str, said), *made) if key in text]


def test_the_script_serves_nobody_without_its_key(tmp_path: Path) -> None:
    words("script", TINY, "--gpus", "3060", "--host", "0.0.0.0", "-o", ".", "--name", "run")
    engine = tmp_path / "llama-server"
    engine.write_text("#!/bin/sh\necho started\n")
    engine.chmod(0o755)
    for content, started in (("k\n", True), ("", False), (None, False)):
        key_file().unlink(missing_ok=True)
        if content is not None:
            key_file().write_text(content)
        done = subprocess.run(["sh", "run.sh"], capture_output=True, text=True, check=False)
        assert ("started" in done.stdout) is started, done.stderr
        assert (done.returncode == 0) is started


def engines() -> list[object]:
    embedded = pytest.param(("--engine", "embedded"), id="embedded")
    return [embedded, pytest.param(None, id="llama-server", marks=pytest.mark.engine)]


@pytest.mark.parametrize("engine", engines())
def test_a_real_server_asks_for_the_key_and_nothing_shows_it(engine: tuple[str, ...] | None, tmp_path: Path) -> None:
    if engine is None:
        from tests.engine.oracle import engine_dir

        engine = ("--engine-path", str(engine_dir().binary("llama-server")))
    else:
        pytest.importorskip("xllamacpp")
    port, log = any_free_port(), tmp_path / "engine.log"
    process = subprocess.Popen(
        [sys.executable, "-m", "splitter", "launch", TINY, *engine, "-dev", "none", "-c", "256", "--host", "0.0.0.0",
         "--port", str(port), "--log-file", str(log), "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout
    head = []
    for line in process.stdout:
        head.append(line)
        if line == "}\n":
            break
    shown = [" ".join(child.cmdline()) for child in psutil.Process(process.pid).children(recursive=True)]
    key = key_file().read_text().strip()
    statuses = [_status(port, None), _status(port, "wrong"), _status(port, key), _cors(port, key)]
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert statuses[:3] == [401, 401, 200], (statuses, err)
    assert statuses[3] is None
    assert any("--api-key-file" in line for line in shown)
    for text in (*shown, *head, out, err, log.read_text(encoding="utf-8")):
        assert key not in text


def _request(port: int, key: str | None) -> urllib.request.Request:
    headers = {"Origin": "https://evil.example", **({"Authorization": f"Bearer {key}"} if key else {})}
    return urllib.request.Request(f"http://127.0.0.1:{port}/v1/models", headers=headers)


def _status(port: int, key: str | None) -> int:
    try:
        with urllib.request.urlopen(_request(port, key), timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def _cors(port: int, key: str) -> str | None:
    """The foreign origin that may read the answer."""
    with urllib.request.urlopen(_request(port, key), timeout=10) as answer:
        origin: str | None = answer.headers.get("Access-Control-Allow-Origin")
    return origin


def test_a_bug_report_holds_no_key(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("with hunter2-key")

    monkeypatch.setattr("splitter.cli.main.app", broken)
    line = "llama-server -m a.gguf --api-key hunter2-key --password=hunter3"
    assert run(["check", "--command", line]) == 70
    path = re.search(r"report this bug with\s+(\S+)", capsys.readouterr().err)
    assert path
    report = Path(path[1])
    text = report.read_text()
    report.unlink()
    assert "ZeroDivisionError" in text
    assert "hunter" not in text
    assert without_secrets("--api-key-file k", ["--api-key-file", "k"]) == "--api-key-file k"
