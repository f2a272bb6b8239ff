"""One case per trap: a command that falls into it and the same command that does not."""

from dataclasses import replace
from functools import cache

import pytest

from splitter.engine.command import EngineRef, Server
from splitter.engine.commands import build_command
from splitter.engine.engines import rules_of
from splitter.engine.reading.command import read_command
from splitter.engine.reading.complete import complete_settings
from splitter.engine.reading.script import read_script
from splitter.engine.reading.traps import all_findings, find_traps
from splitter.model.facts import ModelFacts
from splitter.model.load import load_model
from splitter.plan.evaluate import evaluate
from splitter.plan.plan import Notice
from splitter.plan.request import Request
from splitter.plan.solve import solve
from splitter.script.render import render
from tests.check.builders import SEED, rig
from tests.engine.oracle import skeleton

PCI = "CUDA_DEVICE_ORDER=PCI_BUS_ID "
LLAMA = PCI + "llama-server -m m.gguf --fit off -dev CUDA0,CUDA2,CUDA1 -ngl 40 -ts 6,14,20 -c 4096"
KOBOLD = (
    "CUDA_VISIBLE_DEVICES=0,2,1 koboldcpp --usecuda normal --gpulayers 40 --tensor_split 6 14 20 --contextsize 4096 "
    "--host 127.0.0.1 --model m.gguf"
)


@cache
def model(name: str = "qwen2.5-32b-q4_k_m") -> ModelFacts:
    return load_model(str(skeleton(name)))


def findings(line: str, version: str | None = None, rig_name: str = "phoenix") -> tuple[Notice, ...]:
    read = read_command(line, version=version)
    completed = complete_settings(read, model(), rig(rig_name), version)
    plan = evaluate(model(), rig(rig_name), completed.settings, engine=rules_of(read.kind, version))
    return all_findings(read, completed, plan, rig(rig_name), version=version)


def codes(line: str, version: str | None = None, rig_name: str = "phoenix") -> set[str]:
    return {notice.code for notice in findings(line, version, rig_name)}


@pytest.mark.parametrize("line", [LLAMA, KOBOLD])
def test_a_clean_command_holds_no_trap(line: str) -> None:
    assert findings(line) == ()


def swap(line: str, old: str, new: str) -> str:
    assert old in line
    return line.replace(old, new)


# Nothing in RAM: with layers there the strongest card is rightly first, for it multiplies prompts for the host.
WEAKEST_LAST = swap(
    swap(swap(LLAMA, "-ngl 40", "-ngl 99"), "CUDA0,CUDA2,CUDA1", "CUDA1,CUDA2,CUDA0"), "6,14,20", "20,14,6"
)


TRAPS: list[tuple[str, str, str | None]] = [
    ("usecuda_ids", swap(KOBOLD, "normal", "0 1 2"), None),
    ("usecuda_one_card", "koboldcpp --usecuda 1 2 --gpulayers 9 --contextsize 4096 --model m", None),
    ("visible_overwritten", "CUDA_VISIBLE_DEVICES=1 koboldcpp m --usecuda 0 --gpulayers 9 --contextsize 512", None),
    ("autofit_drops_split", KOBOLD + " --autofit", None),
    ("autofit_decides", KOBOLD + " --autofit", None),
    ("auto_layers_split", swap(KOBOLD, "--gpulayers 40", "--gpulayers -1"), None),
    ("bare_gpulayers", swap(KOBOLD, "--gpulayers 40", "--gpulayers"), None),
    ("quantkv_without_flash", KOBOLD + " --quantkv q8_0 --noflashattention", None),
    ("quantkv_without_flash", swap(KOBOLD, "--usecuda", "--usecublas") + " --quantkv 1", "1.80"),
    ("split_mode_row", KOBOLD + " --splitmode row", None),
    ("split_commas", swap(KOBOLD, "6 14 20", "6,14,20"), None),
    ("draft_beside_projector", KOBOLD + " --draftmodel d.gguf --mmproj p.gguf", None),
    ("context_default", swap(KOBOLD, "--contextsize 4096", ""), None),
    ("open_to_network", swap(KOBOLD, "--host 127.0.0.1", ""), None),
    ("key_in_argv", KOBOLD + " --password x", None),
    ("cuda_order", swap(KOBOLD, "--usecuda normal", "--usecublas"), "1.80"),
    ("cuda_order", swap(KOBOLD, "--usecuda normal", "--usecublas 0"), "1.71"),
    ("flag_too_new", KOBOLD, "1.76"),
    ("cuda_order", swap(LLAMA, PCI, ""), None),
    ("fit_gives_up", swap(LLAMA, "--fit off", ""), None),
    ("fit_gives_up", swap(LLAMA, "--fit off", "--fit on"), None),
    ("fit_gives_up", swap(LLAMA, "--fit off", ""), "7414"),
    ("fit_gives_up", swap(swap(LLAMA, "--fit off", "-sm tensor"), "-ts 6,14,20", ""), None),
    ("fit_decides", PCI + "llama-server -m m.gguf -c 4096", None),
    ("context_default", swap(LLAMA, "-c 4096", ""), None),
    ("context_divided", LLAMA + " -np 4", None),
    ("ubatch_clipped", LLAMA + " -b 256 -ub 512", None),
    ("quantised_v_without_flash", LLAMA + " -ctv q8_0 -fa off", None),
    ("tensor_without_flash", LLAMA + " -sm tensor -fa off", None),
    ("split_mode_row", LLAMA + " -sm row", None),
    ("override_stops_pipeline", swap(LLAMA, "-ngl 40", "-ngl 99") + r" -ot 'blk\.1\.ffn=CPU'", None),
    ("split_too_long", swap(LLAMA, "6,14,20", "6,14,20,1"), None),
    ("split_too_short", swap(LLAMA, "6,14,20", "6,14"), None),
    ("split_rounding", swap(LLAMA, "6,14,20", "1.5,3,4.5"), None),
    ("split_order", swap(LLAMA, "-ts 6,14,20", "-ts 20,14,6"), None),
    ("output_on_weakest", WEAKEST_LAST, None),
    ("main_gpu_ignored", LLAMA + " -mg 1", None),
    ("mmproj_auto", swap(LLAMA, "-m m.gguf", "-hf a/b"), None),
    ("draft_without_type", LLAMA + " -md d.gguf", None),
    ("draft_without_type", LLAMA + " -md d.gguf", "9297"),
    ("open_to_network", LLAMA + " --host 0.0.0.0", None),
    ("key_in_argv", LLAMA + " --api-key x", None),
    ("flash_attention_value", LLAMA + " -fa", None),
    ("flag_removed", LLAMA + " --no-mmap", "11434"),
    ("number_cut", swap(LLAMA, "-c 4096", "-c 4k"), None),
    ("flag_repeated", LLAMA + " -c 4096", None),
    ("unknown_flag", LLAMA + " --tensor-splitt 1", None),
]  # fmt: skip


@pytest.mark.parametrize(("code", "line", "version"), TRAPS, ids=[f"{n}-{case[0]}" for n, case in enumerate(TRAPS)])
def test_every_trap_is_named_with_a_remedy(code: str, line: str, version: str | None) -> None:
    notice = next((found for found in findings(line, version) if found.code == code), None)
    assert notice is not None
    assert len(notice.message) < 260
    assert notice.hint
    assert code not in codes(LLAMA) | codes(KOBOLD)


AVOIDED = [
    ("usecuda_ids", swap(KOBOLD, "normal", "normal mmq"), None),
    ("usecuda_one_card", "koboldcpp --usecuda 1 --gpulayers 9 --contextsize 4096 --model m", None),
    ("cuda_order", swap(KOBOLD, "--usecuda normal", "--usecublas normal"), "1.80"),
    ("cuda_order", swap(KOBOLD, "--usecuda normal", "--usecublas"), "1.93.2"),
    ("cuda_order", swap(KOBOLD, "--usecuda normal", "--usecublas 0"), "1.71.1"),
    ("cuda_order", "llama-server -m m.gguf -ngl 9 -c 4096", None),
    ("fit_gives_up", swap(LLAMA, "--fit off -dev CUDA0,CUDA2,CUDA1 -ngl 40 -ts 6,14,20", "-ngl 9 -sm layer"), None),
    ("fit_gives_up", swap(LLAMA, "--fit off", ""), "7413"),
    ("fit_gives_up", swap(LLAMA, "--fit off", ""), "7000"),
    ("open_to_network", LLAMA + " --host 0.0.0.0 --api-key-file keys", None),
    ("open_to_network", "LLAMA_API_KEY=x " + LLAMA + " --host 0.0.0.0", None),
    ("open_to_network", swap(KOBOLD, "--host 127.0.0.1", "--password x"), None),
    ("draft_without_type", LLAMA + " -md d.gguf --spec-type draft-simple", None),
    ("draft_without_type", LLAMA + " -md d.gguf", "9000"),
    ("context_divided", LLAMA + " -np 4 -kvu", None),
    ("quantkv_without_flash", KOBOLD + " --quantkv q8_0", None),
    ("split_rounding", swap(LLAMA, "6,14,20", "3,7,10"), None),
    ("override_stops_pipeline", LLAMA + r" -ot 'blk\.1\.ffn=CPU'", None),
    ("mmproj_auto", swap(LLAMA, "-m m.gguf", "-hf a/b") + " --no-mmproj", None),
]


@pytest.mark.parametrize(("code", "line", "version"), AVOIDED)
def test_a_command_that_avoids_it_is_not_accused(code: str, line: str, version: str | None) -> None:
    assert code not in codes(line, version)


def test_equal_cards_have_no_order_to_confuse() -> None:
    assert "cuda_order" not in codes("llama-server -m m -ngl 65 -ts 1,1,1,1 -c 4096 --fit off", rig_name="mining-four")


def test_the_seed() -> None:
    assert codes(SEED) == {"usecuda_ids", "split_rounding", "open_to_network"}


def test_a_share_of_zero_is_told_once() -> None:
    line = swap(LLAMA, "6,14,20", "0,14,20")
    read = read_command(line)
    completed = complete_settings(read, model(), rig())
    plan = evaluate(model(), rig(), completed.settings)
    told = [notice.code for notice in (*find_traps(read, completed.settings, plan, rig()), *plan.warnings)]
    assert told.count("share_zero") + told.count("idle_device") == 1
    without_plan = [notice.code for notice in find_traps(read, completed.settings, None, rig())]
    assert "share_zero" in without_plan


@pytest.mark.parametrize("rig_name", ["phoenix", "twelve-and-twentyfour", "ampere-mix", "single-3060"])
@pytest.mark.parametrize(
    ("kind", "version"),
    [("llama-server", "11434"), ("llama-server", "7000"), ("koboldcpp", "1.123"), ("koboldcpp", "1.100")],
)
def test_splitters_own_commands_read_back_as_the_plan_and_hold_no_trap(rig_name: str, kind: str, version: str) -> None:
    request = Request(fixed={"context_size": 4096}, engine=rules_of(kind, version))
    plan = solve(model(), rig(rig_name), request)
    command = build_command(plan, EngineRef(kind, None, version), Server())
    read = read_command(command.argv, command.env, version=version)
    completed = complete_settings(read, model(), rig(rig_name))
    # koboldcpp has no word for auto: flash attention is on
    flash = "on" if kind == "koboldcpp" else plan.settings.flash_attention
    assert completed.settings == replace(plan.settings, flash_attention=flash)
    again = evaluate(model(), rig(rig_name), completed.settings, engine=rules_of(kind, version))
    assert all_findings(read, completed, again, rig(rig_name)) == ()
    for script in render(plan, command):
        written = read_script(script.content.decode(), script.name, version=version)
        assert (written.settings, written.env, written.server) == (read.settings, read.env, read.server)
