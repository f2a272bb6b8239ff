"""What a person sees of a download: a bar on a terminal, nothing in its way elsewhere."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants
from rich.console import Console

from splitter.app.planning import resolve
from splitter.app.wishes import Wishes
from splitter.cli.output import Output
from tests.cli.conftest import TINY, Splitter
from tests.model.hub_server import Hub, serve_hub

REFERENCE = "hf:owner/repo-GGUF/tiny.gguf"
WISHES = Wishes({"model": REFERENCE, "rig.name": "phoenix"})


@pytest.fixture
def hub(tmp_path: Path, splitter: Splitter, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serve_hub({"tiny.gguf": Path(TINY).read_bytes()}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        yield hub


def fetched(*, as_json: bool, terminal: bool) -> tuple[str, str]:
    """The path of the fetched model and everything that was said."""
    output, said = Output("launch", as_json=as_json), io.StringIO()
    output.words = Console(file=said, force_terminal=terminal, width=80, quiet=as_json)
    task = resolve(WISHES, output, fetches=True)
    return task.facts.path, said.getvalue()


def test_a_terminal_gets_a_bar(hub: Hub) -> None:
    path, said = fetched(as_json=False, terminal=True)
    assert Path(path).read_bytes() == Path(TINY).read_bytes()
    assert "1.4/1.4 MiB" in said


def test_elsewhere_one_line(hub: Hub) -> None:
    assert fetched(as_json=False, terminal=False)[1] == f"fetching {REFERENCE}\n"


def test_json_hears_nothing(hub: Hub) -> None:
    assert fetched(as_json=True, terminal=True)[1] == ""


def test_an_interrupted_one_says_that_it_goes_on(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("splitter.model.fetch.download", interrupt)
    said = io.StringIO()
    output = Output("launch", as_json=False)
    output.words = Console(file=said, width=80)
    with pytest.raises(KeyboardInterrupt):
        resolve(WISHES, output, fetches=True)
    assert "run the same command again to continue" in said.getvalue()


def test_plan_downloads_nothing(hub: Hub, splitter: Splitter, tmp_path: Path) -> None:
    assert splitter("plan", REFERENCE, "--rig", "phoenix").code == 0
    assert not (tmp_path / "hub").exists()


def test_offline_the_cached_model_is_planned(hub: Hub, splitter: Splitter, monkeypatch: pytest.MonkeyPatch) -> None:
    path, _ = fetched(as_json=True, terminal=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", constants.HF_HUB_CACHE)
    asked = len(hub.ranges)
    said = splitter("plan", REFERENCE, "--rig", "phoenix", "--json")
    assert said.json()["data"]["model"]["path"] == path
    assert len(hub.ranges) == asked
