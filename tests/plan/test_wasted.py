"""The sentence about what the user's own flags cost."""

from typing import Any

from splitter.engine.engines import rules_of
from splitter.plan.overhead import no_overhead
from splitter.plan.plan import Plan
from splitter.plan.request import Request
from splitter.plan.solve import solve
from tests.plan.builders import card, model, rig

MOE = model(24, width=2048, experts=16)


def planned(free_mib: int, **fixed: Any) -> Plan:
    request = Request(fixed={"context_size": 4096, **fixed}, engine=rules_of("llama-server"))
    return solve(MOE, rig(card(0, free_mib, 360, fp16_flops=5e13)), request, overhead=no_overhead)


def sentences(plan: Plan) -> list[str]:
    return [reason for reason in plan.reasons if "leaves" in reason and "empty" in reason]


def test_experts_in_ram_beside_an_empty_card() -> None:
    (said,) = sentences(planned(16000, cpu_moe=True))
    assert said.startswith("-cmoe leaves ")
    assert "of CUDA0 (card 0) empty: without, " in said
    (layers,) = sentences(planned(16000, gpu_layers=5))
    assert layers.startswith("-ngl leaves ")


def test_silence_where_the_flags_cost_nothing() -> None:
    assert not sentences(planned(16000))
    assert not sentences(planned(2000, cpu_moe=True))  # the card is full
    assert not sentences(planned(16000, gpu_layers=25))  # nothing is in RAM
