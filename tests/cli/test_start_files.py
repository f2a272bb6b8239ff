"""`profile new NAME --from start.bat`: every flag survives or is named as lost; the plan's argv says the same."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from splitter.app.checking import read_file
from splitter.app.wishes import Wishes
from splitter.engine.engines import ENGINES
from splitter.engine.reading.command import read_command
from tests.cli.conftest import ROOT, Splitter
from tests.cli.start_files import FILES, StartFile

LAYERS = 64
VERSIONS = {"koboldcpp": "1.123", "llama-server": "11434"}


@pytest.fixture(scope="module")
def layers_64(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """As many layers as the seed's model."""
    path = tmp_path_factory.mktemp("model") / "m.gguf"
    make = [sys.executable, str(ROOT / "examples" / "make_model.py"), "--layers", str(LAYERS), "--context", "32768"]
    subprocess.run([*make, "-o", str(path)], check=True, capture_output=True)
    return path.read_bytes()


def made(shape: StartFile, folder: Path, model: bytes) -> Path:
    """The script and what lies beside it."""
    for name in shape.beside:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    (folder / "m.gguf" if shape.model == "m.gguf" else folder.parent / "m.gguf").write_bytes(model)
    script = folder / "start.bat"
    script.write_text(shape.text.replace("\n", "\r\n"), newline="")
    return script


def settings(read: Any) -> dict[str, Any]:
    """What was said, without what leaves the choice to the engine; more layers than there are mean all of them, and
    koboldcpp's flash attention is on by itself."""
    said = {name: value for name, value in read.settings.items() if value not in {-1, None}}
    if "gpu_layers" in said:
        said["gpu_layers"] = min(said["gpu_layers"], LAYERS + 1)
    return {"flash_attention": "on"} | said if read.kind == "koboldcpp" else said


@pytest.mark.parametrize("name", FILES)
def test_flags_survive_or_are_named(name: str, splitter: Splitter, tmp_path: Path, layers_64: bytes) -> None:
    shape = FILES[name]
    folder = tmp_path / "scripts"
    folder.mkdir()
    script = made(shape, folder, layers_64)
    model = next(tmp_path.rglob("m.gguf"))
    version = ("--engine-version", VERSIONS[shape.kind])
    said = splitter("profile", "new", "mine", "--from", str(script), *version, "--json")
    assert said.code == 0, said.out + said.err
    values = said.json()["data"]["values"]
    assert values["engine.kind"] == shape.kind
    assert values["model"] == (str(model) if shape.model == "m.gguf" else shape.model)
    assert values.get("engine.path") == (str(folder / shape.program) if shape.program else None)
    assert shape.extra.items() <= values.items()
    words = splitter("profile", "new", "again", "--from", str(script), *version)
    named = " ".join(words.err.split())
    for flag in shape.lost:
        assert flag in named, named
    assert ("a profile has no setting for it" in named) == bool(shape.lost)
    assert "secret" not in said.out + words.out + words.err
    before = read_file(script, Wishes({"engine.version": VERSIONS[shape.kind]}))
    planned = splitter("plan", str(model), "-p", "mine", *shape.rig, *version, "--json")
    assert planned.code in {0, 3}, planned.out
    command = planned.json()["data"]["command"]
    after = read_command(command["argv"], command["env"], kind=shape.kind, version=VERSIONS[shape.kind])
    kept = settings(after)
    assert {key: kept.get(key) for key in settings(before)} == settings(before)


def test_there_are_enough_shapes() -> None:
    assert len(FILES) >= 30
    assert {shape.kind for shape in FILES.values()} == set(VERSIONS) <= set(ENGINES)
