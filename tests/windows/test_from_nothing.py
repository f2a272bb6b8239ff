"""Seed 002's steps 2 to 7 on Windows: koboldcpp and a model installed, the .bat made, double-clicked, answering.

`koboldcpp.exe` of the release server reads its command line as the real one does (tests/standin) in front of
llama.cpp's own server (xllamacpp's Windows wheel).
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from splitter.run.endpoint import any_free_port
from tests.cli.conftest import TINY
from tests.engine.release_server import ReleaseServer, serving
from tests.from_nothing.person import Person, answer
from tests.model.hub_server import serve_hub
from tests.windows.conftest import ROOT, WindowsPython, windows_path

pytestmark = pytest.mark.wine
COMPILER = "x86_64-w64-mingw32-gcc"
PHOENIX = ("--rig", "phoenix")  # wine has no cards; the seed's owner has these and names none


def program(windows: WindowsPython, module: str, folder: Path) -> bytes:
    """A Windows program that runs `module` with its own arguments."""
    python = windows_path(Path(windows.program)).replace("\\", "\\\\")
    defined = (f'-DPYTHON=L"{python}"', f'-DMODULE=L"{module}"')
    made = folder / f"{module}.exe"
    subprocess.run([COMPILER, "-municode", "-O1", *defined, "-o", made, ROOT / "tests/windows/stub.c"], check=True)
    return made.read_bytes()


@pytest.fixture
def person(fresh: WindowsPython, tmp_path: Path) -> Iterator[Person]:
    model = Path(TINY).read_bytes()
    home = tmp_path / "Anna Müller"
    home.mkdir()
    releases = ReleaseServer({"koboldcpp.exe": program(fresh, "tests.standin", tmp_path)}, tag="v1.123")
    with serving(releases) as github, serve_hub({"tiny-Q8_0.gguf": model, "tiny-F16.gguf": model}) as hub:
        own = fresh.environment(GITHUB_API_URL=github.url, HF_ENDPOINT=hub.url, no_proxy="127.0.0.1")
        yield Person(("wine", fresh.program, "-m", "splitter"), home, own)


def test_engine_model_plan_script_double_click_answer(person: Person, tmp_path: Path) -> None:
    port = str(any_free_port())
    installed = person.types("splitter engine install koboldcpp", "--backend", "cuda")
    assert "koboldcpp v1.123 (cuda) is installed and in use" in " ".join(installed.split())
    pulled = person.types("splitter pull owner/repo-GGUF", *PHOENIX)
    reference = next(line.split()[-1] for line in pulled.splitlines() if line.startswith("next:"))
    assert "RTX 2080" in person.types(f"splitter plan {reference} --engine koboldcpp", *PHOENIX)
    said = person.types(f"splitter script {reference} --engine koboldcpp", *PHOENIX, "--port", port)
    (batch,) = person.home.glob("*.bat")
    assert f"double-click {batch.name}" in said
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    running = person.double_clicks(["wine", "cmd", "/c", windows_path(batch)], elsewhere)
    try:
        reply = answer(f"http://127.0.0.1:{port}/api/v1/generate", {"prompt": "A card", "max_length": 8}, running)
        assert reply["results"][0]["text"].strip()
    finally:
        end = ["wine", "taskkill", "/F", "/IM", "koboldcpp.exe"]
        subprocess.run(end, env=person.environment, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        running.communicate(timeout=60)
    print(f"typed: {len(person.typed)} lines, {sum(map(len, person.typed))} letters: {person.typed}")
    assert len(person.typed) == 4
