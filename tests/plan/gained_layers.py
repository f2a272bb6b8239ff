"""What it is worth that a server reserves rows of logits for its slots only: plans with and without that knowledge.

python -m tests.plan.gained_layers
"""

from dataclasses import replace

from splitter.memory.rules import LLAMA_SERVER
from splitter.model.load import load_model
from splitter.plan.engine_rules import NEWEST
from splitter.plan.plan import Plan
from splitter.plan.request import Request
from splitter.plan.solve import solve
from splitter.rig.device import Rig
from splitter.rig.files import rig_from_gpus
from splitter.units import GIB, MIB
from tests.engine.oracle import RIGS, skeleton

MODELS = {
    "phoenix": "qwen2.5-32b-q4_k_m",
    "budget-pair": "gemma-3-27b-q4_k_m",
    "twelve-and-twentyfour": "llama-3.3-70b-q4_k_m",
    "mining-four": "llama-3.3-70b-q4_k_m",
    "ampere-mix": "llama-3.3-70b-q4_k_m",
    "single-3060": "gpt-oss-20b-mxfp4",
    "mx-pair": "qwen3-4b-q4_k_m",
    "flagship-mix": "llama-3.3-70b-q4_k_m",
}
WHOLE_BATCH = replace(NEWEST, memory=replace(LLAMA_SERVER, slot_rows=False))


def cards(name: str) -> Rig:
    """The oracle's rig with the catalog's speeds."""
    rows = RIGS[name]
    rig = rig_from_gpus(",".join(row[0] for row in rows))
    pairs = zip(rig.devices, rows, strict=True)
    sized = (replace(d, free_bytes=row[2] * MIB, total_bytes=row[1] * MIB) for d, row in pairs)
    return replace(rig, devices=tuple(sized))


def held(plan: Plan) -> tuple[int, float]:
    """Layers on cards, the output counted, and the bytes of weights there in GiB."""
    layers = sum(owner is not None for owner in plan.placement.layers)
    return layers, sum(one.memory.model_bytes for one in plan.devices) / GIB


def main() -> None:
    print("rig, model: layers, GiB of weights on cards, micro-batch and seconds of a turn, before and after")
    for rig, model in MODELS.items():
        facts = load_model(str(skeleton(model)))
        cells = []
        for engine in (WHOLE_BATCH, NEWEST):
            plan = solve(facts, cards(rig), Request(fixed={"context_size": 8192}, engine=engine), details=False)
            layers, gib = held(plan)
            seconds = plan.speed.turn.seconds if plan.speed.turn else None
            cells.append(f"{layers:3d} {gib:6.2f} -ub {plan.settings.ubatch_size:<5d} {seconds or 0:7.2f} s")
        print(f"  {rig:22} {model:22} {cells[0]} | {cells[1]}")


if __name__ == "__main__":
    assert set(MODELS) == set(RIGS)
    main()
