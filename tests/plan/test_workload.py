"""The turn: how it is asked for, what fits a context, and what the plan makes of it."""

import pytest

from splitter.errors import UsageError
from splitter.memory.settings import Settings
from splitter.plan.speed_constants import TYPICAL
from splitter.plan.turn import micro_batch
from splitter.plan.workload import CHAT, WORKLOADS, Workload, read_workload
from tests.plan.builders import card, model, plan, rig


def test_names_and_numbers() -> None:
    assert read_workload("chat") == CHAT == Workload(1024, 256, 2048)
    assert read_workload("Agent") == WORKLOADS["agent"]
    assert read_workload("4096:512") == Workload(4096, 512)
    assert read_workload("4096:512@8192") == Workload(4096, 512, 8192)


@pytest.mark.parametrize("text", ["", "talk", "1:", "0:5", "5:0", "-1:5", "1:2@", "1:2@x", "99999999:1"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="workload"):
        read_workload(text)


def test_a_short_context_holds_less() -> None:
    assert CHAT.within(8192) == CHAT
    assert CHAT.within(2048) == Workload(1024, 256, 768)
    assert CHAT.within(512) == Workload(256, 256, 0)


def test_micro_batches_are_even() -> None:
    settings = Settings(8192, 9, ("CUDA0",), ubatch_size=512)
    assert micro_batch(settings, Workload(1024, 1)) == 512
    assert micro_batch(settings, Workload(600, 1)) == 300
    assert micro_batch(settings, Workload(100, 1)) == 100


def test_the_plan_says_the_turn_and_long_prompts_want_larger_micro_batches() -> None:
    """Experts in RAM cross the link once per micro-batch."""
    on = rig(card(0, 2000, 900, fp16_flops=70e12, link_bytes_per_s=16e9), ram_gb_per_s=50)
    facts = model(24, width=2048, experts=32)
    chosen = [
        plan(facts, on, constants=TYPICAL, workload=WORKLOADS[name], context_size=32768) for name in ("writing", "rag")
    ]
    assert [found.speed.turn and found.speed.turn.prompt_tokens for found in chosen] == [256, 4096]
    assert chosen[0].settings.ubatch_size <= 512 < 2048 <= chosen[1].settings.ubatch_size
    assert (chosen[1].speed.prompt_tokens_per_s or 0) > 2 * (chosen[0].speed.prompt_tokens_per_s or 0)
