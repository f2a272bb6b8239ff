"""Commands for older llama-server builds use only what the build knew, by recorded facts of each (llama_help/)."""

import random
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from splitter.engine.command import EngineRef, Server
from splitter.engine.commands import build_command
from splitter.engine.llama_server.versions import DEVICE_BUILD
from splitter.errors import UsageError
from splitter.plan.plan import Plan
from tests.commands.plans import facts, plan
from tests.commands.random_plans import llama_settings

HELP = Path(__file__).parent / "llama_help"
BUILDS = tuple(sorted(int(path.stem[1:]) for path in HELP.glob("b*.txt")))
Flag = tuple[int, tuple[str, ...]]
ALL_CARDS = ("CUDA0", "CUDA1", "CUDA2")


@cache
def known(build: int) -> dict[str, Flag]:
    """Every spelling the build takes: number of values, choices (() when any)."""
    found: dict[str, Flag] = {}
    for line in (HELP / f"b{build}.txt").read_text(encoding="utf-8").splitlines():
        row = re.fullmatch(r"(-.*) : (\d)(?: (\S+))?", line)
        if row:
            flag = int(row[2]), tuple((row[3] or "").split(",")) if row[3] else ()
            found |= dict.fromkeys(row[1].split(), flag)
    return found


def command(planned: Plan, build: int) -> list[str]:
    server = Server(port=8081, api_key_file="/etc/key")
    return list(build_command(planned, EngineRef("llama-server", "/bin/llama-server", str(build)), server).argv[1:])


def misuse(argv: list[str], build: int) -> list[str]:
    """What the build would not take of `argv`, in words."""
    flags, at = known(build), 0
    wrong: list[str] = []
    while at < len(argv):
        name = argv[at]
        if name not in flags:
            return [*wrong, f"{name} is not known"]
        count, choices = flags[name]
        values = argv[at + 1 : at + 1 + count]
        if choices and values[0] not in choices:
            wrong.append(f"{name} takes no {values[0]}")
        at += 1 + count
    return wrong


def test_the_facts_are_there() -> None:
    assert BUILDS == (3640, 4875, 6150, 7710, 8672, 9113)
    assert [known(build)["-fa"][0] for build in BUILDS] == [0, 0, 0, 1, 1, 1]
    assert ["--fit" in known(build) for build in BUILDS] == [False, False, False, True, True, True]
    assert ["tensor" in known(build)["-sm"][1] for build in BUILDS] == [False, False, False, False, False, True]
    assert misuse(["-fa", "on"], 6150) == ["on is not known"]
    assert misuse(["-sm", "tensor", "--load-mode", "none"], 8672) == ["-sm takes no tensor", "--load-mode is not known"]


def written_or_refused(settings: dict[str, Any], build: int) -> list[str] | UsageError:
    try:
        return command(plan(model=facts(layers=5), **settings), build)
    except UsageError as error:
        return error


@pytest.mark.parametrize("build", BUILDS)
def test_two_hundred_random_plans_use_only_what_the_build_knows(build: int) -> None:
    """Or they are refused with a sentence that names the build, and a next step."""
    rng = random.Random(build)
    drawn, written, refused = 0, 0, set()
    while drawn < 200 or written < 40:  # the oldest builds refuse most of what is drawn
        drawn += 1
        settings: dict[str, Any] = {
            **llama_settings(rng, 5),
            "mmproj_device": rng.choice([None, "none", "CUDA1"]),
            "draft_device_order": rng.choice([None, (), ("CUDA1", "CUDA0")]),
        }
        if build < DEVICE_BUILD and len(settings["device_order"]) == 3:
            settings["device_order"] = ALL_CARDS
        made = written_or_refused(settings, build)
        if isinstance(made, UsageError):
            assert made.hint
            refused.add(
                re.sub(r" to use .*", " to use some cards", made.message).removeprefix(f"llama.cpp build {build} ")
            )
            continue
        written += 1
        assert misuse(made, build) == [], made
    print(f"build {build}: {written} of {drawn} plans written; refused: {'; '.join(sorted(refused)) or 'nothing'}")
    assert all(not sentence.startswith("llama.cpp") for sentence in refused)
    assert bool(refused) is (build < 9113)


@pytest.mark.parametrize(
    ("build", "settings", "sentence"),
    [
        (3640, {}, "cannot be told to use CUDA2, CUDA0, CUDA1"),
        (3640, {"device_order": ALL_CARDS, "cache_type_k": "bf16"}, "no cache type bf16"),
        (3640, {"device_order": ALL_CARDS, "draft_model": "/d.gguf"}, "no draft model"),
        (4875, {"override_tensors": ("exps=CPU",)}, "no -ot"),
        (4875, {"mmproj": "/p.gguf"}, "no projector"),
        (4875, {"op_offload": False}, "no --no-op-offload"),
        (4875, {"n_cpu_moe": 3}, "no -ncmoe"),
        (4875, {"cpu_moe": True}, "no -ncmoe and -cmoe"),
        (8672, {"split_mode": "tensor"}, "no split mode tensor"),
    ],
)
def test_what_a_build_cannot_say_is_refused(build: int, settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence) as caught:
        command(plan(**settings), build)
    assert re.search(r"or take build \d+ or newer", caught.value.hint)


@pytest.mark.parametrize(
    ("build", "settings", "expected"),
    [
        (3640, {"device_order": ALL_CARDS}, "-ngl 65 -sm layer -ts 31,9,25"),
        (3640, {"device_order": (), "tensor_split": ()}, "-c 4096 -ngl 0 -b"),
        (4875, {"swa_full": True}, "-fa -np"),
        (6150, {"swa_full": True}, "--swa-full"),
        (6150, {"mmproj": "/p.gguf"}, "--mmproj /p.gguf"),
        (6150, {"mmap": False}, "--no-mmap"),
        (7710, {"flash_attention": "off"}, "-fa off"),
        (9113, {"split_mode": "tensor"}, "-sm tensor"),
    ],
)
def test_how_a_build_says_it(build: int, settings: dict[str, Any], expected: str) -> None:
    assert expected in " ".join(command(plan(**settings), build))


def test_an_old_build_caches_the_whole_context_of_a_sliding_window() -> None:
    model = facts(attention__sliding_window=1024)
    with pytest.raises(UsageError, match="full-size cache for sliding-window layers") as caught:
        command(plan(model=model), 4875)
    assert "--swa-full" in caught.value.hint
    assert "--swa-full" not in command(plan(model=model, swa_full=True), 4875)
    assert "--swa-full" not in command(plan(model=model), 6150)
