"""launchers/ holds the scripts of the shipped profiles, exactly as they are generated today.

After a change that moves a plan or a script: SPLITTER_UPDATE=1 pytest tests/script/test_launchers.py, and look at the
difference. Planned without a network, an engine or the tester's machine: headers with the models' true shapes, the
profiles' own rigs, the flags of the newest releases.
"""

import os
import re
import shutil
import subprocess
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from splitter.engine.command import EngineCommand, EngineRef
from splitter.engine.commands import build_command
from splitter.model.load import load_model
from splitter.plan.plan import Plan
from splitter.plan.solve import solve
from splitter.profile.files import load_profile, shipped
from splitter.profile.profile import ProfileTask, to_request
from splitter.rig.device import Host, Rig
from splitter.rig.files import load_rig
from splitter.script.download import download_name
from splitter.script.file import ScriptFile
from splitter.script.render import render
from tests.profile.shapes import EXAMPLES, SHAPES, profile_facts
from tests.script.made import put
from tests.script.wine import Run, Wine

LAUNCHERS = Path(__file__).parents[2] / "launchers"
UPDATE = os.environ.get("SPLITTER_UPDATE") == "1"
NAMES = sorted((*SHAPES, "demo"))


def demo_plan(task: ProfileTask) -> Plan:
    """The demo runs anywhere: no card, and the example model by its place in the repository."""
    facts = load_model(str(EXAMPLES / "tiny.gguf"))
    request = replace(task.request, fixed={**task.request.fixed, "gpu_layers": 0})
    return solve(replace(facts, path="../examples/tiny.gguf"), Rig("any machine", Host(), ()), request)


@cache
def generated(profile: str) -> tuple[EngineCommand, tuple[ScriptFile, ...]]:
    """The command of a shipped profile, and its .bat and .sh."""
    task = to_request(load_profile(profile))
    if profile == "demo":
        plan = demo_plan(task)
    else:
        plan = solve(profile_facts(profile), load_rig(task.rig.name or ""), task.request)
    command = build_command(plan, EngineRef(task.engine.kind), task.server)
    return command, render(plan, command, name=profile, remake=f"splitter script --profile {profile} -o launchers")


@pytest.mark.parametrize("profile", NAMES)
def test_a_launcher_is_what_its_profile_gives(profile: str) -> None:
    for file in generated(profile)[1]:
        path = LAUNCHERS / file.name
        if UPDATE:
            path.write_bytes(file.content)
            path.chmod(0o755 if file.executable else 0o644)
        assert path.read_bytes() == file.content, f"{path.name} is stale: SPLITTER_UPDATE=1 pytest {__file__}"
        assert os.access(path, os.X_OK) == file.executable


def test_every_shipped_profile_has_its_launchers_and_nothing_else_lies_there() -> None:
    assert sorted(profile.name for profile in shipped()) == NAMES
    assert sorted(path.name for path in LAUNCHERS.iterdir()) == sorted(
        f"{n}{s}" for n in NAMES for s in (".bat", ".sh")
    )


def test_launchers_know_nothing_of_the_machine_that_made_them() -> None:
    for path in LAUNCHERS.iterdir():
        text = path.read_text(encoding="utf-8")
        assert str(Path.home()) not in text
        assert not re.search(r"/(?:home|root|tmp|work|usr)/|[A-Z]:\\", text), path.name


def beside(command: EngineCommand, engine: str) -> tuple[str, ...]:
    """The argv when engine and model lie beside the launcher."""
    model = download_name(command.model_path)
    return (engine, *(model if word == command.model_path else word for word in command.argv[1:]))


@pytest.mark.parametrize("profile", SHAPES)
def test_the_sh_starts_what_lies_beside_it(profile: str, tmp_path: Path) -> None:
    command, (_, sh) = generated(profile)
    folder = tmp_path / "any folder"
    script = put(folder, sh)
    without = subprocess.run([script], cwd=tmp_path, env={"PATH": "/bin"}, capture_output=True, text=True, check=False)
    assert (without.returncode, "download it from: https://github.com/" in without.stderr) == (4, True)
    engine = folder / command.engine.kind
    engine.write_text('#!/bin/sh\nprintf \'%s\\0\' "${0##*/}" "$@"\n')
    engine.chmod(0o755)
    no_model = subprocess.run([script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (no_model.returncode, "download it from: https://huggingface.co/" in no_model.stderr) == (1, True)
    model = download_name(command.model_path)
    (folder / model).touch()
    if command.server.api_key_file:
        (folder / command.server.api_key_file).touch()
        empty = subprocess.run([script], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (empty.returncode, empty.stdout) == (1, ""), empty.stderr
        (folder / command.server.api_key_file).write_text("key\n")
    done = subprocess.run([script], cwd=tmp_path, capture_output=True, text=True, check=True)
    found = [f"./{model}" if word == model else word for word in beside(command, engine.name)]
    assert done.stdout.split("\0")[:-1] == found


@pytest.fixture(scope="module")
def bats(wine: Wine, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Run, Run]]:
    """Each .bat run from another folder: alone, then beside its engine and model."""
    root = tmp_path_factory.mktemp("launchers")
    alone, complete = root / "alone", root / "any folder"
    scripts = [put(folder, generated(profile)[1][0]) for profile in SHAPES for folder in (alone, complete)]
    for kind in ("koboldcpp", "llama-server"):
        shutil.copy(wine.standin, complete / f"{kind}.exe")
    for profile in SHAPES:
        command, _ = generated(profile)
        (complete / download_name(command.model_path)).touch()
    (complete / "splitter-keys.txt").write_text("key\n")
    runs = wine.run(scripts, root)
    return dict(zip(SHAPES, zip(runs[::2], runs[1::2], strict=True), strict=True))


@pytest.mark.wine
@pytest.mark.parametrize("profile", SHAPES)
def test_the_bat_starts_what_lies_beside_it(profile: str, bats: dict[str, tuple[Run, Run]]) -> None:
    command, _ = generated(profile)
    alone, complete = bats[profile]
    assert (alone.code, alone.starts) == (4, ())
    assert 'download it from: "https://github.com/' in alone.output
    assert [start.argv for start in complete.starts] == [beside(command, f".\\{command.engine.kind}.exe")]
    assert complete.code == 0
