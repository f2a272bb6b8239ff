"""Generated batch files run by wine's cmd.exe: the engine gets exactly the planned arguments and environment."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from splitter.engine.command import EngineCommand, Server
from tests.script.hostile import NAMES, PATTERNS
from tests.script.made import files, put
from tests.script.wine import Run, Wine, windows_path

# Names for the script's own folder. `cmd /c` expands %PATH% before any script starts, on Windows too; wine
# expands a % in %~dp0 once more, which only a short name (given to names that are not 8.3) gets around.
FOLDERS = tuple(name for name in NAMES if name not in {"100%", "%PATH%", "%%", "50% of 100%"})

pytestmark = pytest.mark.wine


@dataclass(frozen=True)
class Case:
    """One script to run and the argv it must lead to."""

    script: Path
    argv: tuple[str, ...]
    command: EngineCommand


def engine_at(wine: Wine, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    os.link(wine.standin, path)
    return path


def planned_case(wine: Wine, root: Path, name: str) -> Case:
    """The script far from engine and model, both called `name` in a folder called `name`."""
    engine = engine_at(wine, root / "far" / name / f"{name}.exe")
    model = root / "far" / name / f"{name}.gguf"
    model.touch()
    command, (batch, _) = files(windows_path(engine), windows_path(model))
    script = put(root / "scripts" / f"planned {NAMES.index(name)}", batch)
    return Case(script, command.argv, command)


def beside_case(wine: Wine, root: Path, name: str) -> Case:
    """Script, engine and model in one folder called `name`; the planned places do not exist."""
    folder = root / "beside" / name
    engine_at(wine, folder / f"{name}.exe")
    (folder / f"{name}.gguf").touch()
    command, (batch, _) = files(f"C:\\gone\\{name}.exe", f"C:\\gone\\{name}.gguf")
    argv = tuple({command.argv[0]: f".\\{name}.exe", command.argv[2]: f"{name}.gguf"}.get(w, w) for w in command.argv)
    return Case(put(folder, batch), argv, command)


def pattern_case(wine: Wine, root: Path, pattern: str) -> Case:
    engine = engine_at(wine, root / "patterns" / f"e{PATTERNS.index(pattern)}.exe")
    model = root / "patterns" / "m.gguf"
    model.touch()
    command, (batch, _) = files(windows_path(engine), windows_path(model), override_tensors=(pattern,))
    assert pattern in command.argv
    return Case(put(root / "scripts" / f"pattern {PATTERNS.index(pattern)}", batch), command.argv, command)


@pytest.fixture(scope="module")
def hostile_runs(wine: Wine, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], tuple[Case, Run]]:
    root = tmp_path_factory.mktemp("hostile")
    cases = {("planned", name): planned_case(wine, root, name) for name in NAMES}
    cases |= {("beside", name): beside_case(wine, root, name) for name in FOLDERS}
    cases |= {("pattern", pattern): pattern_case(wine, root, pattern) for pattern in PATTERNS}
    runs = wine.run([case.script for case in cases.values()], root)
    return {key: (case, run) for (key, case), run in zip(cases.items(), runs, strict=True)}


KEYS = [("planned", n) for n in NAMES] + [("beside", n) for n in FOLDERS] + [("pattern", p) for p in PATTERNS]


@pytest.mark.parametrize("key", KEYS, ids=[f"{kind}: {name[:24]}" for kind, name in KEYS])
def test_hostile_names_reach_the_engine_byte_for_byte(
    hostile_runs: dict[tuple[str, str], tuple[Case, Run]], key: tuple[str, str]
) -> None:
    case, run = hostile_runs[key]
    assert [start.argv for start in run.starts] == [case.argv], run.output
    assert run.starts[0].env["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    assert run.code == 0
    assert run.output.strip() == ""


@dataclass(frozen=True)
class Troubles:
    """Scripts that must fail, each in its own way."""

    koboldcpp_command: EngineCommand
    no_engine: Run
    no_model: Run
    failing: Run
    negative: Run
    koboldcpp: Run
    on_path: Run
    empty_key: Run


@pytest.fixture(scope="module")
def troubles(wine: Wine, tmp_path_factory: pytest.TempPathFactory) -> Troubles:
    root = tmp_path_factory.mktemp("troubles")
    engine = windows_path(engine_at(wine, root / "engine & co" / "llama-server.exe"))
    (root / "my 100% model!.gguf").touch()
    model = windows_path(root / "my 100% model!.gguf")
    _, (no_engine, _) = files("C:\\gone & lost\\llama-server.exe", model)
    _, (no_model, _) = files(engine, "C:\\gone & lost\\100% ^model!.gguf")
    _, (working, _) = files(engine, model)
    (root / "key file.txt").write_text("geheim & 100%\r\n")
    server = Server(port=5001, api_key_file=windows_path(root / "key file.txt"))
    command, (koboldcpp, _) = files(engine, model, kind="koboldcpp", version="1.123", server=server)
    _, (on_path, _) = files(None, model)
    (root / "empty & key.txt").touch()
    keyless = Server(api_key_file=windows_path(root / "empty & key.txt"))
    _, (empty_key, _) = files(engine, model, server=keyless)
    (root / "path").mkdir()
    shutil.copy(wine.standin, root / "path" / "llama-server.exe")
    batches = (no_engine, no_model, working, working, koboldcpp, on_path, empty_key)
    scripts = [put(root / str(i), batch) for i, batch in enumerate(batches)]
    path = f"PATH={windows_path(root / 'path')};C:\\windows\\system32"
    runs = wine.run(scripts, root, ("", "", "STANDIN_CODE=3", "STANDIN_CODE=-1073741819", "", path))
    return Troubles(command, *runs)


def test_a_missing_engine_is_named_and_waits(troubles: Troubles) -> None:
    run = troubles.no_engine
    assert run.code == 4
    assert "The engine was not found." in run.output
    assert '"C:\\gone & lost\\llama-server.exe"' in run.output
    assert "Press" in run.output


def test_a_missing_model_is_named_and_waits(troubles: Troubles) -> None:
    run = troubles.no_model
    assert run.code == 1
    assert "The model was not found." in run.output
    assert '"C:\\gone & lost\\100% ^model!.gguf"' in run.output
    assert "Press" in run.output


def test_an_empty_key_file_starts_nothing(troubles: Troubles) -> None:
    """llama-server would listen without a key."""
    run = troubles.empty_key
    assert (run.code, run.starts) == (1, ())
    assert "The API key file was not found." in run.output
    assert "empty & key.txt" in run.output


def test_the_engines_exit_code_is_kept(troubles: Troubles) -> None:
    assert troubles.failing.code == 3
    assert "exit code 3" in troubles.failing.output
    assert "Press" in troubles.failing.output
    assert troubles.negative.code == -1073741819


def test_koboldcpp_with_its_environment_and_password(troubles: Troubles) -> None:
    (start,) = troubles.koboldcpp.starts
    assert start.argv == troubles.koboldcpp_command.argv
    assert start.env == {
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": "2,0,1", "KCPP_PASSWORD": "geheim & 100%",
    }  # fmt: skip


def test_an_engine_planned_for_is_found_on_path(troubles: Troubles) -> None:
    (start,) = troubles.on_path.starts
    assert start.argv[0] == "llama-server.exe"
