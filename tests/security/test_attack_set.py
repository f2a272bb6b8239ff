"""The metadata attack set (tests/security/attacks.py) by verb; `python -m tests.security` prints the table."""

from pathlib import Path

import pytest

from tests.script.wine import Wine
from tests.security.attacks import ATTACKS, Attack
from tests.security.attempts import RIG, complaints, executed, launch, said, script, words, write_all
from tests.security.kept import instance, measured, planned_page, saved_profile, services

LAUNCHED = ("line breaks", "colour escape", "a template of four mebibytes", "file name for shells")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_all(tmp_path_factory.mktemp("attacks"))


@pytest.fixture(autouse=True)
def nobodys_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for kind in ("CONFIG", "STATE", "DATA"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(tmp_path / kind.lower()))
    monkeypatch.setenv("COLUMNS", "160")


def test_there_are_thirty() -> None:
    assert len({attack.title for attack in ATTACKS}) == len(ATTACKS) >= 30


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.title)
def test_plan_inspect_and_script(attack: Attack, models: dict[str, Path]) -> None:
    model = models[attack.title]
    wrong = said(attack, "plan", str(model), *RIG)
    wrong += said(attack, "inspect", str(model))
    wrong += script(attack, model)
    assert [*wrong, *executed(model.parents[1])] == []


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.title)
def test_what_is_kept_of_it(attack: Attack, models: dict[str, Path]) -> None:
    model = models[attack.title]
    wrong = instance(attack, model) + measured(attack, model) + planned_page(attack, model)
    assert [*wrong, *saved_profile(attack, model), *services(attack)] == []


def test_models_and_doctor(models: dict[str, Path], tmp_path: Path) -> None:
    for at, model in enumerate(models.values()):
        (tmp_path / f"{at} {model.name}").hardlink_to(model)
    for verb in (("models", *RIG), ("models", *RIG, "--json"), ("doctor",)):
        code, out, err = words(*verb)
        broken = {1} if verb == ("doctor",) else set()  # a machine without a GPU has something broken
        assert list(complaints(code, out, err, {0} | broken)) == []
    assert executed(tmp_path) == []


@pytest.mark.parametrize("title", LAUNCHED)
def test_launch(title: str, models: dict[str, Path]) -> None:
    pytest.importorskip("xllamacpp")
    attack = next(attack for attack in ATTACKS if attack.title == title)
    assert [*launch(attack, models[title]), *executed(models[title].parents[1])] == []


@pytest.mark.wine
def test_the_bats_under_wine(wine: Wine, models: dict[str, Path]) -> None:
    """Every .bat that could be written starts the engine once, with the model's name as one word."""
    made = [model for model in models.values() if _bat(model, wine)]
    assert len(made) >= 28
    runs = wine.run([model.parent / "run.bat" for model in made], made[0].parents[1])
    for model, run in zip(made, runs, strict=True):
        assert [model.name in start.argv for start in run.starts] == [True], (model, run.code, run.output)
    assert executed(made[0].parents[1]) == []


def _bat(model: Path, wine: Wine) -> bool:
    code, _, _ = words("script", str(model), *RIG, "-o", str(model.parent), "--name", "run")
    target = model.parent / "llama-server.exe"
    target.unlink(missing_ok=True)
    target.hardlink_to(wine.standin)
    return code == 0
