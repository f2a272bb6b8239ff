"""MemoryRules: how one version of an engine allocates, where engines and versions differ."""

from dataclasses import dataclass, replace

from splitter.memory.settings import Settings


@dataclass(frozen=True, slots=True)
class MemoryRules:
    """What the memory model must know of an engine's version beside the settings. The defaults are llama.cpp 11434's.

    `context_padding` tokens are added to -c when the context is created; `pipeline_copies` are kept of each graph input
    under pipeline parallelism (GGML_SCHED_MAX_COPIES).

    To add a rule: a field here whose default is what llama.cpp 11434 does; its value by version in the `rules` module
    of each engine that differs; and the one place of this room that asks for it.
    """

    context_padding: int = 0
    pipeline_copies: int = 4

    def seen(self, settings: Settings) -> Settings:
        """`settings` as the engine's llama.cpp core sees them."""
        if not self.context_padding:
            return settings
        return replace(settings, context_size=settings.context_size + self.context_padding)


LLAMA_CPP = MemoryRules()
