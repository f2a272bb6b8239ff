"""MemoryRules: how one version of an engine allocates, where engines and versions differ."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from splitter.memory.footprint import Placement
from splitter.memory.settings import Settings
from splitter.memory.speculation import drafted_tokens
from splitter.memory.weights import Weights
from splitter.model.attention import LayerCache
from splitter.model.facts import ModelFacts


class Cut(Protocol):
    """The shares of one model among devices that compute every layer together."""

    split: tuple[float, ...]

    def weights(self, weights: Weights, placement: Placement) -> tuple[int, ...]:
        """Bytes of all weights that are not in RAM, on each device."""
        ...

    def caches(
        self, caches: Sequence[LayerCache], settings: Settings, placement: Placement, window_padding: int = 0
    ) -> tuple[int, ...]:
        """Bytes of all caches that are not in RAM, on each device."""
        ...


class OwnGraph(Protocol):
    """What an engine whose graph is not llama.cpp's holds otherwise."""

    def loaded(self, facts: ModelFacts) -> ModelFacts:
        """`facts` with the tensors that the engine makes of others while it loads; `facts` itself where it has them."""
        ...

    def caches(self, facts: ModelFacts, settings: Settings, caches: tuple[LayerCache, ...]) -> tuple[LayerCache, ...]:
        """What each layer caches, where llama.cpp caches `caches`."""
        ...

    def least_compute(self, facts: ModelFacts, settings: Settings, on_device: bool) -> int:
        """Bytes that its compute buffer has at least where a layer is, on a device or in RAM."""
        ...

    def cut(self, facts: ModelFacts, split: Sequence[float]) -> Cut:
        """How it cuts every layer among devices by the shares `split`."""
        ...


WITHOUT_HOST_BUFFER = ("MTL", "RPC", "GPUOpenCL", "WebGPU")  # backends whose get_host_buffer_type is NULL


def offer_host_buffer(device_order: Sequence[str]) -> bool:
    """Whether one of the devices offers a host buffer; () names no device, and any has one."""
    return not device_order or any(not name.startswith(WITHOUT_HOST_BUFFER) for name in device_order)


@dataclass(frozen=True, slots=True)
class MemoryRules:
    """What the memory model must know of an engine's version beside the settings. The defaults are llama.cpp 11434's.

    `context_padding` tokens are added to -c when the context is created; `pipeline_copies` are kept of each graph input
    under pipeline parallelism (GGML_SCHED_MAX_COPIES); `slot_rows`: a server reserves rows of logits for its slots only
    (n_outputs_max in tools/server/server-context.cpp), where llama-fit-params and the core itself do it for a whole
    micro-batch; `places_norms`: a real load runs a layer's norms on its own device and with -nkvo
    attention on the host, where llama-fit-params forgets these wishes (ggml_backend_sched_reserve_size starts with a
    reset). `extra_sequences` are created
    beside those of the slots where there are several; `window_padding` cells are added to every sliding-window cache;
    `contexts` of the same size are opened (2: guidance, with a cache and compute buffers of its own);
    `pipelines_whole_batches`: pipeline parallelism works also where the micro-batch is the whole batch;
    `draft_sees_all`: a draft model computes on all devices of the main one, also those that hold none of its layers.

    `host_buffer`: a device that offers one keeps the weights in RAM as the file has them (make_cpu_buft_list in
    src/llama-model.cpp); without it (--no-host) the CPU backend repacks what it can.

    `own`: what an engine holds whose graph is not llama.cpp's, so that compute buffers are an estimate.

    `prompt_cache_mib` is the most RAM that the cache of old prompts takes by default (--cache-ram), `checkpoints` the
    most context checkpoints of a slot (--ctx-checkpoints); 0: there is none.

    To add a rule: a field here whose default is what llama.cpp 11434 does; its value by version in the `rules` module
    of each engine that differs; and the one place of this room that asks for it.
    """

    context_padding: int = 0
    pipeline_copies: int = 4
    slot_rows: bool = False
    prompt_cache_mib: int = 0
    checkpoints: int = 0
    places_norms: bool = False
    extra_sequences: int = 0
    window_padding: int = 0
    contexts: int = 1
    own: OwnGraph | None = None
    pipelines_whole_batches: bool = True
    draft_sees_all: bool = False
    host_buffer: bool = True

    def seen(self, settings: Settings) -> Settings:
        """`settings` as the engine's llama.cpp core sees them."""
        more = self.extra_sequences if settings.parallel > 1 else 0
        if not (self.context_padding or more):
            return settings
        size, parallel = settings.context_size + self.context_padding, settings.parallel + more
        return replace(settings, context_size=size, parallel=parallel)

    def repacks(self, settings: Settings) -> bool:
        """Whether the CPU backend repacks the weights in RAM, which are then computed where they are."""
        return not (self.host_buffer and offer_host_buffer(settings.device_order))

    def output_rows(self, settings: Settings, tokens: int) -> int:
        """Rows of logits that are reserved in a micro-batch of `tokens` (sched_reserve in src/llama-context.cpp)."""
        if not self.slot_rows:
            return tokens
        return max(1, min(tokens, settings.batch_size, settings.parallel * (1 + drafted_tokens(settings))))


LLAMA_CPP = MemoryRules()  # as llama-fit-params plans
LLAMA_SERVER = MemoryRules(slot_rows=True, places_norms=True, prompt_cache_mib=8192, checkpoints=32)
