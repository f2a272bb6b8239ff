"""The API answers what `--json` prints, says what it can do, and does long work that can be watched and stopped."""

import json
import time
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import validate

from splitter.app.questions import QUESTIONS
from splitter.cli.main import run
from tests.web.served import Served

pytestmark = pytest.mark.engine
QWEN, TINY, MOE = "models/qwen2.5-32b-q4_k_m.gguf", "models/tiny.gguf", "models/qwen3-30b-a3b-q4_k_m.gguf"
LINE = f"llama-server -m {QWEN} -ngl 40 -ts 1.5,4.5,3 -c 4096"
ONE_CARD = ("--gpus", "3060")

# The question, its values, and the words of a terminal for the same.
SAME: tuple[tuple[str, dict[str, Any], tuple[str, ...]], ...] = (
    ("rig", {"rig": "phoenix"}, ("rig", "--rig", "phoenix")),
    ("rig", {"gpus": "3060,1070"}, ("rig", "--gpus", "3060,1070")),
    ("rig", {"gpus": "rx580,3060", "backend": "vulkan"}, ("rig", "--gpus", "rx580,3060", "--backend", "vulkan")),
    ("rig", {"rig": "nowhere"}, ("rig", "--rig", "nowhere")),
    ("rig", {"gpus": "gtx9999"}, ("rig", "--gpus", "gtx9999")),
    ("cards", {"words": "3060"}, ("rig", "--cards", "3060")),
    ("cards", {}, ("rig", "--cards")),
    ("cards", {"words": "voodoo"}, ("rig", "--cards", "voodoo")),
    ("models", {"rig": "phoenix"}, ("models", "--rig", "phoenix")),
    ("models", {"text": "tiny", "rig": "phoenix"}, ("models", "tiny", "--rig", "phoenix")),
    ("inspect", {"model": TINY}, ("inspect", TINY)),
    ("inspect", {"model": QWEN}, ("inspect", QWEN)),
    ("inspect", {"model": MOE}, ("inspect", MOE)),
    ("inspect", {"model": "missing.gguf"}, ("inspect", "missing.gguf")),
    ("plan", {"model": TINY, "rig": "phoenix"}, ("plan", TINY, "--rig", "phoenix")),
    ("plan", {"model": TINY, "gpus": "3060", "context": 2048}, ("plan", TINY, *ONE_CARD, "-c", "2048")),
    ("plan", {"model": QWEN, "rig": "phoenix", "context_size": 4096, "ubatch_size": 256},
     ("plan", QWEN, "--rig", "phoenix", "-c", "4096", "-ub", "256")),
    ("plan", {"model": QWEN, "rig": "phoenix", "gpu_layers": 40, "tensor_split": [1.5, 4.5, 3], "context": 4096},
     ("plan", QWEN, "--rig", "phoenix", "-ngl", "40", "-ts", "1.5,4.5,3", "-c", "4096")),
    ("plan", {"model": MOE, "gpus": "3060", "n_cpu_moe": 40, "context": 8192},
     ("plan", MOE, *ONE_CARD, "-ncmoe", "40", "-c", "8192")),
    ("plan", {"model": MOE, "gpus": "3060", "goal": "context", "cache_type_k": "q8_0", "cache_type_v": "q8_0"},
     ("plan", MOE, *ONE_CARD, "--goal", "context", "-ctk", "q8_0", "-ctv", "q8_0")),
    ("plan", {"model": TINY, "gpus": "3060", "margin": [512], "workload": "agent"},
     ("plan", TINY, *ONE_CARD, "--margin", "512", "--workload", "agent")),
    ("plan", {"model": QWEN, "gpus": "3060", "gpu_layers": "all", "context": 4096},
     ("plan", QWEN, *ONE_CARD, "-ngl", "all", "-c", "4096")),
    ("plan", {"model": QWEN, "gpus": "3060", "engine": "koboldcpp", "engine_version": "1.123", "context": 4096},
     ("plan", QWEN, *ONE_CARD, "--engine", "koboldcpp", "--engine-version", "1.123", "-c", "4096")),
    ("plan", {"model": TINY, "engine": "embedded"}, ("plan", TINY, "--engine", "embedded")),
    ("plan", {"model": TINY, "gpus": "3060", "verify": True}, ("plan", TINY, *ONE_CARD, "--verify")),
    ("plan", {"model": "models", "gpus": "3060"}, ("plan", "models", *ONE_CARD)),
    ("plan", {}, ("plan",)),
    ("rank", {"model": "models", "rig": "phoenix"}, ("plan", "models", "--rig", "phoenix")),
    ("check", {"command": LINE, "rig": "phoenix"}, ("check", "--command", LINE, "--rig", "phoenix")),
    ("check", {"target": QWEN, "flags": ["-ngl", "99", "-c", "4096"], "gpus": "3060"},
     ("check", QWEN, *ONE_CARD, "-ngl", "99", "-c", "4096")),
    ("check", {"target": TINY, "flags": ["-ngl", "9", "-c", "2048"], "gpus": "3060"},
     ("check", TINY, *ONE_CARD, "-ngl", "9", "-c", "2048")),
    ("check", {}, ("check",)),
    ("ps", {}, ("ps",)),
    ("logs", {"name": "nobody"}, ("logs", "nobody")),
    ("stop", {"names": ["nobody"]}, ("stop", "nobody")),
    ("bench/list", {}, ("bench", "list")),
    ("bench/show", {"id": 77}, ("bench", "show", "77")),
    ("bench/compare", {"first": 1, "second": 2}, ("bench", "compare", "1", "2")),
    ("calibrate/list", {}, ("calibrate", "--list")),
    ("doctor", {}, ("doctor",)),
    ("engine/list", {}, ("engine", "list")),
    ("profile/list", {}, ("profile", "list")),
    ("profile/show", {"name": "phoenix"}, ("profile", "show", "phoenix")),
    ("profile/check", {"name": "demo"}, ("profile", "check", "demo")),
    ("profile/show", {"name": "nobody"}, ("profile", "show", "nobody")),
    ("config", {}, ("config",)),
)  # fmt: skip


def printed(served: Served, words: tuple[str, ...]) -> Any:
    """What the same question prints with --json: in this process, in the server's surroundings."""
    said = StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(said), redirect_stderr(StringIO()):
        for name, value in served.env().items():
            patch.setenv(name, value)
        patch.chdir(served.folder)
        run([*words, "--json"])
    return json.loads(said.getvalue())


def steady(answer: Any) -> Any:
    """Without what moves between two looks: this machine's free RAM."""
    if isinstance(answer, list):
        return [steady(item) for item in answer if not (isinstance(item, dict) and item.get("subject") == "RAM")]
    if isinstance(answer, dict):
        return {name: steady(value) for name, value in answer.items() if name != "ram_free_bytes"}
    return answer


def title(value: Any) -> str:
    return " ".join(value)[:60] if isinstance(value, tuple) else ""


def test_there_are_40_questions() -> None:
    assert len(SAME) >= 40
    assert {name for name, _, _ in SAME} <= set(QUESTIONS)


@pytest.mark.parametrize(("name", "values", "words"), SAME, ids=title)
def test_the_api_answers_what_json_prints(
    served: Served, name: str, values: dict[str, Any], words: tuple[str, ...]
) -> None:
    answer = served.post(f"/api/v1/{name}", values).json()
    said = printed(served, words)
    assert steady(answer) == steady(said)


def test_values_may_stand_in_the_address(served: Served) -> None:
    asked = served.ask(f"/api/v1/plan?model={TINY}&gpus=3060&context=2048&margin=512").json()
    assert steady(asked) == steady(
        served.post("/api/v1/plan", {"model": TINY, "gpus": "3060", "context": 2048, "margin": 512}).json()
    )
    assert asked["data"]["devices"][0]["margin_bytes"] == 512 << 20


def test_what_makes_no_sense_is_said(served: Served) -> None:
    for name, values, status, words in (
        ("plan", {"model": TINY, "contxt": 4096}, 400, "no keyword 'contxt'"),
        ("plan", {"model": TINY, "gpus": "3060", "context": "many"}, 400, "context"),
        ("bench/show", {"id": "seven"}, 400, "whole number"),
        ("bench/show", {}, 400, "id is missing"),
        ("ps", {"all": True}, 400, "does not know 'all'"),
        ("inspect", {"model": "missing.gguf"}, 404, "missing.gguf"),
        ("plan", {"model": QWEN, "gpus": "3060", "gpu_layers": 65, "context": 4096}, 409, "does not fit"),
    ):
        answer = served.post(f"/api/v1/{name}", values)
        item = answer.json()["errors"][0]
        assert answer.status == status, (name, item)
        assert words in item["message"], item


def test_the_description_is_valid_and_whole(served: Served) -> None:
    described = served.ask("/api/v1/openapi.json").json()
    validate(described)
    paths = {path.removeprefix("/api/v1/") for path in described["paths"]}
    assert set(QUESTIONS) <= paths
    assert {"work", "work/{number}", "work/{number}/events", "work/{number}/cancel"} <= paths


def ended(served: Served, number: str, limit_s: float = 90) -> Any:
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        work = served.ask(f"/api/v1/work/{number}").json()["data"]
        if work["ended_at"]:
            return work
        time.sleep(0.2)
    raise AssertionError(work)


def test_long_work_is_watched_and_stopped(served: Served) -> None:
    """A launch is one piece of work, a measurement of what it launched another; a third is stopped on the way."""
    values = {"model": TINY, "engine": "embedded", "context": 2048}
    begun = served.post("/api/v1/bench", {**values, "prompt_tokens": 64, "generate": 16, "repetitions": 2})
    assert begun.status == 202
    number = begun.json()["data"]["id"]
    told = served.ask(f"/api/v1/work/{number}/events").text  # server-sent events, till the end
    states = [json.loads(line[6:]) for line in told.splitlines() if line.startswith("data: ")]
    assert (states[0]["state"], states[-1]["state"]) == ("running", "done")
    assert states[-1]["answer"]["data"]["generation_tokens_per_s"]["median"] > 0
    assert any(state["step"] for state in states)  # which of them is seen depends on when it is looked at
    record = states[-1]["answer"]["data"]["id"]
    assert served.post("/api/v1/bench/show", {"id": record}).json() == printed(served, ("bench", "show", str(record)))

    long = served.post("/api/v1/bench", {**values, "budget": 600, "repetitions": 5000, "save": False}).json()["data"][
        "id"
    ]
    time.sleep(3)
    stopping = served.post(f"/api/v1/work/{long}/cancel", {}).json()["data"]
    assert stopping["state"] in {"stopping", "stopped"}
    assert ended(served, long)["state"] == "stopped"
    assert served.post("/api/v1/ps", {}).json()["data"] == {"instances": []}


def test_a_script_is_written_only_where_it_may(served: Served, folder: Path) -> None:
    values = {"model": TINY, "gpus": "3060", "context": 2048, "name": "start"}
    refused = served.post("/api/v1/script", {**values, "folder": str(folder)})
    assert (refused.status, list(folder.glob("start.*"))) == (400, [])
    written = served.post("/api/v1/script", {**values, "folder": str(folder / "models")}).json()["data"]
    assert [Path(path).name for path in written["files"]] == ["start.bat", "start.sh"]
