"""-md and -mm on the command line: planned, written, and read back with the same figures."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import TINY, Splitter
from tests.engine.projectors import write_projector

GPUS = ("--gpus", "1050ti,2080", "--engine-version", "11434", "-c", "2048", "--margin", "256")


@pytest.fixture
def projector(tmp_path: Path) -> str:
    return str(write_projector(tmp_path / "mmproj.gguf", "mlp", 128))


def test_a_plan_with_both_is_what_check_says_of_its_command(splitter: Splitter, projector: str) -> None:
    planned = splitter("plan", TINY, *GPUS, "-md", TINY, "-mm", projector, "--json").json()["data"]
    settings, argv = planned["settings"], planned["command"]["argv"]
    home = settings["draft_device_order"]
    assert argv[argv.index("-devd") + 1] == home[0]
    assert argv[argv.index("-mmdev") + 1] == settings["mmproj_device"]
    held = {device["id"]: device["overhead"] for device in planned["devices"]}
    assert held[home[0]]["draft model"] > 0
    assert held[settings["mmproj_device"]]["projector"] > 500 << 20
    assert planned["host"]["overhead"]["draft model"] > 0
    said = splitter("check", "--command", planned["command"]["line"], *GPUS[:4], "--margin", "256", "--json")
    checked = said.json()["data"]
    assert said.code == 0, said.err
    assert [device["used_bytes"] for device in checked["devices"]] == [d["used_bytes"] for d in planned["devices"]]
    assert "extra_models" not in {warning["code"] for warning in checked["warnings"]}


def test_the_report_names_the_homes(splitter: Splitter, projector: str) -> None:
    said = splitter("plan", TINY, *GPUS, "-md", TINY, "-mm", projector)
    assert "the draft model goes to CUDA" in said.out
    assert "the projector goes to CUDA" in said.out
    assert "other: CUDA context, reserves, draft model, projector" in " ".join(said.out.split())


def test_wishes_about_homes_are_obeyed(splitter: Splitter, projector: str) -> None:
    words = ("-md", TINY, "-devd", "CUDA0", "-mm", projector, "-mmdev", "none")
    planned = splitter("plan", TINY, *GPUS, *words, "--json").json()["data"]
    assert planned["settings"]["draft_device_order"] == ["CUDA0"]
    assert planned["settings"]["mmproj_device"] == "none"
    assert "--no-mmproj-offload" in planned["command"]["argv"]
    assert planned["host"]["overhead"]["projector"] > 500 << 20


def test_check_warns_of_models_that_it_cannot_read(splitter: Splitter) -> None:
    line = f"llama-server -m {TINY} -ngl 99 -c 512 --fit off -md nowhere.gguf --spec-type draft-simple"
    checked = splitter("check", "--command", line, *GPUS[:4], "--json").json()["data"]
    warning = next(warning for warning in checked["warnings"] if warning["code"] == "extra_models")
    assert "nowhere.gguf" in warning["message"]


def test_a_file_of_another_kind_is_refused(splitter: Splitter, projector: str) -> None:
    for words, flag in ((("-md", projector), "-md"), (("-mm", TINY), "-mm")):
        said = splitter("plan", TINY, *GPUS, *words, "--json")
        assert said.code == 1
        assert f"{flag} takes a " in json.loads(said.out)["errors"][0]["message"]


def test_koboldcpp_is_told_the_home_by_its_split(splitter: Splitter, projector: str) -> None:
    kobold = ("--engine", "koboldcpp", "--engine-version", "1.123")
    words = (*GPUS[:2], "-c", "2048", *kobold, "--device", "CUDA1,CUDA0", "-ts", "5,4", "-md", TINY, "-devd", "CUDA0")
    argv = splitter("plan", TINY, *words, "--json").json()["data"]["command"]["argv"]
    split = argv.index("--draftgpusplit")
    assert argv[split + 1 : split + 3] == ["0", "1"]
    said = splitter("plan", TINY, *GPUS[:2], "-c", "2048", *kobold, "-mm", projector, "--json")
    assert "--mmprojcpu" not in said.json()["data"]["command"]["argv"]
