"""What ik_llama.cpp's graph holds otherwise than llama.cpp's."""

from collections.abc import Sequence
from dataclasses import dataclass

from splitter.engine.ik_llama.graph_cut import GraphCut
from splitter.engine.ik_llama.latent import Latent
from splitter.memory.rules import Cut, MemoryRules
from splitter.model.facts import ModelFacts

PLAIN = Latent()


@dataclass(frozen=True, slots=True)
class IkGraph(Latent):
    """Latent attention of its own, and `-sm graph`."""

    def cut(self, facts: ModelFacts, split: Sequence[float]) -> Cut:
        """How -sm graph cuts every layer."""
        return GraphCut(facts, split)


def ik_memory(latent: Latent = PLAIN) -> MemoryRules:
    """How it allocates; `latent` is what a command says of -mla and -amb."""
    return MemoryRules(pipeline_copies=1, own=IkGraph(latent.mla, latent.batch_mib))
