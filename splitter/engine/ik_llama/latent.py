"""Latent attention (MLA) as ik_llama.cpp computes it: the tensors that it makes, its caches, what it holds at once.

Source: `llm_prepare_mla`, `llama_kv_cache_init` in src/llama.cpp, `build_deepseek2` in src/llama-build-context.cpp
(ik-llama-cpp-python 0.1.5).
"""

from dataclasses import dataclass, replace

from splitter.memory.context import row_bytes, sequence_cells, ubatch
from splitter.memory.settings import Settings
from splitter.model.attention import LayerCache, placed_layers
from splitter.model.facts import ModelFacts, TensorInfo
from splitter.model.ggml_types import ALL_TYPES
from splitter.model.hparams import integer
from splitter.units import MIB

ARCHITECTURES = frozenset({"deepseek2", "glm-dsa", "mistral4"})
Q8_0 = 8
LEAST_BATCH_MIB = 128  # newer builds raise a smaller -amb to it
PROMPT_TOKENS = 128  # from this micro-batch on the cache is unfolded; below, the queries are folded
F32 = 4
INPUT_BYTES = MIB  # positions and the like
ANSWERS = 8  # rows of all heads' answers that are held while they are put together in parts; seen in the real server


@dataclass(frozen=True, slots=True)
class Latent:
    """`mla` as in -mla (0: keys and values of every head are cached), `batch_mib` as in -amb (0: no bound)."""

    mla: int = 3
    batch_mib: int = 256

    def loaded(self, facts: ModelFacts) -> ModelFacts:
        """`facts` with the projections that it makes of those in the file: one joined of two halves, or the halves."""
        if facts.architecture not in ARCHITECTURES:
            return facts
        named = {tensor.name: tensor for tensor in facts.tensors}
        made = tuple(t for layer in range(placed_layers(facts)) for t in self._made(f"blk.{layer}.", facts, named))
        return replace(facts, tensors=(*facts.tensors, *made)) if made else facts

    def _made(self, layer: str, facts: ModelFacts, named: dict[str, TensorInfo]) -> list[TensorInfo]:
        heads = _Heads.of(facts)
        joined, key = named.get(f"{layer}attn_kv_b.weight"), named.get(f"{layer}attn_k_b.weight")
        if f"{layer}made.weight" in named or (self.mla == 0 and joined is not None):
            return []
        if joined is not None and key is None:
            kind = quantised(joined)
            key_bytes = ALL_TYPES[kind].row_bytes(heads.nope) * heads.rank * heads.count
            value_bytes = ALL_TYPES[joined.ggml_type].row_bytes(heads.rank) * heads.value * heads.count
            return [_tensor(layer, kind, (heads.nope, heads.rank * heads.count), key_bytes + value_bytes)]
        if joined is None and key is not None and self.mla != 1:
            kind, rows = quantised(key), heads.count * (heads.nope + heads.value)
            return [_tensor(layer, kind, (heads.rank, rows), ALL_TYPES[kind].row_bytes(heads.rank) * rows)]
        return []

    def caches(self, facts: ModelFacts, settings: Settings, caches: tuple[LayerCache, ...]) -> tuple[LayerCache, ...]:
        """What each layer caches, where llama.cpp caches `caches`."""
        if facts.architecture not in ARCHITECTURES:
            return caches
        heads = _Heads.of(facts)
        whole = heads.rank + heads.rope
        if self.mla == 0:
            keys, values = heads.count * (heads.nope + heads.rope), heads.count * heads.value
        elif settings.flash_attention != "off":
            keys, values = whole, 0
        else:
            keys, values = (whole, heads.rank) if self.mla == 1 else (0, whole)
        return tuple(replace(cache, k_width=keys, v_width=values, v_width_padded=values) for cache in caches)

    def least_compute(self, facts: ModelFacts, settings: Settings, on_device: bool) -> int:
        """Bytes of the compute buffer while a large batch attends to the whole cache; seen on the CPU, to 1 MiB."""
        tokens = ubatch(facts, settings)
        if facts.architecture not in ARCHITECTURES or self.mla < 2 or tokens < PROMPT_TOKENS:
            return 0
        heads, cells = _Heads.of(facts), sequence_cells(facts, settings)
        if settings.flash_attention == "off":
            return self._scores(heads, cells, tokens, settings.cache_type_v) + INPUT_BYTES
        return self._unfolded(heads, cells, tokens, "f16" if on_device else settings.cache_type_k) + INPUT_BYTES

    def _unfolded(self, heads: "_Heads", cells: int, tokens: int, kind: str) -> int:
        """Keys and values of as many heads as -amb allows, unfolded from the cache as f32 and cast to `kind`, and what
        waits meanwhile."""
        each = heads.nope + heads.value
        count = self.heads_at_once(cells * heads.count * each * F32 // MIB, heads.count, whole=True)
        unfolded = cells * count * (each * F32 + row_bytes(kind, each))
        mask = cells * tokens * 2
        queries = heads.count * (2 * (heads.nope + heads.rope) + heads.rope)
        waiting = queries + 2 * (heads.width + heads.rank + heads.rope)
        answered = ANSWERS * heads.count * heads.value if count < heads.count else 0
        return unfolded + mask + tokens * F32 * (waiting + answered)

    def _scores(self, heads: "_Heads", cells: int, tokens: int, kind: str) -> int:
        """Without flash attention: the scores of as many heads as -amb allows, beside the turned cache."""
        size = cells * tokens * heads.count * F32
        steps = min(-(-size // MIB // self.batch_mib), heads.count) if self.batch_mib else 1
        part = -(-heads.count // max(steps, 1))
        waiting = heads.count * (3 * heads.rank + heads.rope + heads.rank * (steps > 1)) + heads.width
        return cells * (part * tokens * F32 + row_bytes(kind, heads.rank) + tokens * F32) + tokens * F32 * waiting

    def heads_at_once(self, size_mib: float, heads: int, *, whole: bool = False) -> int:
        """As many of the `heads`, which take `size_mib` together, as -amb holds, in whole divisions of all; `whole`:
        of whole MiB."""
        bound = max(self.batch_mib, LEAST_BATCH_MIB) if self.batch_mib else 0
        if not bound or size_mib <= bound:
            return heads
        parts = (n for n in range(2, heads) if heads % n == 0 and (size_mib // n if whole else size_mib / n) <= bound)
        return heads // next(parts, heads)


@dataclass(frozen=True, slots=True)
class _Heads:
    count: int
    nope: int
    rope: int
    value: int
    rank: int
    width: int

    @classmethod
    def of(cls, facts: ModelFacts) -> "_Heads":
        """From the header; a head's own lengths end in `_mla` where the plain ones are those of the cache."""
        key, value = (
            integer(facts, f"attention.{part}_length_mla") or integer(facts, f"attention.{part}_length")
            for part in ("key", "value")
        )
        rope = integer(facts, "rope.dimension_count")
        return cls(
            count=integer(facts, "attention.head_count"),
            nope=key - rope,
            rope=rope,
            value=value,
            rank=integer(facts, "attention.kv_lora_rank"),
            width=integer(facts, "embedding_length"),
        )


def quantised(tensor: TensorInfo) -> int:
    """The type of what it makes of `tensor`."""
    return Q8_0 if ALL_TYPES[tensor.ggml_type].block_elements > 1 else tensor.ggml_type


def _tensor(layer: str, kind: int, shape: tuple[int, ...], size_bytes: int) -> TensorInfo:
    return TensorInfo(f"{layer}made.weight", shape, kind, size_bytes, 0)
