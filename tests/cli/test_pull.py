"""`splitter pull`, and what else a newcomer meets: verbs under other names, the doctor's exit code, last words."""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from splitter.cli.views.live import goodbye
from splitter.run import browser
from splitter.run.diagnosis import Finding
from splitter.run.endpoint import any_free_port
from splitter.run.tally import Tally
from tests.cli.conftest import TINY, Splitter
from tests.engine.oracle import engine_dir
from tests.from_nothing.person import answer
from tests.model.hub_server import Hub, serve_hub

TINY_BYTES = Path(TINY).read_bytes()
RIG = ("--rig", "phoenix", "--engine-version", "11434", "-c", "256")


@pytest.fixture
def hub(tmp_path: Path, splitter: Splitter, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serve_hub({"tiny-a.gguf": TINY_BYTES}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        yield hub


@pytest.mark.parametrize("model", ["hf:owner/repo-GGUF", "owner/repo-GGUF", "hf:owner/repo-GGUF/tiny-a.gguf"])
def test_the_only_model_of_a_repository(splitter: Splitter, hub: Hub, model: str) -> None:
    said = splitter("pull", model, *RIG)
    assert said.code == 0, said.err
    assert Path(said.out.strip()).read_bytes() == TINY_BYTES
    assert "next: splitter launch hf:owner/repo-GGUF" in said.err


def test_of_several_the_one_that_the_rig_runs_best(splitter: Splitter, hub: Hub) -> None:
    hub.files["tiny-b.gguf"] = TINY_BYTES
    said = splitter("pull", "hf:owner/repo-GGUF", *RIG, "--json")
    assert said.code == 0, said.err
    data = said.json()["data"]
    assert data["model"].startswith("hf:owner/repo-GGUF/tiny-")
    assert data["bytes"] == len(TINY_BYTES)
    assert "on the GPUs alone" in data["reason"]
    assert len({path for path, asked in hub.ranges if asked == "bytes=0-"} | {data["path"]}) < 3


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    return home


def pulled_to(splitter: Splitter, to: str, target: Path) -> str:
    said = splitter("pull", "owner/repo-GGUF", "--to", to, *RIG)
    assert said.code == 0, said.err
    assert said.out.strip() == str(target)
    assert target.read_bytes() == TINY_BYTES
    return " ".join(said.err.split())


@pytest.mark.parametrize("moved", ["new", "old", "pointer", "setting"])
def test_where_lm_studio_lists_it(splitter: Splitter, hub: Hub, home: Path, moved: str) -> None:
    folder = home / ".lmstudio" / "models"
    if moved == "old":
        folder = home / ".cache" / "lm-studio" / "models"
        folder.mkdir(parents=True)
    elif moved == "pointer":
        (home / "studio").mkdir()
        (home / ".lmstudio-home-pointer").write_text(str(home / "studio"))
        folder = home / "studio" / "models"
    elif moved == "setting":
        (home / ".lmstudio").mkdir()
        folder = home / "big disk"
        (home / ".lmstudio" / "settings.json").write_text(json.dumps({"downloadsFolder": str(folder)}))
    target = folder / "owner" / "repo-GGUF" / "tiny-a.gguf"
    said = pulled_to(splitter, "lm-studio", target)
    assert "LM Studio lists what lies there" in said
    assert "takes no more room" in said
    assert target.stat().st_nlink == 2
    asked = len(hub.ranges)
    assert "was there already" in pulled_to(splitter, "lm-studio", target)
    assert [path for path, range_ in hub.ranges[asked:] if range_ == "bytes=0-"] == []
    listed = splitter("models", "tiny-a", "--json").json()["data"]["models"]
    assert len(listed) == 1, listed  # one file, though it has two names


def test_beside_koboldcpp(splitter: Splitter, hub: Hub, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(home))
    said = splitter("pull", "owner/repo-GGUF", "--to", "koboldcpp", *RIG)
    assert said.code == 1
    assert "--to FOLDER" in said.err
    assert hub.ranges == []  # before anything is downloaded
    program = home / "koboldcpp" / "koboldcpp-linux-x64"
    program.parent.mkdir()
    program.touch(0o755)
    assert "koboldcpp's program lies there" in pulled_to(splitter, "koboldcpp", program.with_name("tiny-a.gguf"))


def test_into_a_folder_of_ones_own(splitter: Splitter, hub: Hub, tmp_path: Path) -> None:
    target = tmp_path / "my models" / "tiny-a.gguf"
    pulled_to(splitter, str(target.parent), target)
    target.unlink()
    target.write_bytes(b"mine")
    said = splitter("pull", "owner/repo-GGUF", "--to", str(target.parent), *RIG)
    assert said.code == 1
    assert "is another file" in " ".join(said.err.split())
    assert target.read_bytes() == b"mine"


def test_on_another_disk(splitter: Splitter, hub: Hub, tmp_path: Path) -> None:
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("needs a second file system")
    with tempfile.TemporaryDirectory(dir=other) as folder:
        target = Path(folder) / "tiny-a.gguf"
        assert "on another disk" in pulled_to(splitter, folder, target)
        assert target.is_symlink()


def test_where_no_link_can_be_made(
    splitter: Splitter, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(1, "Operation not permitted")

    splitter("pull", "owner/repo-GGUF", *RIG)
    monkeypatch.setattr("os.link", refused)
    monkeypatch.setattr("pathlib.Path.symlink_to", refused)
    target = tmp_path / "fat" / "tiny-a.gguf"
    assert "a copy" in pulled_to(splitter, str(target.parent), target)
    assert [path.name for path in target.parent.iterdir()] == ["tiny-a.gguf"]


@pytest.mark.engine
@pytest.mark.parametrize("own", [False, True])
def test_llama_cpp_itself_finds_it(
    splitter: Splitter, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: bool
) -> None:
    """The pinned llama-server starts from its cache alone: `-hf`, without a network."""
    hub.files = {"tiny-Q8_0.gguf": TINY_BYTES}
    cache = tmp_path / "llama" if own else tmp_path / "hub"
    if own:
        monkeypatch.setenv("LLAMA_CACHE", str(cache))
    said = splitter("pull", "owner/repo-GGUF", "--to", "llama.cpp", *RIG)
    assert said.code == 0, said.err
    assert Path(said.out.strip()).is_relative_to(cache)
    port = any_free_port()
    words = [str(engine_dir().binary("llama-server")), "-hf", "owner/repo-GGUF:Q8_0", "--offline", "-c", "256"]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "LLAMA_CACHE" if own else "HF_HUB_CACHE": str(cache)}
    running = subprocess.Popen(
        [*words, "--port", str(port)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        reply = answer(f"http://127.0.0.1:{port}/completion", {"prompt": "A card", "n_predict": 4}, running)
        assert reply["content"].strip()
    finally:
        running.kill()
        running.communicate()


def test_what_cannot_be_pulled(splitter: Splitter, hub: Hub) -> None:
    for model, words in (
        ("hf:owner/repo-GGUF/none.gguf", "has no file none.gguf"),
        ("https://example.org/a.gguf", "does not name a model of the Hugging Face Hub"),
        ("model.gguf", "does not name a model of the Hugging Face Hub"),
    ):
        said = splitter("pull", model, *RIG)
        assert said.code not in {0, 70}, model
        assert words in " ".join(said.err.split())


@pytest.mark.parametrize(
    ("word", "verb"),
    [("serve", "launch"), ("update", "engine update"), ("download", "pull"), ("gpus", "rig"), ("gui", "ui")],
)
def test_a_verb_under_another_name(splitter: Splitter, word: str, verb: str) -> None:
    said = splitter(word, "model.gguf")
    assert said.code == 2
    assert f"you may mean `splitter {verb}`" in said.err


def test_doctor_fails_where_something_is_broken(splitter: Splitter, monkeypatch: pytest.MonkeyPatch) -> None:
    findings = [Finding("ok", "driver", "fine", "")]
    monkeypatch.setattr("splitter.app.looking.diagnose", lambda _: findings)
    assert splitter("doctor").code == 0
    findings.append(Finding("problem", "ports", "taken", "free it"))
    assert splitter("doctor").code == 1
    assert splitter("doctor", "--json").json()["data"]["findings"][1]["level"] == "problem"


def test_check_takes_model_and_script_in_either_order(splitter: Splitter, tmp_path: Path) -> None:
    script = tmp_path / "start.bat"
    script.write_text("koboldcpp.exe --usecuda --gpulayers 3 --contextsize 512 --model other.gguf\n")
    words = ("--rig", "phoenix", "--engine-version", "1.123", "--json")
    said = [splitter("check", *order, *words) for order in ((TINY, "start.bat"), ("start.bat", TINY))]
    assert [item.code for item in said] == [0, 0], said[0].err
    assert said[0].json()["data"] == said[1].json()["data"]


@pytest.mark.parametrize("engine", [("llama-server", "11434"), ("koboldcpp", "1.123")])
def test_check_of_a_profile(splitter: Splitter, engine: tuple[str, str]) -> None:
    made = ("profile", "new", "mine", TINY, "--rig", "phoenix", "--engine", engine[0], "--engine-version", engine[1])
    assert splitter(*made).code == 0
    said = splitter("check", "-p", "mine", "--json")
    assert said.code == 0, said.out
    plan = splitter("plan", "-p", "mine", "--json").json()["data"]
    assert said.json()["data"]["devices"] == plan["devices"]
    assert splitter("check", TINY, "-p", "mine").code == 2


def test_a_profile_in_the_editor(splitter: Splitter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = ("profile", "new", "mine", TINY, "--rig", "phoenix", "--engine-version", "11434", "-c", "256")
    assert splitter(*made).code == 0
    editor = tmp_path / "my editor.py"
    editor.write_text(
        "import sys, pathlib\np = pathlib.Path(sys.argv[2])\n"
        "p.write_text(p.read_text().replace('context_size: 256', 'context_size: ' + sys.argv[1]))\n"
    )
    for value, code, left in (("256", 0, 256), ("512", 0, 512)):
        monkeypatch.setenv("EDITOR", f"'{sys.executable}' '{editor}' {value}")
        assert splitter("profile", "edit", "mine").code == code
        shown = splitter("profile", "show", "mine", "--json").json()["data"]["values"]
        assert shown["settings.context_size"]["value"] == left
    path = tmp_path / "config" / "splitter" / "profiles" / "mine.yaml"
    before = path.read_text()
    editor.write_text("import sys, pathlib\npathlib.Path(sys.argv[2]).write_text('nonsense: 1\\n')\n")
    said = splitter("profile", "edit", "mine")
    assert said.code not in {0, 70}
    assert "your text is in" in " ".join(said.err.split())
    assert path.read_text() == before
    assert Path(f"{path}.rejected").read_text() == "nonsense: 1\n"


def test_profiles_and_settings_without_python(splitter: Splitter) -> None:
    made = ("profile", "new", "mine", TINY, "--rig", "phoenix", "--engine-version", "11434", "-c", "256")
    assert splitter(*made).code == 0
    for words in (("profile", "show", "mine"), ("profile", "show", "phoenix"), ("config",)):
        said = splitter(*words)
        assert said.code == 0
        assert not re.search(r"\(\d|\('|\bNone\b|\bTrue\b|\bFalse\b", said.out), said.out
    assert splitter("config", "--json").json()["data"]["values"]["server.port"] == {"value": 8080, "source": "built-in"}


KOBOLD = """@echo off
cd /d D:\\kob
start "" http://localhost:5001
koboldcpp_cu12.exe --model models\\m.gguf --usecublas normal 0 mmq --gpulayers 33 --launch --multiuser 4 --quiet
pause
"""


def test_taking_over_names_what_is_lost(splitter: Splitter, tmp_path: Path) -> None:
    (tmp_path / "start.bat").write_bytes(KOBOLD.encode() + b"rem gr\xf6\xdfe\r\n")
    said = splitter("profile", "new", "a", "--from", "start.bat", "--json")
    values = said.json()["data"]["values"]
    assert values["model"].replace("/", "\\") == r"D:\kob\models\m.gguf"
    assert "engine.path" not in values
    (tmp_path / "koboldcpp_cu12.exe").touch()
    said = splitter("profile", "new", "b", "--from", "start.bat")
    assert "--launch, --multiuser 4" in " ".join(said.err.split())
    assert "splitter launch --open" in said.err
    assert "koboldcpp_cu12.exe" in said.out
    (tmp_path / "go.sh").write_text("llama-server -m a.gguf -ngl 3 -c 512 --port 9 -fa on -ts 1,2 --jinja --temp 0.7\n")
    said = splitter("profile", "new", "c", "--from", "go.sh")
    assert "no setting for it: --jinja, --temp 0.7" in " ".join(said.err.split())


def test_last_words() -> None:
    assert goodbye(8080, 65, None) == "stopped after 1m 05s, port 8080 is free"
    assert goodbye(8080, 4320, Tally(requests=12, generated_tokens=84000)) == (
        "stopped after 1h 12m, port 8080 is free, 84,000 tokens generated for 12 requests"
    )


def test_no_text_browser_takes_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    def take(url: str) -> bool:
        opened.append(url)
        return True

    monkeypatch.setattr("webbrowser.open", take)
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    assert not browser.open_page("http://127.0.0.1:8080")
    monkeypatch.setenv("DISPLAY", ":0")
    assert browser.open_page("http://127.0.0.1:8080")
    assert opened == ["http://127.0.0.1:8080"]
