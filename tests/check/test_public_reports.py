"""Public reports that were once read wrong: what is said about them now."""

import pytest

from splitter.engine.reading.judge import Judged
from splitter.rig.files import rig_from_gpus
from tests.cases.unpacked import case_facts, case_rig
from tests.check.judged import judged
from tests.check.wrapper_shapes import IMAGE


def said(found: Judged) -> str:
    return " | ".join(f"{notice.code}: {notice.message} ({notice.hint})" for notice in found.plan.warnings)


def test_a_container_with_variables_and_one_card() -> None:
    line = (
        f"docker run --gpus device=1 -e LLAMA_ARG_CTX_SIZE=8192 -e LLAMA_ARG_N_GPU_LAYERS=40 {IMAGE} -m /models/x.gguf"
    )
    found = judged(
        line,
        case_facts("docker-environment/r1-distill-qwen-32b-q4_k_m.gguf"),
        case_rig("docker-environment/2x3090.yaml"),
    )
    settings = found.plan.settings
    assert (settings.context_size, settings.gpu_layers, settings.device_order) == (8192, 40, ("CUDA1",))
    assert found.plan.fits()


def test_experts_that_pile_up_on_the_last_card() -> None:
    line = "llama-server -m x.gguf -ngl 100 -c 65536 -ub 2048 --n-cpu-moe 24"
    found = judged(
        line, case_facts("ncmoe-last-card/qwen3-coder-next-80b-q4_k_m.gguf"), case_rig("ncmoe-last-card/pair16.yaml")
    )
    assert "experts_pile_up" in said(found)
    assert found.instead is not None
    assert found.instead.argv[-2:] == ("-ts", "36,13")
    assert found.remedy is not None
    assert found.remedy.plan.fits()


@pytest.mark.parametrize(
    ("line", "version", "change"),
    [
        (
            "llama-server -m x -ngl 99 -c 65536 --swa-full",
            None,
            ("llama-server", "-m", "x", "-ngl", "99", "-c", "65536"),
        ),
        ("koboldcpp --model x --usecuda normal --gpulayers 99 --contextsize 65536", "1.113", ("--useswa", "--noshift")),
    ],
)
def test_a_full_cache_of_sliding_window_layers(line: str, version: str | None, change: tuple[str, ...]) -> None:
    found = judged(line, case_facts("swa-remedy/gemma-4-31b-q4_0.gguf"), rig_from_gpus("3090,3090"), version)
    assert found.remedy is not None
    assert found.remedy.culprit.names == ("swa_full",)
    assert found.remedy.culprit.saved_bytes > 24 * 2**30
    assert found.instead is not None
    assert found.instead.argv[-len(change) :] == change


def test_a_card_that_holds_overridden_tensors_is_not_idle() -> None:
    line = (
        "koboldcpp --usecuda normal --gpulayers 0 --model x.gguf "
        r'--overridetensors "blk\.[0-9]\..*=CUDA0,blk\.1[0-9]\..*=CUDA1"'
    )
    facts = case_facts("idle-device-override/qwen3-30b-a3b-q4_k_m.gguf")
    found = judged(line, facts, rig_from_gpus("3090,3060"), "1.99.4")
    assert min(device.memory.model_bytes for device in found.plan.devices) > 3 * 2**30
    assert "idle_device" not in said(found)
    assert "--device" not in said(found)


def test_each_backend_has_its_own_variable() -> None:
    line = "koboldcpp --usevulkan --gpulayers 41 --tensor_split 1 0 --contextsize 8192 --model x.gguf"
    found = judged(line, case_facts("vulkan-words/mistral-nemo-12b-q6_k.gguf"), case_rig("vulkan-words/igpu.yaml"))
    assert "hide it with GGML_VK_VISIBLE_DEVICES" in said(found)
    assert "CUDA" not in said(found)


def test_workers_of_other_machines_are_named() -> None:
    line = "llama-server -m x.gguf -ngl 99 --rpc 192.168.1.2:50052 -ts 10,20,10 -c 8192"
    found = judged(line, case_facts("rpc-ignored/llama-70b-iq3_xs.gguf"), case_rig("rpc-ignored/3090+3060.yaml"))
    assert [device.device.id for device in found.plan.devices] == ["CUDA0", "CUDA1"]
    assert [len(device.layers) for device in found.plan.devices] == [40, 19]
    notice = next(notice for notice in found.plan.warnings if notice.code == "rpc_left_out")
    assert "RPC0 at 192.168.1.2:50052 would hold 21 layers" in notice.message
    assert "come first in -ts" in notice.hint
    assert "split_too_long" not in said(found)


@pytest.mark.parametrize(
    ("line", "notice"),
    [
        ("llama-server -m x -ngl 99 -c 8192 --rpc a:1,b:2", "RPC1 at b:2"),
        ("LLAMA_ARG_RPC=a:1 llama-server -m x -ngl 99 -c 8192 -ts 5,5,1,1", "RPC1 at a:1"),
        ("llama-server -m x -ngl 99 -c 8192 --rpc a:1 -dev CUDA1,RPC0 -ts 1,1", "RPC0 at a:1"),
    ],
)
def test_every_form_of_naming_workers(line: str, notice: str) -> None:
    found = judged(line, case_facts("rpc-ignored/llama-70b-iq3_xs.gguf"), case_rig("rpc-ignored/3090+3060.yaml"))
    assert notice in said(found)


def test_a_fork_is_named_and_judged() -> None:
    line = "llama-server -m x.gguf -ngl 99 -c 8192 -sm graph -fmoe -mla 3 -amb 512"
    found = judged(
        line,
        case_facts("docker-environment/r1-distill-qwen-32b-q4_k_m.gguf"),
        case_rig("docker-environment/2x3090.yaml"),
    )
    assert found.refusals == ()
    assert "ik_llama.cpp" in said(found)
    assert found.plan.fits()
