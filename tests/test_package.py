"""The wheel works away from the repository: profiles, examples and the catalog ride inside."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's content, unpacked somewhere else."""
    built = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(built)],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    (wheel,) = built.glob("*.whl")
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
