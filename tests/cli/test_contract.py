"""Every verb that reports: one JSON object of the agreed shape, the right exit code, words elsewhere."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import TINY, Splitter
from tests.cli.contract import ENVELOPE, PLAN, mistakes
from tests.engine.oracle import skeleton


def test_plan_has_the_agreed_shape(splitter: Splitter) -> None:
    said = splitter("plan", TINY, "--rig", "phoenix", "--json")
    assert said.code == 0
    document = said.json()
    assert mistakes(document, {**ENVELOPE, "data": PLAN}) == []
    assert (document["version"], document["command"], document["status"]) == (1, "plan", "ok")
    assert said.err == ""


def test_plan_totals_add_up(splitter: Splitter) -> None:
    data = splitter("plan", TINY, "--rig", "phoenix", "--json").json()["data"]
    assert data["devices"], "a small model still takes one card"
    for device in data["devices"]:
        parts = ("model_bytes", "context_bytes", "compute_bytes", "overhead_bytes")
        assert device["used_bytes"] == sum(device[part] for part in parts)
        left = device["free_bytes"] - device["used_bytes"] - device["margin_bytes"]
        assert device["headroom_bytes"] == left >= 0
    assert [d["id"] for d in data["devices"]] == data["settings"]["device_order"]
    placed = sorted(layer for device in data["devices"] for layer in device["layers"])
    assert placed == list(range(data["model"]["layers"]))


def test_check_answers_with_data_when_it_does_not_fit(splitter: Splitter) -> None:
    said = splitter("check", TINY, "-ngl", "99", "-c", "2048", "--gpus", "gt 1030", "--margin", "2040", "--json")
    assert said.code == 3
    document = said.json()
    assert document["status"] == "does_not_fit"
    assert mistakes(document["data"], PLAN) == []


def test_check_says_when_the_engine_would_refuse(splitter: Splitter) -> None:
    line = "koboldcpp --usecuda normal --gpulayers 9 --tensor_split 1,2,1 --model m.gguf"
    said = splitter("check", TINY, "--command", line, "--rig", "phoenix", "--json")
    assert said.code == 1
    assert said.json()["status"] == "error"
    assert said.json()["errors"]
    assert mistakes(said.json()["data"], PLAN) == []
    assert "would not start" in splitter("check", TINY, "--command", line, "--rig", "phoenix").out


def test_plan_that_cannot_fit_exits_3(splitter: Splitter) -> None:
    said = splitter("plan", TINY, "--rig", "phoenix", "-ngl", "99", "--margin", "9000", "--json")
    assert said.code == 3
    document = said.json()
    assert document["status"] == "does_not_fit"
    assert document["data"] is None
    assert document["errors"][0]["code"] == "does_not_fit"
    assert document["errors"][0]["hint"]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("plan", "missing.gguf", "--rig", "phoenix"), 1, "missing.gguf"),
        (("plan", TINY, "--rig", "no-such-rig"), 1, "no-such-rig"),
        (("plan", TINY, "--gpus", "gtx 9999"), 1, "9999"),
        (("plan", TINY, "--rig", "phoenix", "--gpus", "2080"), 2, "--gpus"),
        (("plan", TINY, "--rig", "phoenix", "-c", "many"), 2, "-c"),
        (("plan", TINY, "--rig", "phoenix", "-ts", "a,b"), 2, "-ts"),
        (("plan", TINY, "--rig", "phoenix", "-ctk", "q9"), 2, "q9"),
        (("plan", TINY, "--rig", "phoenix", "-dev", "CUDA7"), 2, "CUDA7"),
        (("plan", TINY, "--no-such-flag"), 2, "--no-such-flag"),
        (("plan", "--rig", "phoenix"), 2, "model"),
        (("plan", TINY, "--profile", "no-such-profile"), 1, "no-such-profile"),
        (("no-such-verb",), 2, "no-such-verb"),
        (("plan", TINY, "--rig", "phoenix", "--engine-path", "/nowhere/llama-server"), 4, "/nowhere"),
        (("bench", TINY, "--url", "http://127.0.0.1:1"), 2, "--url"),
    ],
)
def test_mistakes_get_one_sentence(splitter: Splitter, words: tuple[str, ...], code: int, says: str) -> None:
    said = splitter(*words)
    assert said.code == code, said.err
    assert says in said.err
    assert "Traceback" not in said.err
    assert "try:" in said.err
    as_json = splitter(*words, "--json")
    assert as_json.code == code
    assert as_json.json()["errors"][0]["message"]
    assert as_json.json()["data"] is None


def test_no_device_is_exit_5(splitter: Splitter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setenv("PATH", "")
    said = splitter("plan", TINY)
    assert said.code == 5
    assert "--rig" in said.err


def test_a_rig_without_devices_is_shown_and_exits_5(splitter: Splitter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setenv("PATH", "")
    said = splitter("rig", "--json")
    assert said.code == 5
    assert said.json()["status"] == "error"
    assert said.json()["data"]["devices"] == []
    assert said.json()["data"]["host"]["ram_total_bytes"] > 0
    assert said.json()["errors"][0]["code"] == "no_device"


def test_cpu_only_needs_no_device(splitter: Splitter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    said = splitter("plan", TINY, "-ngl", "0", "--json")
    assert said.code == 0, said.err
    assert said.json()["data"]["devices"] == []


def test_inspect(splitter: Splitter) -> None:
    data = splitter("inspect", TINY, "--json").json()["data"]
    assert data["model"]["architecture"] == "llama"
    assert data["kv_bytes_per_token"] > 0
    assert sum(data["layer_bytes"]) > 0
    assert "KV per token" in splitter("inspect", TINY).out


def test_rig_saves_what_it_shows(splitter: Splitter, tmp_path: Path) -> None:
    saved = tmp_path / "mine.yaml"
    first = splitter("rig", "--gpus", "1050ti,2080,1060-6gb", "--save", str(saved), "--json")
    again = splitter("rig", "--rig", str(saved), "--json")
    keys = ("id", "name", "total_bytes", "free_bytes", "bandwidth_bytes_per_s", "compute_capability")
    shown = [[{k: d[k] for k in keys} for d in said.json()["data"]["devices"]] for said in (first, again)]
    assert shown[0] == shown[1]
    assert len(shown[0]) == 3


def test_profiles_are_listed_and_shown(splitter: Splitter) -> None:
    names = {item["name"] for item in splitter("profile", "list", "--json").json()["data"]["profiles"]}
    assert {"phoenix", "demo"} <= names
    shown = splitter("profile", "show", "phoenix", "--json").json()["data"]["values"]
    assert shown["engine.kind"]["value"] == "koboldcpp"
    assert "phoenix.yaml" in shown["engine.kind"]["source"]


def test_script_writes_both(splitter: Splitter, tmp_path: Path) -> None:
    said = splitter("script", TINY, "--rig", "phoenix", "-o", str(tmp_path / "out"), "--json")
    assert said.code == 0, said.err
    suffixes = {Path(path).suffix for path in said.json()["data"]["files"]}
    assert suffixes == {".bat", ".sh"}
    assert all(Path(path).is_file() for path in said.json()["data"]["files"])


def test_a_scripts_json_names_its_files_as_the_script_does(splitter: Splitter, tmp_path: Path) -> None:
    """From the root: the script may lie and run anywhere."""
    (tmp_path / "api.key").write_text("a key\n", encoding="utf-8")
    said = splitter("script", TINY, "--rig", "ampere-mix", "--api-key-file", "api.key", "-o", "out", "--json")
    data = said.json()["data"]
    argv, shell = data["argv"], next(Path(path) for path in data["files"] if path.endswith(".sh"))
    assert argv[argv.index("--api-key-file") + 1] == str(tmp_path / "api.key")
    assert str(tmp_path / "api.key") in shell.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "words",
    [
        ("plan", TINY, "--rig", "phoenix"),
        ("plan", str(Path(TINY).parent), "--rig", "phoenix"),
        ("check", TINY, "-ngl", "3", "--rig", "phoenix"),
        ("check", TINY, "-ngl", "999", "-c", "2000000", "--gpus", "gt 1030"),
        ("script", TINY, "--rig", "phoenix", "-o", "scripts"),
        ("profile", "new", "mine.yaml", TINY, "--rig", "phoenix", "--force"),
    ],
)
def test_save_writes_the_json(splitter: Splitter, tmp_path: Path, words: tuple[str, ...]) -> None:
    """The object that --json prints, with and without it."""
    target = tmp_path / "said.json"
    shown = splitter(*words, "--save", str(target))
    assert f"wrote {target}" in shown.err.replace("\n", "")
    saved = json.loads(target.read_text(encoding="utf-8"))
    printed = splitter(*words, "--save", str(target), "--json")
    assert printed.json() == json.loads(target.read_text(encoding="utf-8"))
    assert (saved["command"], saved["status"]) == (words[0], printed.json()["status"])
    refused = splitter(*words, "--save", str(tmp_path / "no" / "plan.json"))
    assert refused.code == 2


def test_help_shows_examples(splitter: Splitter) -> None:
    for verb in ("rig", "inspect", "plan", "check", "script", "launch", "bench", "demo"):
        said = splitter(verb, "--help")
        assert said.code == 0
        assert f"splitter {verb}" in said.out
        assert "Example" in said.out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_completion_is_offered(shell: str) -> None:
    env = {**os.environ, "_SPLITTER_COMPLETE": f"source_{shell}"}
    done = subprocess.run(
        [Path(sys.executable).parent / "splitter"], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert "splitter" in done.stdout


@pytest.mark.parametrize(
    ("engine", "version"),
    [("koboldcpp", "1.123"), ("koboldcpp", "1.115.1"), ("koboldcpp", "1.92"), ("koboldcpp", "1.76"),
     ("llama-server", "b11434"), ("llama-server", "b7500"), ("llama-server", "b5000"), ("llama-server", "b4000")],
)  # fmt: skip
@pytest.mark.parametrize("model", ["qwen2.5-32b-q4_k_m", "qwen3-30b-a3b-q4_k_m", "qwen2.5-7b-q8_0"])
def test_every_version_gets_a_plan_that_it_can_be_told(
    splitter: Splitter, engine: str, version: str, model: str
) -> None:
    said = splitter("plan", str(skeleton(model)), "--rig", "phoenix", "--engine", engine, "--engine-version", version)
    assert said.code == 0, said.err


def test_slots_mean_what_llama_server_means(splitter: Splitter) -> None:
    def settings(*words: str) -> Any:
        data = splitter("plan", TINY, "--rig", "phoenix", "--json", *words).json()["data"]
        argv = data["command"]["argv"]
        return data["settings"]["kv_unified"], argv[argv.index("-np") : argv.index("--host")] if "-np" in argv else []

    assert settings() == (True, [])
    assert settings("-np", "1") == (True, ["-np", "1"])
    assert settings("-np", "2") == (False, ["-np", "2"])


def test_an_override_to_a_card_keeps_the_card(splitter: Splitter) -> None:
    said = splitter("plan", TINY, "--rig", "phoenix", "-ot", r"blk\.3\.ffn=CUDA2", "--json")
    assert said.code == 0, said.out
    assert "CUDA2" in said.json()["data"]["settings"]["device_order"]


@pytest.mark.parametrize("columns", ["40", "60", "80"])
def test_narrow_terminals_lose_no_figure(splitter: Splitter, monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    said = " ".join(splitter("plan", TINY, "--rig", "phoenix").out.split())
    for word in ("layers", "model", "context", "compute", "other", "margin", "used", "free", "left"):
        assert word in said
