"""Seed 002's steps 2 to 7 on Linux, with the real llama-server out of an archive as its release has it."""

import io
import os
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from splitter.run.endpoint import any_free_port
from tests.cli.conftest import TINY
from tests.engine.oracle import RIGS, engine_dir
from tests.engine.release_server import ReleaseServer, serving
from tests.from_nothing.person import Person, answer
from tests.model.hub_server import serve_hub

pytestmark = pytest.mark.engine


def release_archive() -> bytes:
    """The real programs and libraries of our build, packed as llama.cpp packs its Ubuntu release."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", compresslevel=1) as archive:
        for path in sorted(engine_dir().binary("").iterdir()):
            if path.name in {"llama-server", "llama-fit-params"} or path.name.startswith("lib"):
                archive.add(path, f"llama-b11434/{path.name}", recursive=False)
    return out.getvalue()


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Person]:
    model = Path(TINY).read_bytes()
    releases = ReleaseServer({"llama-b11434-bin-ubuntu-x64.tar.gz": release_archive()})
    with serving(releases) as github, serve_hub({"tiny-Q8_0.gguf": model, "tiny-F16.gguf": model}) as hub:
        home = tmp_path / "home"
        home.mkdir()
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        own = {"HOME": str(home), "GITHUB_API_URL": github.url, "HF_ENDPOINT": hub.url, "no_proxy": "127.0.0.1"}
        cards = engine_dir().env(RIGS["phoenix"])  # the machine's three cards
        yield Person((sys.executable, "-m", "splitter"), home, {**kept, **own, **cards})


def test_engine_model_plan_script_answer(person: Person, tmp_path: Path) -> None:
    port = str(any_free_port())
    assert "llama-server b11434 (cpu) is installed and in use" in person.types("splitter engine install")
    pulled = person.types("splitter pull owner/repo-GGUF")
    reference = next(line.split()[-1] for line in pulled.splitlines() if line.startswith("next:"))
    planned = person.types(f"splitter plan {reference}")
    assert "RTX 2080" in planned
    person.types(f"splitter script {reference}", "--port", port)
    (script,) = person.home.glob("*.sh")
    running = person.double_clicks([str(script)], tmp_path)
    try:
        said = answer(f"http://127.0.0.1:{port}/completion", {"prompt": "A card", "n_predict": 8}, running)
        assert said["tokens_predicted"] == 8
        assert said["content"].strip()
    finally:
        running.terminate()
        running.communicate(timeout=30)
    assert str(person.home / ".local/share/splitter/engines/llama-server/b11434+cpu") in script.read_text()
    print(f"typed: {len(person.typed)} lines, {sum(map(len, person.typed))} letters")
    assert len(person.typed) == 4
