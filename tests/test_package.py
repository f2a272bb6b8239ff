"""The wheel works away from the repository: profiles, examples and the catalog ride inside; nothing else is needed."""

import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What people install."""
    return build("wheel", tmp_path_factory.mktemp("wheel"))


def build(kind: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's content, unpacked somewhere else."""
    target = tmp_path_factory.mktemp("site")
    zipfile.ZipFile(wheel).extractall(target)
    return target


def splitter(installed: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(installed), "XDG_CONFIG_HOME": str(folder)}
    return subprocess.run(
        [sys.executable, "-P", "-m", "splitter", *words],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )


def test_wheel_is_typed(installed: Path) -> None:
    assert (installed / "splitter" / "py.typed").is_file()


def test_shipped_rigs_profiles_and_model(installed: Path, tmp_path: Path) -> None:
    listed = splitter(installed, tmp_path, "profile", "list", "--json")
    assert {"phoenix", "demo"} <= {item["name"] for item in json.loads(listed.stdout)["data"]["profiles"]}
    plan = splitter(installed, tmp_path, "plan", "--profile", "demo", "--json")
    assert plan.returncode == 0, plan.stderr
    path = json.loads(plan.stdout)["data"]["model"]["path"]
    assert Path(path).is_relative_to(installed)
    assert splitter(installed, tmp_path, "rig", "--rig", "phoenix").returncode == 0


def test_the_name_is_free_and_the_command_is_splitter(wheel: Path) -> None:
    assert wheel.name.startswith("tensor_splitter-")
    with zipfile.ZipFile(wheel) as content:
        (points,) = (name for name in content.namelist() if name.endswith("entry_points.txt"))
        assert "splitter = splitter.cli.main:main" in content.read(points).decode()
        assert {name.split("/")[0] for name in content.namelist()} == {"splitter", points.split("/")[0]}


def test_no_hint_installs_a_strangers_package() -> None:
    """The package index has another `splitter`."""
    texts = (path for folder in ("splitter", "profiles", "docs") for path in (ROOT / folder).rglob("*.*"))
    texts = (path for path in (*texts, *ROOT.glob("*.md")) if path.suffix in {".py", ".md", ".yaml"})
    wrong = r"(?:pip install|pipx install|uv tool install) [-\w ]*['\"]?splitter\b"
    assert [path.name for path in texts if re.search(wrong, path.read_text(encoding="utf-8"))] == []


def test_the_source_distribution_tests_itself(tmp_path: Path) -> None:
    with tarfile.open(build("sdist", tmp_path)) as source:
        names = {name.partition("/")[2] for name in source.getnames()}
    wanted = {"README.md", "pyproject.toml", "examples/tiny.gguf", "launchers/phoenix.bat", "tests/test_package.py"}
    assert wanted <= names


@pytest.fixture(scope="module")
def empty(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that was empty before the wheel was installed into it as README.md says."""
    folder = tmp_path_factory.mktemp("empty")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    install = [str(programs / "python"), "-m", "pip", "install", "-q", "--no-compile", f"{wheel}[embedded]"]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    if "No matching distribution" in done.stderr or "Could not fetch" in done.stderr:
        pytest.skip("no package index can be reached")
    assert done.returncode == 0, done.stderr
    return programs


def in_empty(empty: Path, folder: Path, *words: str) -> str:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    homes = {"XDG_CONFIG_HOME": str(folder), "XDG_DATA_HOME": str(folder), "LOCALAPPDATA": str(folder)}
    done = subprocess.run(words, cwd=folder, env=env | homes, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_an_empty_environment_runs_the_main_job(empty: Path, tmp_path: Path) -> None:
    splitter = str(empty / "splitter")
    assert "tokens" in in_empty(empty, tmp_path, splitter, "demo")
    demo = json.loads(in_empty(empty, tmp_path, splitter, "plan", "--profile", "demo", "--json"))
    words = (demo["data"]["model"]["path"], "--rig", "phoenix", "--json")
    plan = json.loads(in_empty(empty, tmp_path, splitter, "plan", *words))
    assert [device["id"] for device in plan["data"]["devices"]] == ["CUDA1"]
    code = "import sys, splitter; print(splitter.plan(sys.argv[1], rig='phoenix').data()['devices'][0]['id'])"
    assert in_empty(empty, tmp_path, str(empty / "python"), "-c", code, words[0]).strip() == "CUDA1"


def test_without_extras_only_what_the_program_needs_is_installed(empty: Path, tmp_path: Path) -> None:
    listed = json.loads(in_empty(empty, tmp_path, str(empty / "python"), "-m", "pip", "list", "--format", "json"))
    names = {item["name"].lower() for item in listed}
    assert not names & {"gguf", "numpy", "pytest", "splitter"}
    assert "tensor-splitter" in names
