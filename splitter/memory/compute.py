"""Compute buffers: what the graph needs besides weights and caches."""

from dataclasses import dataclass

from splitter.memory.footprint import Placement
from splitter.memory.settings import Settings
from splitter.model.facts import ModelFacts


@dataclass(frozen=True, slots=True)
class ComputeUse:
    """Compute-buffer bytes per device and on the host; `pipeline`: llama.cpp enables pipeline parallelism."""

    devices: tuple[int, ...]
    host: int
    pipeline: bool = False


def compute_bytes(facts: ModelFacts, settings: Settings, placement: Placement) -> ComputeUse:
    """A first closed form: mask and logits."""
    mask = settings.ubatch_size * settings.context_size * 2
    logits = settings.ubatch_size * 4 * facts.vocabulary
    devices = [mask * (owner in placement.layers) for owner in range(placement.devices)]
    output = placement.output_device()
    if output is not None:
        devices[output] += logits
    return ComputeUse(tuple(devices), mask)
