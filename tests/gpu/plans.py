"""Ten plans for one model on four devices: ratios, microbatches, cache types, contexts, layers and tensors in RAM."""

from dataclasses import replace

from splitter.memory.settings import Settings
from splitter.model.facts import ModelFacts
from splitter.plan.evaluate import evaluate
from splitter.plan.overhead import Overhead
from splitter.plan.plan import Plan
from splitter.plan.request import Request
from splitter.plan.solve import solve
from splitter.rig.device import Rig

DEVICES = 4
ORDER = tuple(f"CUDA{i}" for i in range(DEVICES))
EVEN = Settings(
    context_size=8192, gpu_layers=999, device_order=ORDER, tensor_split=(1, 1, 1, 1), flash_attention="on", parallel=1
)
GIVEN: dict[str, Settings] = {
    "even, f16 cache": EVEN,
    "4:3:2:1, -ub 2048": replace(EVEN, tensor_split=(4, 3, 2, 1), ubatch_size=2048),
    "a device without a share, -ub 128": replace(EVEN, tensor_split=(1, 0, 2, 1), ubatch_size=128),
    "q8_0 cache, long context": replace(EVEN, context_size=32768, cache_type_k="q8_0", cache_type_v="q8_0"),
    "q4_0 cache, 1:1:1:3": replace(EVEN, tensor_split=(1, 1, 1, 3), cache_type_k="q4_0", cache_type_v="q4_0"),
    "no flash attention, 4 slots": replace(EVEN, flash_attention="off", parallel=4, kv_unified=False),
    "half of the layers in RAM": replace(EVEN, gpu_layers=-2, tensor_split=(2, 1, 1, 1)),
    "feed-forward of some layers in RAM": replace(EVEN, override_tensors=(r"blk\.[0-5]\.ffn_.*=CPU",)),
}


def ten_plans(facts: ModelFacts, rig: Rig, overhead: Overhead) -> dict[str, Plan]:
    """Eight given settings and two that `solve` finds."""
    plans = {name: evaluate(facts, rig, _of(facts, wanted), overhead=overhead) for name, wanted in GIVEN.items()}
    fixed = {"device_order": ORDER, "parallel": 1, "context_size": 4096}
    plans["solved for speed"] = solve(facts, rig, Request(fixed=fixed), overhead=overhead, details=False)
    fixed = {"device_order": ORDER, "parallel": 1, "tensor_split": (3.0, 2.0, 2.0, 1.0)}
    longest = Request(goal="context", fixed=fixed, context_max=True)
    plans["solved for context at 3:2:2:1"] = solve(facts, rig, longest, overhead=overhead, details=False)
    return plans


def _of(facts: ModelFacts, wanted: Settings) -> Settings:
    """`wanted` for this model: -2 layers stands for half of them."""
    return replace(wanted, gpu_layers=facts.layers // 2) if wanted.gpu_layers == -2 else wanted
