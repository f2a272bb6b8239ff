"""RAM that a server takes while it runs: named, warned of, and limited by the plan to what is left."""

from dataclasses import replace

import pytest

from splitter.engine.command import EngineRef, Server
from splitter.engine.commands import build_command
from splitter.memory.host_ram import (
    CHECKPOINTS,
    PROCESS,
    PROCESS_BYTES,
    PROMPT_CACHE,
    TOKEN_BYTES,
    checkpoints,
    growth,
)
from splitter.memory.rules import LLAMA_CPP, LLAMA_SERVER
from splitter.memory.settings import Settings
from splitter.model.attention import cache_layers
from splitter.plan.evaluate import RAM_KEPT_BYTES, evaluate
from splitter.plan.plan import Plan
from splitter.plan.request import Request
from splitter.plan.solve import solve
from splitter.rig.device import Device, Host, Rig
from splitter.units import MIB
from tests.memory.test_server_findings import QWEN, facts

SETTINGS = Settings(context_size=32768, gpu_layers=99, device_order=("CUDA0",), parallel=2, kv_unified=True)


def rig(ram_free_mib: int) -> Rig:
    card = Device("CUDA0", "RTX 3060", 12288 * MIB, 11800 * MIB, bandwidth_bytes_per_s=360e9)
    return Rig("small", Host(ram_free_bytes=ram_free_mib * MIB, ram_bandwidth_bytes_per_s=40e9), (card,))


def test_each_is_named_and_can_be_off() -> None:
    caches = cache_layers(facts(QWEN))
    parts = dict(growth(facts(QWEN), caches, SETTINGS, LLAMA_SERVER))
    state = sum(layer.recurrent_bytes for layer in caches)
    itself = PROCESS_BYTES + TOKEN_BYTES * facts(QWEN).vocabulary
    assert parts == {PROMPT_CACHE: 8192 * MIB, CHECKPOINTS: 2 * 6 * state, PROCESS: itself}
    off = replace(SETTINGS, cache_ram_mib=0, ctx_checkpoints=0)
    assert growth(facts(QWEN), caches, off, LLAMA_SERVER) == ((PROCESS, itself),)
    assert growth(facts(QWEN), caches, SETTINGS, LLAMA_CPP) == ()


def test_no_more_checkpoints_than_the_context_has_room_for() -> None:
    assert checkpoints(facts(QWEN), SETTINGS, LLAMA_SERVER) == 32768 // 8192 + 2
    assert checkpoints(facts(QWEN), replace(SETTINGS, context_size=1 << 20), LLAMA_SERVER) == 32
    assert checkpoints(facts(QWEN), replace(SETTINGS, ctx_checkpoints=3), LLAMA_SERVER) == 3


@pytest.mark.parametrize("ram_free_mib", [2000, 4000, 8000])
def test_the_plan_limits_the_prompt_cache_to_what_is_left(ram_free_mib: int) -> None:
    plan = solve(facts(QWEN), rig(ram_free_mib), Request())
    assert plan.settings.cache_ram_mib is not None
    most = sum(size for _, size in plan.footprint.growth)
    assert plan.footprint.host.used_bytes() + most <= ram_free_mib * MIB - RAM_KEPT_BYTES + MIB
    assert any("--cache-ram" in reason for reason in plan.reasons)
    assert "ram_growth" not in {notice.code for notice in plan.warnings}
    assert _flag(plan) == str(plan.settings.cache_ram_mib)


def test_enough_ram_leaves_the_default_and_a_wish_is_obeyed() -> None:
    assert solve(facts(QWEN), rig(60000), Request()).settings.cache_ram_mib is None
    wished = solve(facts(QWEN), rig(4000), Request(fixed={"cache_ram_mib": 512}))
    assert wished.settings.cache_ram_mib == 512


def test_a_written_command_is_warned_of() -> None:
    plan = evaluate(facts(QWEN), rig(4000), SETTINGS)
    assert plan.fits()
    (notice,) = (notice for notice in plan.warnings if notice.code == "ram_growth")
    assert "8.00 GiB for its prompt cache" in notice.message
    assert notice.hint.startswith("add --cache-ram ")


def _flag(plan: Plan) -> str:
    argv = build_command(plan, EngineRef("llama-server", None, "11434"), Server()).argv
    return argv[argv.index("--cache-ram") + 1]
