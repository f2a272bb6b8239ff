"""The parts of a model's graph that most architectures share: embedding, norms, attention, feed-forward, experts.

Follows the build_* functions of src/llama-graph.cpp and the cache views of src/llama-kv-cache.cpp (build 11434).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from splitter.memory.compute.graph import F16, F32, I32, I64, TYPES, Graph, Tensor, Type, shape
from splitter.model.facts import TensorInfo

REPACKED_TYPES = frozenset({2, 10, 12, 20, 39})  # Q4_0 Q2_K Q4_K IQ4_NL MXFP4


@dataclass(frozen=True, slots=True)
class SsmDims:
    """The `ssm.*` numbers of a header: convolution taps, inner width, state size, time-step rank, groups."""

    taps: int
    inner: int
    size: int
    rank: int
    groups: int


@dataclass(frozen=True, slots=True)
class Dims:
    """Numbers of one model under one set of settings; tokens and sequences are those of the reserved worst case.

    `positions` of a token: four with multi-dimensional rotation (M-RoPE). `norm_weights`: those of the chosen experts
    are divided by their sum.
    `transposed`: V is cached transposed, as without flash attention at the start (-fa auto can be given up later).
    """

    tokens: int
    positions: int
    outputs: int
    sequences: int
    state_copies: int
    embedding: int
    embedding_input: int
    cells: int
    cells_swa: int
    streams: int
    flash: bool
    transposed: bool
    type_k: str
    type_v: str
    experts: int
    experts_used: int
    norm_weights: bool
    top_k: int
    context_train: int
    state: SsmDims


@dataclass(frozen=True, slots=True)
class Layer:
    """One repeating layer: its tensors by name without `blk.N.`, its head counts and widths, its window.

    `cache_layer` is the earlier layer whose cache it reads, None for one with its own; `ropes`: its attention rotates;
    `indexes`: it chooses the cells that it and the layers after it attend to.
    """

    index: int
    tensors: Mapping[str, TensorInfo]
    heads: int
    kv_heads: int
    head_k: int
    head_v: int
    swa: bool
    recurrent: bool
    cache_layer: int | None = None
    ropes: bool = True
    indexes: bool = False


@dataclass(slots=True)
class Inputs:
    """The graph inputs of one kind of cache (base or sliding window)."""

    k_idxs: Tensor
    v_idxs: Tensor
    mask: Tensor
    k_rot: Tensor | None
    v_rot: Tensor | None


class Net:
    """A graph under construction: `home(tensor name, layer)` tells the backend of a weight."""

    def __init__(self, dims: Dims, cpu: int, windows: bool, home: Callable[[str, int | None], int]) -> None:
        self.dims, self.cpu, self.windows, self.home = dims, cpu, windows, home
        self.graph = Graph()
        self.layer: Layer
        self.layer_home = self.cache_home = cpu
        self.flashes: list[tuple[Tensor, int]] = []  # with the home of their layers
        self.rms = True
        self.bare_norm = False
        self.place_norms = self.attend_on_host = False
        self.repack = True
        self.unscaled: frozenset[str] = frozenset()
        self.rope_factors: TensorInfo | None = None
        self.full_rope_factors = False
        self._factors: dict[int, Tensor] = {}
        self._inputs: dict[bool, Inputs] = {}
        self._named: dict[str, Tensor] = {}

    # -- leaves ----------------------------------------------------------------------------------------------------

    def enter(self, layer: Layer, home: int, cache_home: int) -> None:
        """The next blocks belong to `layer`, which lives at `home`."""
        self.layer, self.layer_home, self.cache_home = layer, home, cache_home

    def weight_of(self, info: TensorInfo, home: int) -> Tensor:
        """A weight leaf: only its shape and bytes count."""
        ne = shape(*info.shape)
        rows = ne[1] * ne[2] * ne[3]
        row = info.size_bytes // max(rows, 1)
        quantised = info.ggml_type not in (0, 1, 30)
        type_ = Type("weight", ne[0], row) if quantised else Type("float", 1, row // max(ne[0], 1))
        tensor = Tensor(type_, ne, (row // max(ne[0], 1), row, row * ne[1], row * ne[1] * ne[2]))
        if quantised:
            tensor.nb = (row, row, row * ne[1], row * ne[1] * ne[2])
        tensor.home, tensor.weight, tensor.name = home, True, info.name
        tensor.repacked = self.repack and home == self.cpu and _repackable(info)
        return tensor

    def weight(self, name: str) -> Tensor | None:
        """`blk.N.<name>` or `blk.N.<name>.weight` of the current layer."""
        info = self.layer.tensors.get(name) or self.layer.tensors.get(name + ".weight")
        return None if info is None else self.weight_of(info, self.home(info.name, self.layer.index))

    def need(self, *names: str) -> Tensor:
        """The first weight of `names` that the layer has."""
        for name in names:
            weight = self.weight(name)
            if weight is not None:
                return weight
        raise KeyError(names[0])

    def named_input(self, name: str, type_: Type, *ne: int) -> Tensor:
        """The graph input called `name`, made on first use."""
        if name not in self._named:
            self._named[name] = self.graph.input(type_, *ne, name=name)
        return self._named[name]

    def positions(self) -> Tensor:
        return self.named_input("inp_pos", I32, self.dims.tokens * self.dims.positions)

    def out_ids(self) -> Tensor:
        return self.named_input("out_ids", I32, self.dims.outputs)

    def cache_inputs(self, swa: bool, rotate_k: int = 0, rotate_v: int = 0, v_max: int = 0) -> Inputs:
        """Indices, mask and rotations of the base or the sliding-window cache."""
        if swa not in self._inputs:
            d, g = self.dims, self.graph
            cells = d.cells_swa if swa else d.cells
            values = d.tokens * v_max if d.transposed else d.tokens
            mask = g.input(F16 if d.flash else F32, cells, d.tokens // d.streams, 1, d.streams, name="kq_mask")
            self._inputs[swa] = Inputs(
                g.input(I64, d.tokens, name="k_idxs"),
                g.input(I64, values, name="v_idxs"),
                mask,
                g.input(F32, rotate_k, rotate_k, name="k_rot") if rotate_k else None,
                g.input(F32, rotate_v, rotate_v, name="v_rot") if rotate_v else None,
            )
        return self._inputs[swa]

    # -- blocks ----------------------------------------------------------------------------------------------------

    def embed(self, table: TensorInfo, mixed: bool, scale_rows: bool) -> Tensor:
        """build_inp_embd: the three ways in (tokens, vectors, mixed) are all in the graph."""
        g, d = self.graph, self.dims
        wide = d.embedding_input

        def rows(name: str) -> Tensor:
            got = g.get_rows(self.weight_of(table, self.home(table.name, None)), self.named_input(name, I32, d.tokens))
            return got if wide == d.embedding else g.node("pad", (got,), shape(wide, d.tokens))

        cur = g.expand(rows("inp_tokens"))
        g.expand(self.named_input("inp_embd", F32, wide, d.tokens))
        if mixed:
            copy = g.node("dup", (self.named_input("inp_mixed_embd", F32, wide, d.tokens),), shape(wide, d.tokens))
            slots = self.named_input("inp_mixed_slots", I64, d.tokens)
            g.expand(g.set_rows(copy, rows("inp_mixed_tokens"), slots))
        if wide != d.embedding:
            cur = g.slice(cur, (d.embedding, d.tokens), (cur.nb[1],))
        if scale_rows:
            if not cur.contiguous():
                cur = g.cont(cur)
            cur = g.mul(cur, self.named_input("inp_scale_rows", F32, 1, d.tokens))
        return g.expand(cur)

    def norm_with(
        self,
        cur: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        *,
        rms: bool | None = None,
        in_layer: bool = True,
    ) -> Tensor:
        """build_norm. graph_get_cb asks for the device of the layer; the dry run forgets it, a layer's first norm then
        runs on the device before.
        """
        g = self.graph
        cur = g.node("rms_norm" if (self.rms if rms is None else rms) else "norm", (cur,), cur.ne)
        if self.place_norms and in_layer and (weight is not None or bias is not None):
            cur.backend = self.layer_home
        if weight is not None:
            cur = g.mul(cur, weight)
        return cur if bias is None else g.add(cur, bias)

    def norm(self, cur: Tensor, name: str) -> Tensor:
        """The norm called `name` if the layer has it, else `cur`."""
        weight = self.weight(name)
        bias = self.weight(name + ".bias")
        return cur if weight is None and bias is None and not self.bare_norm else self.norm_with(cur, weight, bias)

    def linear(self, cur: Tensor, name: str) -> Tensor:
        """build_lora_mm with the bias, if there is one."""
        out = self.graph.mul_mat(self.need(name), cur)
        scale = None if name in self.unscaled else self.weight(name + ".scale")
        if scale is not None:
            out = self.graph.mul(out, scale)
        bias = self.weight(name + ".bias")
        return out if bias is None else self.graph.add(out, bias)

    def rope(self, cur: Tensor, positions: Tensor) -> Tensor:
        """ggml_rope_ext, with the model's frequency factors where it has any."""
        factors = self._rope_factors()
        return self.graph.node("rope", (cur, positions, *([factors] if factors else [])), cur.ne)

    def _rope_factors(self) -> Tensor | None:
        """Each device has a copy of its own, which its layers share."""
        if self.rope_factors is None or (self.full_rope_factors and self.layer.swa):
            return None
        if self.layer_home not in self._factors:
            self._factors[self.layer_home] = self.weight_of(self.rope_factors, self.layer_home)
        return self._factors[self.layer_home]

    def qkv(self, cur: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """build_qkv: fused or separate projections, as (head size, heads, tokens)."""
        g, y, tokens = self.graph, self.layer, self.dims.tokens
        if "attn_qkv.weight" in y.tensors:
            fused = self.linear(cur, "attn_qkv")
            step = fused.nb[1]
            q = g.slice(fused, (y.head_k, y.heads, tokens), (y.head_k * 4, step))
            k = g.slice(fused, (y.head_k, y.kv_heads, tokens), (y.head_k * 4, step))
            v = g.slice(fused, (y.head_v, y.kv_heads, tokens), (y.head_v * 4, step))
            return q, k, v
        q = self.linear(cur, "attn_q")
        k = self.linear(cur, "attn_k")
        v = self.linear(cur, "attn_v" if "attn_v.weight" in y.tensors else "attn_k")
        return (
            g.reshape(q, y.head_k, y.heads, tokens),
            g.reshape(k, y.head_k, y.kv_heads, tokens),
            g.reshape(v, y.head_v, y.kv_heads, tokens),
        )

    def qkv_gated(self, cur: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Q and its gate from one projection, K and V from theirs."""
        g, y, tokens = self.graph, self.layer, self.dims.tokens
        both = self.linear(cur, "attn_q")
        step = (y.head_k * 8, both.nb[1])
        q = g.slice(both, (y.head_k, y.heads, tokens), step)
        gate = g.cont(g.slice(both, (y.head_k, y.heads, tokens), step), y.head_k * y.heads, tokens)
        k = g.reshape(self.linear(cur, "attn_k"), y.head_k, y.kv_heads, tokens)
        v = g.reshape(self.linear(cur, "attn_v"), y.head_v, y.kv_heads, tokens)
        return q, k, v, gate

    def hadamard(self, cur: Tensor, rotation: Tensor | None) -> Tensor:
        """llama_mul_mat_hadamard: a quantised cache rotates what it stores."""
        if rotation is None:
            return cur
        g, n = self.graph, rotation.ne[0]
        flat = (n, cur.elements() // n)
        out = g.mul_mat(rotation, g.reshape(cur, *flat) if cur.contiguous() else g.cont(cur, *flat))
        return g.reshape(out, *cur.ne)

    def cache(self, type_name: str, width: int, swa: bool) -> Tensor:
        """The cache tensor of the current layer."""
        d = self.dims
        tensor = self.graph.leaf(TYPES[type_name], width, d.cells_swa if swa else d.cells, d.streams)
        tensor.home = self.cache_home
        return tensor

    def cached(self, cache: Tensor, head: int, heads: int, transposed: bool = False) -> Tensor:
        """get_k / get_v: a view of all cells."""
        row, cells, streams = cache.type.row, cache.ne[1], cache.ne[2]
        width = cache.ne[0]
        if transposed:
            ne, nb = (cells, heads, head, streams), (row(cells * head), row(cells), row(cells * width))
        else:
            ne, nb = (head, heads, cells, streams), (row(head), row(width), row(width * cells))
        return self.graph.slice(cache, ne, nb)

    def store(self, cache: Tensor, cur: Tensor, ids: Tensor, transposed: bool = False) -> None:
        """cpy_k / cpy_v."""
        g = self.graph
        width, tokens = cur.ne[0] * cur.ne[1], cur.ne[2]
        if transposed:
            flat = g.reshape(cur, 1, width * tokens) if cur.contiguous() else g.cont(cur, 1, width * tokens)
            g.expand(g.set_rows(g.reshape(cache, 1, cache.elements()), flat, ids))
            return
        into = g.reshape(cache, cache.ne[0], cache.ne[1] * cache.ne[2]) if cache.ne[2] > 1 else cache
        g.expand(g.set_rows(into, g.slice(cur, (width, tokens), (cur.nb[2],)), ids))

    def mha(  # noqa: PLR0917
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        mask: Tensor,
        sinks: Tensor | None,
        v_mla: Tensor | None,
        softcap: bool,
        bias: Tensor | None = None,
    ) -> Tensor:
        """build_attn_mha over the cached k and v; a position bias rules flash attention out."""
        g, d = self.graph, self.dims
        streams = k.ne[3]
        step = q.ne[2] // streams
        q = g.slice(q, (q.ne[0], q.ne[1], step, streams), (q.nb[1], q.nb[2], q.nb[2] * step))
        transposed = v.nb[1] > v.nb[2]
        q, k, v = (g.permute(t, 0, 2, 1, 3) for t in (q, k, v))
        if d.flash and bias is None:
            k, v = (g.cast(t, F16) if t.type is F32 else t for t in (k, v))
            cur = g.flash_attn(q, k, v, mask, *([sinks] if sinks else []))
            self.flashes.append((cur, self.layer_home))
            if v_mla is not None:
                cur = g.cont(g.permute(g.mul_mat(v_mla, g.permute(cur, 0, 2, 1, 3)), 0, 2, 1, 3))
            return g.expand(g.reshape(cur, cur.ne[0] * cur.ne[1], cur.ne[2] * cur.ne[3]))
        kq = g.mul_mat(k, q)
        if softcap:
            kq = g.scale(g.unary(g.scale(kq)))
        if bias is not None:
            kq = g.add(kq, bias)
        kq = g.node("soft_max", (kq, mask, *([sinks] if sinks else [])), kq.ne)
        if not transposed:
            v = g.node("cont", (g.transpose(v),), (v.ne[1], v.ne[0], v.ne[2], v.ne[3]), v.type)
        cur = g.mul_mat(v, kq)
        if v_mla is not None:
            cur = g.mul_mat(v_mla, cur)
        cur = g.permute(cur, 0, 2, 1, 3)
        cur = g.cont(cur, cur.ne[0] * cur.ne[1], cur.ne[2] * cur.ne[3])
        if self.attend_on_host:
            cur.backend = self.cpu
        return g.expand(cur)

    def attend(  # noqa: PLR0917
        self,
        q: Tensor,
        k: Tensor | None,
        v: Tensor | None,
        inputs: Inputs,
        sinks: Tensor | None,
        softcap: bool,
        bias: Tensor | None = None,
    ) -> Tensor:
        """build_attn with a K and V cache, up to the output projection."""
        g, y, d = self.graph, self.layer, self.dims
        q = g.expand(self.hadamard(q, inputs.k_rot))
        kept_v = None if v is None else self.hadamard(v, inputs.v_rot)
        kept_k = None if k is None else self.hadamard(k, inputs.k_rot)
        for kept in (kept_k, kept_v) if self.windows else (kept_v, kept_k):
            if kept is not None:
                g.expand(kept)
        cache_k = self.cache(d.type_k, y.head_k * y.kv_heads, y.swa)
        cache_v = self.cache(d.type_v, y.head_v * y.kv_heads, y.swa)
        if kept_k is not None:
            self.store(cache_k, kept_k, inputs.k_idxs)
        if kept_v is not None:
            self.store(cache_v, kept_v, inputs.v_idxs, transposed=d.transposed)
        views = (
            self.cached(cache_k, y.head_k, y.kv_heads),
            self.cached(cache_v, y.head_v, y.kv_heads, transposed=d.transposed),
        )
        return self.hadamard(self.mha(q, *views, inputs.mask, sinks, None, softcap, bias), inputs.v_rot)

    def attend_batch(self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None, cells: int = 0) -> Tensor:
        """build_attn without a cache: the batch attends to itself, or to `cells` encoded tokens."""
        g, d = self.graph, self.dims
        for part in (q, k, v):
            g.expand(part)
        name = "kq_mask_cross" if cells else "kq_mask_swa" if self.layer.swa else "kq_mask"
        mask = self.named_input(name, F16 if d.flash else F32, cells or d.tokens, d.tokens)
        return self.mha(q, k, v, mask, None, None, softcap=False, bias=bias)

    def ffn(self, cur: Tensor, suffix: str = "") -> Tensor:
        """build_ffn, gated or not; `suffix` is "_shexp" for a shared expert."""
        g = self.graph
        up = self.linear(cur, "ffn_up" + suffix)
        if f"ffn_gate{suffix}.weight" in self.layer.tensors:
            hidden = g.glu(self.linear(cur, "ffn_gate" + suffix), up)
        elif up.ne[0] == 2 * self.need("ffn_down" + suffix).ne[0]:
            hidden = g.node("glu", (up,), shape(up.ne[0] // 2, up.ne[1]))
        else:
            hidden = g.unary(up)
        return self.linear(hidden, "ffn_down" + suffix)


def _repackable(info: TensorInfo) -> bool:
    """Whether the CPU backend of an x86 host with AVX2 stores the matrix in its own order (ggml-cpu/repack.cpp)."""
    stacked = "_exps." in info.name
    return (
        info.ggml_type in REPACKED_TYPES
        and len(info.shape) == (3 if stacked else 2)
        and info.shape[1] % 8 == 0
        and not info.name.startswith(("token_embd", "per_layer_token_embd"))
    )
