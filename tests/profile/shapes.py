"""The models of the shipped profiles: headers with the true shapes, without their weights and without a network."""

from dataclasses import replace
from functools import cache
from pathlib import Path

from splitter.model.facts import ModelFacts
from splitter.model.load import load_model
from splitter.profile.files import load_profile
from splitter.profile.profile import to_request
from tests.engine.oracle import CACHE, skeleton
from tests.engine.skeletons import qwen2

EXAMPLES = Path(__file__).parents[2] / "examples"
# Profile -> skeleton; the last two are made here.
SHAPES = {
    "phoenix": "qwen2.5-32b-q4_k_m",
    "one-card-offload": "qwen2.5-32b-q4_k_m",
    "moe-in-ram": "qwen3-30b-a3b-q4_k_m",
    "long-context": "llama-3.1-8b-q4_k_m",
    "two-unequal-cards": "qwen2.5-14b-q4_k_m",
    "team-server": "qwen2.5-14b-q4_k_m",
    "two-old-cards": "qwen2.5-3b-q4_k_m",
}
# Layers, width, feed-forward, heads, KV heads, vocabulary; whether the output is the embedding again.
# https://huggingface.co/Qwen/Qwen2.5-14B-Instruct/blob/main/config.json and its like for 3B.
OWN = {
    "qwen2.5-14b-q4_k_m": ((48, 5120, 13824, 40, 8, 152064), False),
    "qwen2.5-3b-q4_k_m": ((36, 2048, 11008, 16, 2, 151936), True),
}


@cache
def shape(name: str) -> Path:
    """The header `name` of SHAPES on disk."""
    if name not in OWN:
        return skeleton(name)
    path = CACHE / "skeletons" / f"{name}.gguf"
    if not path.exists():
        sizes, tied = OWN[name]
        path.parent.mkdir(parents=True, exist_ok=True)
        qwen2(name, sizes, "Q4_K_M", tied=tied).write(path.parent)
    return path


def profile_facts(profile: str) -> ModelFacts:
    """The facts of a shipped profile's model, under the reference that the profile names."""
    reference = to_request(load_profile(profile)).model or ""
    facts = load_model(str(shape(SHAPES[profile])))
    stem = reference.rpartition("/")[2].removesuffix(".gguf")
    return replace(facts, path=reference, name=stem, quantization="Q4_K_M")
