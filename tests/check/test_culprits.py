"""Commands that do not fit: the change that is named first, applied to the line itself, makes it fit."""

from dataclasses import replace
from pathlib import Path

import pytest

from splitter.app.checking import oracle
from splitter.engine.engines import ENGINES
from splitter.engine.llama_server.dry_run_rows import seen_dry
from splitter.engine.reading.command import read_command
from splitter.engine.reading.complete import complete_settings
from splitter.engine.reading.edits import line_of
from splitter.engine.reading.judge import Judged, judge
from splitter.engine.reading.value import ReadCommand
from splitter.plan.plan import Plan
from splitter.plan.planner import Planner
from splitter.units import from_mib, to_mib
from tests.check.failing import FAILING, Failing
from tests.engine.oracle import RigRow, dry_run, skeleton
from tests.engine.projectors import write_projector

IDS = [f"{index}-{case.model.rpartition('/')[2]}" for index, case in enumerate(FAILING)]


def judged(case: Failing) -> Judged:
    read = read_command(case.line, version=case.version)
    return judge(
        read,
        case.facts(),
        case.on(),
        oracle(case.facts(), Planner(case.on(), ENGINES[read.kind].rules_of_command(read, case.version))),
        case.version,
    )


def plan_of(read: ReadCommand, case: Failing) -> Plan:
    """What the words of `read` do when they are read again."""
    again = replace(read_command(list(read.argv), read.env, kind=read.kind, version=case.version), fork=read.fork)
    settings = complete_settings(again, case.facts(), case.on(), case.version).settings
    return oracle(case.facts(), Planner(case.on(), ENGINES[read.kind].rules_of_command(read, case.version))).evaluate(
        case.on(), settings
    )


def test_there_are_enough() -> None:
    assert len(FAILING) >= 20


@pytest.mark.parametrize("case", FAILING, ids=IDS)
def test_the_change_named_first_makes_it_fit(case: Failing) -> None:
    found = judged(case)
    assert not found.plan.fits()
    assert found.remedy is not None
    assert found.instead is not None
    assert case.blamed in (found.culprit or "")
    assert plan_of(found.instead, case).fits()


# llama-fit-params knows neither koboldcpp's flags nor -kvu.
LOCAL = [case for case in FAILING if not case.line.startswith("koboldcpp") and "-np" not in case.line]


@pytest.mark.engine
@pytest.mark.parametrize("case", LOCAL, ids=[case.line[-40:] for case in LOCAL])
def test_the_real_dry_run_accepts_it(case: Failing) -> None:
    found = judged(case)
    assert found.instead is not None
    plan = plan_of(found.instead, case)
    order = plan.settings.device_order
    rows: list[RigRow] = [
        (d.name, int(to_mib(d.total_bytes)), int(to_mib(d.free_bytes)), int((d.bandwidth_bytes_per_s or 0) / 1e9))
        for d in case.on().devices
    ]
    real = dry_run(case.path(), rows, ["-dev", ",".join(order), *_without(found.instead.argv[1:], "-m", "-dev")])
    beside = [  # what the dry run counts beside the server
        seen.breakdown_bytes() - use.breakdown_bytes()
        for seen, use in zip(seen_dry(plan).devices, plan.footprint.devices, strict=True)
    ]
    for planned, held, more in zip(plan.devices, real, beside, strict=False):
        used = from_mib(held.model_mib + held.context_mib + held.compute_mib) - more + planned.memory.overhead_bytes()
        assert used <= planned.device.free_bytes, planned.device.id


def _without(argv: tuple[str, ...], *flags: str) -> list[str]:
    kept, skip = [], False
    for word in argv:
        if not skip and word not in flags:
            kept.append(word)
        skip = word in flags
    return kept


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A projector of true size."""
    return write_projector(tmp_path_factory.mktemp("beside") / "mmproj.gguf", "gemma3", 5376)


def by_line(line: str, rig_name: str, model: str = "gemma-3-27b-q4_k_m", version: str | None = None) -> Judged:
    return judged(Failing(model, rig_name, line, "", version))


def test_a_projector_moves_to_the_card_that_has_room(beside: Path) -> None:
    line = f"llama-server -m x.gguf --mmproj {beside} -ngl 63 -ts 37,26 -c 8192 -ub 512"
    found = by_line(line, "RTX 3060+RTX 3090")
    assert not found.plan.fits()
    assert found.culprit is not None
    assert found.culprit.startswith("the projector lies on a card that has no room for it; put the projector on CUDA1")
    assert found.instead is not None
    assert found.instead.argv[-2:] == ("-mmdev", "CUDA1")


def test_koboldcpp_keeps_a_projector_on_the_cpu(beside: Path) -> None:
    placed = "--usecuda normal --gpulayers 63 --tensor_split 39 24 --contextsize 8192"
    line = f"koboldcpp --model x.gguf --mmproj {beside} {placed}"
    found = by_line(line, "RTX 3060+RTX 3090", version="1.117")
    assert not found.plan.fits()
    assert found.instead is not None
    assert found.remedy is not None
    assert found.remedy.plan.fits()
    assert "--mmprojcpu" in found.instead.argv or "tensor_split" in found.remedy.names()


def test_a_draft_model_moves_to_the_card_that_has_room() -> None:
    draft = skeleton("qwen2.5-3b-q4_k_m")
    line = f"llama-server -m x.gguf -md {draft} --spec-type draft-simple -ngl 65 -ts 31,34 -c 8192 -devd CUDA0"
    found = by_line(line, "RTX 3060+RTX 3090", "qwen2.5-32b-q4_k_m")
    assert not found.plan.fits()
    assert found.culprit is not None
    assert "the draft model lies on a card that has no room for it; put the draft model on CUDA1" in found.culprit
    assert found.instead is not None
    assert found.instead.argv[found.instead.argv.index("-devd") + 1] == "CUDA1"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("CUDA_VISIBLE_DEVICES=1,0 llama-server -m 'a b.gguf'", "CUDA_VISIBLE_DEVICES=1,0 llama-server -m 'a b.gguf'"),
        ('set CUDA_VISIBLE_DEVICES=1&& llama-server.exe -m "a b.gguf"',
         'set "CUDA_VISIBLE_DEVICES=1"&& llama-server.exe -m "a b.gguf"'),
        ('$env:CUDA_VISIBLE_DEVICES="1"; & "C:\\Program Files\\llama-server.exe" -m x.gguf -ts 1,2',
         "$env:CUDA_VISIBLE_DEVICES = '1'; & 'C:\\Program Files\\llama-server.exe' -m x.gguf -ts '1,2'"),
        ("sudo taskset -c 0-7 llama-server -m x", "sudo taskset -c 0-7 llama-server -m x"),
        ("docker run --gpus device=1 -e A=b ghcr.io/ggml-org/llama.cpp:server-cuda -m /x",
         "docker run --gpus device=1 -e A=b ghcr.io/ggml-org/llama.cpp:server-cuda -m /x"),
    ],
)  # fmt: skip
def test_a_command_is_shown_as_its_own_shell_wants_it(text: str, line: str) -> None:
    read = read_command(text)
    assert line_of(read) == line
    again = read_command(line)
    assert (again.argv, again.env, again.model) == (read.argv, read.env, read.model)
