"""`splitter profile new` and `set`: plans and scripts kept, single values changed."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import TINY, Splitter

SEED = """@echo off
rem my own
koboldcpp.exe --usecuda 0 1 2 --gpulayers 40 --tensor_split 1.5 4.5 3 --contextsize 4096 --model tiny.gguf
"""
ENGINES = {
    "llama-server": ("--engine", "llama-server", "--engine-version", "11434"),
    "koboldcpp": ("--engine", "koboldcpp", "--engine-version", "1.123"),
}
# koboldcpp has no word for "on": without --noflashattention it is on where it can be, which is llama.cpp's "auto".
FLASH = {"llama-server": ("-fa", "on"), "koboldcpp": ()}


@pytest.fixture
def model(tmp_path: Path, splitter: Splitter) -> str:
    """The example model beside the scripts, in the folder where the verbs run."""
    return str(shutil.copy(TINY, str(tmp_path)))


def program(path: Path) -> str:
    """A file that stands for an engine; its version is believed, so it never runs."""
    path.write_text("#!/bin/sh\nexit 1\n")
    path.chmod(0o755)
    return str(path)


def planned(splitter: Splitter, *words: str) -> dict[str, Any]:
    """The settings and the command of a plan, JSON."""
    said = splitter("plan", *words, "--json")
    assert said.code == 0, said.out
    data = said.json()["data"]
    return {"settings": data["settings"], "command": data["command"], "engine": data["engine"]}


@pytest.mark.parametrize(
    ("engine", "suffix", "kind"),
    [(engine, suffix, ()) for engine in ENGINES for suffix in (".bat", ".sh")]
    + [("koboldcpp", ".kcpps", ("--kcpps",)), ("koboldcpp", ".service", ("--systemd",))]
    + [("llama-server", ".service", ("--systemd",))],
)
def test_plan_to_script_to_profile_to_plan(
    splitter: Splitter, model: str, tmp_path: Path, engine: str, suffix: str, kind: tuple[str, ...]
) -> None:
    words: tuple[str, ...] = (*ENGINES[engine], "--rig", "phoenix")
    if suffix == ".service":
        words = (*words, "--engine-path", program(tmp_path / engine))
    options = ("-c", "3072", "-ctk", "q8_0", "-ctv", "q8_0", *FLASH[engine])
    first = planned(splitter, model, *words, *options)
    assert splitter("script", model, *words, *options, "--name", "run", *kind).code == 0
    made = splitter("profile", "new", "mine", "--from", f"run{suffix}", *words, "--json")
    assert made.code == 0, made.out
    again = planned(splitter, "--profile", "mine")
    assert again == first


@pytest.mark.parametrize("engine", ENGINES)
def test_a_plan_is_kept_as_it_is(splitter: Splitter, model: str, engine: str) -> None:
    words = (model, "--gpus", "1050ti,2080,1060-6gb", *ENGINES[engine], "--margin", "300,400,500", "--goal", "context")
    first = planned(splitter, *words)
    made = splitter("profile", "new", "kept", *words)
    assert made.code == 0, made.err
    assert "kept.yaml" in made.err
    assert "gpus: [1050ti, '2080', 1060-6gb]" in made.out
    assert planned(splitter, "--profile", "kept") == first


def test_a_script_of_somebody_else(splitter: Splitter, model: str, tmp_path: Path) -> None:
    (tmp_path / "koboldai.bat").write_text(SEED)
    said = splitter("profile", "new", "seed", "--from", "koboldai.bat", "--rig", "phoenix", "-c", "2048", "--json")
    assert said.code == 0, said.out
    values = said.json()["data"]["values"]
    assert values["settings.tensor_split"] == [1.5, 4.5, 3.0]
    assert (values["settings.context_size"], values["rig.name"]) == (2048, "phoenix")
    assert values["model"] == model
    assert "engine.version" not in values


def test_a_profile_in_a_file_and_a_rig_in_a_file(splitter: Splitter, model: str, tmp_path: Path) -> None:
    assert splitter("rig", "--gpus", "2080", "--save", "my-rig.yaml").code == 0
    assert splitter("profile", "new", "./here.yaml", model, "--rig", "my-rig.yaml").code == 0
    text = (tmp_path / "here.yaml").read_text(encoding="utf-8")
    assert f"file: {tmp_path}/my-rig.yaml" in text
    assert planned(splitter, "--profile", "here.yaml")["settings"]["device_order"] == ["CUDA0"]


def test_set_keeps_comments_and_copies_shipped_profiles(splitter: Splitter, tmp_path: Path) -> None:
    said = splitter("profile", "set", "phoenix", "settings.context_size", "8192", "--json")
    assert said.code == 0, said.out
    data = said.json()["data"]
    assert data["copied"] is True
    text = Path(data["path"]).read_text(encoding="utf-8")
    assert text.startswith("# The rig this project began with")
    assert "context_size: 8192" in text
    assert splitter("profile", "set", "phoenix", "settings.tensor_split", "12,29,24").code == 0
    assert splitter("profile", "set", "phoenix", "settings.mmap", "off").code == 0
    assert splitter("profile", "set", "phoenix", "engine.version", "1.110").code == 0
    values = splitter("profile", "show", "phoenix", "--json").json()["data"]["values"]
    assert values["settings.tensor_split"]["value"] == [12, 29, 24]
    assert values["settings.mmap"]["value"] is False
    assert values["engine.version"]["value"] == "1.110"


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("new", "x"), 2, "no model given"),
        (("new", "x", "--from", "gone.bat"), 2, "gone.bat"),
        (("new", "x", "--from", "notes.txt"), 2, "notes.txt"),
        (("new", "x", "--from", "empty.bat"), 2, "neither koboldcpp nor llama-server"),
        (("new", "x", "--from", "empty.bat", "--profile", "phoenix"), 2, "--from and --profile"),
        (("new", "x", TINY, "--rig", "phoenix", "-ngl", "99", "--margin", "9000"), 3, ""),
        (("new", "taken", TINY, "--rig", "phoenix"), 1, "exists already"),
        (("set", "gone", "goal", "speed"), 1, "gone"),
        (("set", "taken", "ngl", "3"), 1, "settings.gpu_layers"),
        (("set", "taken", "settings.gpu_layers", "many"), 1, "whole number"),
        (("set", "taken", "settings.device_order", "CUDA0"), 1, "2 shares for 1 devices"),
    ],
)
def test_mistakes(splitter: Splitter, tmp_path: Path, words: tuple[str, ...], code: int, says: str) -> None:
    (tmp_path / "empty.bat").write_text("@echo off\n")
    profiles = tmp_path / "config" / "splitter" / "profiles"
    profiles.mkdir(parents=True)
    (profiles / "taken.yaml").write_text("settings: {tensor_split: [1, 2]}\n")
    said = splitter("profile", *words)
    assert said.code == code, said.err
    assert says in said.err
    assert "try:" in said.err
    assert (profiles / "taken.yaml").read_text() == "settings: {tensor_split: [1, 2]}\n"
    assert not (profiles / "x.yaml").exists()


def test_force_replaces(splitter: Splitter, model: str) -> None:
    words = ("profile", "new", "again", model, "--rig", "phoenix")
    assert [splitter(*words).code, splitter(*words).code, splitter(*words, "--force").code] == [0, 1, 0]
