"""The models that are suggested to somebody who has none, on rigs from no card to 128 GB."""

from collections.abc import Iterator

import pytest

from splitter.app.events import Silent
from splitter.app.suggesting import REPOSITORIES, SHOWN, suggest
from splitter.app.wishes import Wishes
from tests.engine.oracle import skeleton
from tests.model.hub_server import Hollow, serve_hub

pytestmark = pytest.mark.engine
# Every suggested repository by a skeleton of its size: true shapes, a hole for the weights.
SHAPES = (
    "tinyllama-1.1b-q4_0", "qwen2.5-3b-q4_k_m", "qwen3-4b-q4_k_m", "llama-3.1-8b-q4_k_m", "llama-3.1-8b-q4_k_m",
    "qwen2.5-14b-q4_k_m", "qwen2.5-14b-q4_k_m", "gpt-oss-20b-mxfp4", "gemma-3-27b-q4_k_m", "qwen3-30b-a3b-q4_k_m",
    "qwen2.5-32b-q4_k_m", "llama-3.3-70b-q4_k_m",
)  # fmt: skip
RIGS = {
    "no card": {"engine.kind": "embedded"},
    "4 GB": {"rig.gpus": "1050ti"},
    "8+6+4 GB": {"rig.gpus": "2080,1060-6gb,1050ti"},
    "24 GB": {"rig.gpus": "3090"},
    "2x24 GB": {"rig.gpus": "3090,3090"},
    "128 GB": {"rig.gpus": "GB10"},
}
FIRST = {
    "no card": "8B",  # bigger ones would be slower than reading
    "4 GB": "Llama-3.2-3B",
    "8+6+4 GB": "gpt-oss-20b",
    "24 GB": "Qwen2.5-32B",
    "2x24 GB": "Llama-3.3-70B",
    "128 GB": "Llama-3.3-70B",
}


@pytest.fixture(scope="module")
def hub() -> Iterator[None]:
    with serve_hub({}) as hub, pytest.MonkeyPatch.context() as patch:
        for repo, name in zip(REPOSITORIES, SHAPES, strict=True):
            hub.others[repo] = {f"{repo.partition('/')[2]}-Q4_K_M.gguf": Hollow(skeleton(name))}
        patch.setenv("HF_ENDPOINT", hub.url)
        patch.setenv("no_proxy", "127.0.0.1")
        patch.delenv("HF_HUB_OFFLINE", raising=False)
        yield


@pytest.mark.parametrize(("rig", "first"), FIRST.items())
def test_five_that_fit_well(rig: str, first: str, hub: None) -> None:
    offered = suggest(Wishes(RIGS[rig]), Silent())
    assert len(offered) == SHOWN
    assert first in offered[0].found.name
    plans = [model.plan for model in offered]
    assert all(plan is not None and plan.fits() and (plan.speed.generation_tokens_per_s or 0) > 2 for plan in plans)
    alone = [model.found.size_bytes for model in offered if model.fit != "partly"]
    assert alone == sorted(alone, reverse=True)
    assert all(model.fit == "partly" for model in offered[len(alone) :])
    speeds = [plan.speed.generation_tokens_per_s or 0 for plan in plans[len(alone) :] if plan]
    assert speeds == sorted(speeds, reverse=True)
    if "x" not in rig and "128" not in rig:
        assert not any("70B" in model.found.name for model in offered)


def test_three_small_cards_are_offered_no_slow_one(hub: None) -> None:
    """A dense model of 32 B, mostly in RAM, is left out for one that the cards hold."""
    offered = suggest(Wishes(RIGS["8+6+4 GB"]), Silent())
    assert not any("32B" in model.found.name for model in offered)
    assert sum(model.fit == "gpu" for model in offered) == 4
