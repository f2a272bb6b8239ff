"""MemoryModel: what every device holds for one model and one set of settings, placement by placement."""

from splitter.memory.compute import compute_bytes
from splitter.memory.context import context_bytes
from splitter.memory.footprint import Footprint, MemoryUse, Placement
from splitter.memory.settings import Settings
from splitter.memory.weights import read_weights
from splitter.model.facts import ModelFacts


class MemoryModel:
    """Precomputes bytes per layer, so that the footprint of a placement is a sum.

    All tuples have one entry per repeating layer and a last one for the output layer.
    """

    def __init__(self, facts: ModelFacts, settings: Settings) -> None:
        self.facts = facts
        self.settings = settings
        weights = read_weights(facts, settings)
        self.layer_model_bytes = weights.device_bytes
        self.host_layer_bytes = weights.host_bytes
        self.layer_active_bytes = weights.active_bytes
        self.layer_active_host_bytes = weights.active_host_bytes
        self.input_bytes = weights.input_bytes
        self.layer_context_bytes = (*context_bytes(facts, settings), 0)

    def footprint(self, placement: Placement) -> Footprint:
        """Model and context exactly, compute estimated, no overhead."""
        model = [0] * placement.devices
        context = [0] * placement.devices
        host_model = self.input_bytes + sum(self.host_layer_bytes)
        host_context = 0
        for owner, weight, cache in zip(
            placement.layers, self.layer_model_bytes, self.layer_context_bytes, strict=True
        ):
            if owner is None:
                host_model += weight
            else:
                model[owner] += weight
            if owner is None or not self.settings.kv_offload:
                host_context += cache
            else:
                context[owner] += cache
        use = compute_bytes(self.facts, self.settings, placement)
        devices = tuple(MemoryUse(m, c, b) for m, c, b in zip(model, context, use.devices, strict=True))
        return Footprint(devices, MemoryUse(host_model, host_context, use.host), pipeline=use.pipeline)

    def compute(self, placement: Placement) -> tuple[tuple[int, ...], int]:
        """Compute-buffer bytes per device, and the host's."""
        use = compute_bytes(self.facts, self.settings, placement)
        return use.devices, use.host
