"""How each family of architectures strings the blocks together: one function per kind of layer.

Follows src/models/*.cpp (build 11434). What a layer is made of is read off its tensors, so that an architecture
without an entry here is still described by its header.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from splitter.memory.compute.blocks import Net
from splitter.memory.compute.experts import Routing, moe, moe_of
from splitter.memory.compute.graph import F16, F32, I32, I64, Tensor, shape


@dataclass(frozen=True, slots=True)
class GraphFamily:
    """What the tensor names do not tell.

    `scale_rows`: the embedding is scaled by an input of its own; `scale_embedding`: by a plain scale; `logits`: the
    model has any; `logit_scale`: they pass one (1) or three (3) in-place steps; `scale_result`: what the head reads is
    scaled; `fill_vocabulary`: words that the head lacks are filled in; `scale_residual`: what a layer adds is scaled;
    `scale_q`: Q is scaled in the graph; `softmax_after`: expert weights are normalised after the choice;
    `route_first`: the router reads what the layer reads, and its logits wait for the experts; `rope_factors`: in which
    layers the model's own frequency factors, where it has any, are used (full: those without a sliding window); `rope`:
    which layers rotate (windowed: those with a sliding window where any has one; quarters: all but each fourth; 32
    layers: all of a model with so many); `rope_first`: before the norms of Q and K; `llama4`: norms without weights
    after that, and layers that scale Q instead.
    """

    scale_rows: bool = False
    scale_embedding: bool = False
    logit_scale: int = 0
    logits: bool = True
    scale_result: bool = False
    fill_vocabulary: bool = False
    scale_residual: bool = False
    scale_q: bool = False
    softmax_after: bool = False
    attention_softcap: bool = False
    mixed: bool = True
    late_rows: Literal["", "before_norm", "after_norm"] = ""
    expand_norm: bool = False
    layer_norm: bool = False
    bare_norm: bool = False
    cached: bool = True
    clamp: bool = False
    rope: Literal["all", "windowed", "quarters", "32 layers", "none"] = "all"
    rope_first: bool = False
    llama4: bool = False
    route_first: bool = False
    rope_factors: Literal["all", "full", "none"] = "all"
    first: Literal["ffn", "residual", "attention"] = "ffn"
    weigh_first: bool = False
    rescale_every: int = 0


EXPERTS_OF_MAVERICK = 128  # the Llama 4 whose Q and K have no norm
MIXERS = ("attn_output.weight", "ssm_out.weight", "shortconv.out_proj.weight")
QWEN_LINEAR = GraphFamily(late_rows="after_norm", expand_norm=True)
LAYER_NORM = GraphFamily(layer_norm=True)
DIFFUSION = GraphFamily(cached=False)
FAMILIES: dict[str, GraphFamily] = {
    "gemma": GraphFamily(scale_embedding=True),
    "gemma2": GraphFamily(scale_embedding=True, scale_q=True, logit_scale=3, attention_softcap=True),
    "gemma3": GraphFamily(scale_rows=True, scale_q=True),
    "gemma3n": GraphFamily(scale_rows=True, logit_scale=3),
    "gemma4": GraphFamily(scale_rows=True, logit_scale=3, late_rows="after_norm", rope_factors="full"),
    **dict.fromkeys(("rwkv6", "rwkv7"), GraphFamily(layer_norm=True)),
    **dict.fromkeys(("rwkv6qwen2", "arwkv7"), GraphFamily()),
    "gemma-embedding": GraphFamily(scale_rows=True, scale_q=True, cached=False, logits=False),
    "modern-bert": GraphFamily(layer_norm=True, cached=False, logits=False),
    **dict.fromkeys(("neo-bert", "eurobert", "t5encoder"), GraphFamily(cached=False, logits=False)),
    **dict.fromkeys(("bert", "jina-bert-v2"), GraphFamily(layer_norm=True, cached=False, logits=False, rope="none")),
    **dict.fromkeys(
        ("nomic-bert", "nomic-bert-moe", "jina-bert-v3"), GraphFamily(layer_norm=True, cached=False, logits=False)
    ),
    "granitehybrid": GraphFamily(scale_residual=True, logit_scale=1, rope="all"),
    "qwen3tts": GraphFamily(fill_vocabulary=True),
    "minicpm3": GraphFamily(scale_embedding=True, scale_result=True),
    "step35": GraphFamily(late_rows="before_norm", rope_factors="full"),
    "t5": GraphFamily(),
    "gpt-oss": GraphFamily(softmax_after=True, late_rows="before_norm"),
    "qwen3next": QWEN_LINEAR,
    "qwen35": QWEN_LINEAR,
    "qwen35moe": QWEN_LINEAR,
    "nemotron_h": GraphFamily(late_rows="after_norm", rope="none"),
    "nemotron_h_moe": GraphFamily(late_rows="after_norm", rope="none"),
    "jamba": GraphFamily(rope="none"),
    "llama4": GraphFamily(weigh_first=True, rope="quarters", llama4=True),
    "baichuan": GraphFamily(rope="32 layers"),
    **dict.fromkeys(("afmoe", "smollm3"), GraphFamily(rope="quarters")),
    **dict.fromkeys(("hunyuan-dense", "hunyuan-moe", "hunyuan_vl", "maincoder"), GraphFamily(rope_first=True)),
    "olmo": GraphFamily(layer_norm=True, bare_norm=True, clamp=True),
    "phi2": GraphFamily(layer_norm=True, scale_q=True, first="attention"),
    **dict.fromkeys(("phi3", "phimoe"), GraphFamily(scale_q=True)),
    "command-r": GraphFamily(layer_norm=True, logit_scale=1, first="residual"),
    "cohere2": GraphFamily(layer_norm=True, logit_scale=1, first="residual", rope="windowed"),
    **dict.fromkeys(("exaone4", "exaone-moe", "maple", "muse-glimmer"), GraphFamily(rope="windowed")),
    "cohere2moe": GraphFamily(logit_scale=1, first="residual", rope="windowed", late_rows="after_norm"),
    **dict.fromkeys(("hy_v3", "bailingmoe3"), GraphFamily(late_rows="after_norm")),
    "smallthinker": GraphFamily(route_first=True, rope="windowed"),
    **dict.fromkeys(("bloom", "gpt2", "jais", "mpt", "starcoder"), GraphFamily(layer_norm=True, rope="none")),
    "dbrx": GraphFamily(layer_norm=True, clamp=True),
    **dict.fromkeys(("dream", "llada-moe", "rnd1"), DIFFUSION),
    "llada": GraphFamily(cached=False, rope_factors="none"),
    **dict.fromkeys(
        (*("codeshell", "falcon", "gptneox", "jais2", "nemotron", "orion", "pockettts", "stablelm", "starcoder2"),),
        LAYER_NORM,
    ),
}

# Whose graphs multiply by the scales of a feed-forward matrix, where a file has any (`.scale`, of NVFP4 models): those
# that hand them to build_ffn and build_moe_ffn. All but NO_OUTPUT_SCALE do so with the attention's output.
DENSE_SCALES = frozenset(
    """
    bitnet clef cohere2 cohere2moe deepseek32 dflash dots3note gemma4 glm-dsa hy_v3 llama llama-embed mistral3 nanbeige
    nemotron_h nemotron_h_moe qwen3 qwen35 talkie
    """.split()  # noqa: SIM905
)
EXPERT_SCALES = frozenset(
    """
    cohere2moe deepseek32 dots3note gemma4 glm-dsa hy_v3 llama llama-embed mellum mistral3 nemotron_h nemotron_h_moe
    qwen35moe qwen3moe qwen3next qwen4exp
    """.split()  # noqa: SIM905
)
NO_OUTPUT_SCALE = frozenset(("arwkv7", "bailingmoe3", "deepseek4", "glm5-next", "hy_v4", "jina-bert-v2", "jina-bert-v3",
    "kimi-k3", "rwkv6", "rwkv7", "wavtokenizer-dec"))  # fmt: skip

# Whose graphs divide the weights of the chosen experts by their sum only where the header says so, and those that never
# do (the norm_w that they hand to build_moe_ffn).
NORM_BY_HEADER = frozenset(
    """
    afmoe bailingmoe bailingmoe2 bailingmoe3 cohere2moe deepseek2 deepseek2-ocr deepseek32 deepseek4 dflash dots1
    dots3note exaone-moe glm-dsa glm4moe glm5-next hy_v3 hy_v4 kimi-k3 laguna minimax-m3 nemotron_h nemotron_h_moe
    step35
    """.split()  # noqa: SIM905
)
NEVER_NORM = frozenset(("nomic-bert-moe", "deepseek", "jamba", "llada-moe", "llama4", "olmoe", "gpt-oss", "qwen2moe"))


def divides_weights(architecture: str, header: bool) -> bool:
    """Whether the weights of the chosen experts are divided by their sum; `header`: expert_weights_norm."""
    return header if architecture in NORM_BY_HEADER else architecture not in NEVER_NORM


def unscaled(architecture: str) -> frozenset[str]:
    """The matrices whose scales the architecture's graph leaves out."""
    names = ["attn_output"] if architecture in NO_OUTPUT_SCALE else []
    for part in ("up", "gate", "down", "gate_up"):
        names += [] if architecture in DENSE_SCALES else [f"ffn_{part}"]
        names += [] if architecture in EXPERT_SCALES else [f"ffn_{part}_exps"]
        names += (
            [] if architecture in EXPERT_SCALES - {"gemma4", "llama", "mellum", "mistral3"} else [f"ffn_{part}_shexp"]
        )
    return frozenset(names)


@dataclass(slots=True)
class Walk:
    """What the layers of one graph share.

    `find` gives a weight outside the layers by its name; `carried` is what an architecture hands from layer to layer.
    """

    net: Net
    family: GraphFamily
    rotate: dict[bool, tuple[int, int]]
    v_max: int
    find: Callable[[str], Tensor | None]
    chosen: Tensor | None = None
    carried: Tensor | None = None
    logits: Tensor | None = None

    def top(self, name: str) -> Tensor:
        """The weight called `name`; KeyError where the model has none."""
        weight = self.find(name)
        if weight is None:
            raise KeyError(name)
        return weight


def self_attention(walk: Walk, cur: Tensor) -> Tensor:
    """Norms of Q and K, rotation, cache, attention and output projection."""
    net, y = walk.net, walk.net.layer
    q, k, v, gate = net.qkv_gated(cur) if _gated(net) else (*net.qkv(cur), None)
    pos = net.positions()
    q, k = _normed_and_turned(walk, q, k, pos)
    if walk.family.scale_q:
        q = net.graph.scale(q)
    if not walk.family.cached:
        return net.linear(net.attend_batch(q, k, v), "attn_output")
    inputs = net.cache_inputs(y.swa, *walk.rotate[y.swa], walk.v_max)
    out = net.attend(q, k, v, inputs, net.weight("attn_sinks"), walk.family.attention_softcap)
    if gate is not None:
        out = net.graph.mul(out, net.graph.unary(gate))
    elif "attn_gate.weight" in y.tensors:
        out = net.graph.mul(out, net.graph.unary(net.linear(cur, "attn_gate")))
    return net.linear(out, "attn_output")


def _normed_and_turned(walk: Walk, q: Tensor, k: Tensor, pos: Tensor) -> tuple[Tensor, Tensor]:
    """Q and K with their norms and rotated, in the family's order."""
    net, family, ropes = walk.net, walk.family, walk.net.layer.ropes
    if ropes and family.rope_first:
        q, k = net.rope(q, pos), net.rope(k, pos)
    q, k = _normed(net, q, "attn_q_norm"), _normed(net, k, "attn_k_norm")
    if ropes and not family.rope_first:
        q, k = net.rope(q, pos), net.rope(k, pos)
    if not family.llama4:
        return q, k
    if not ropes:
        return net.graph.mul(q, net.named_input("attn_scale", F32, 1, 1, net.dims.tokens)), k
    if net.dims.experts == EXPERTS_OF_MAVERICK:
        return q, k
    return net.graph.node("rms_norm", (q,), q.ne), net.graph.node("rms_norm", (k,), k.ne)


def _normed(net: Net, cur: Tensor, name: str) -> Tensor:
    """The norm of every head, or of all of them as one row before they are told apart."""
    weight = net.weight(name)
    if weight is None or weight.ne[0] == cur.ne[0] or cur.op != "reshape":
        return net.norm(cur, name)
    return net.graph.reshape(net.norm(cur.src[0], name), *cur.ne)


def _gated(net: Net) -> bool:
    """Whether the projection of Q holds a gate of the same size (Qwen3-Next, Qwen3.5)."""
    q = net.layer.tensors.get("attn_q.weight")
    return q is not None and q.shape[1] == 2 * net.layer.heads * net.layer.head_k


def mla_attention(walk: Walk, cur: Tensor) -> Tensor:
    """Multi-head latent attention with the absorbed projections (src/models/deepseek2.cpp)."""
    net, g, y = walk.net, walk.net.graph, walk.net.layer
    tokens, pos = net.dims.tokens, net.positions()
    rank = net.need("attn_kv_a_norm").ne[0]
    k_b = net.need("attn_k_b")
    nope, heads = k_b.ne[0], k_b.ne[2]
    if "attn_q_a.weight" in y.tensors:
        low = net.norm(g.mul_mat(net.need("attn_q_a"), cur), "attn_q_a_norm")
        if y.indexes:
            walk.chosen = index(net, cur, low)
        q = g.mul_mat(net.need("attn_q_b"), low)
    else:
        q = g.mul_mat(net.need("attn_q"), cur)
    q = g.reshape(q, q.ne[0] // heads, heads, tokens)
    both = g.mul_mat(net.need("attn_kv_a_mqa"), cur)
    turn = both.ne[0] - rank
    latent = g.slice(both, (rank, tokens), (both.nb[1],))
    k_pe = net.rope(g.slice(both, (turn, 1, tokens), (both.nb[1], both.nb[1])), pos)
    latent = net.norm(latent, "attn_kv_a_norm")
    q_nope = g.slice(q, (nope, heads, tokens), q.nb[1:3])
    q_pe = net.rope(g.slice(q, (turn, heads, tokens), q.nb[1:3]), pos)
    absorbed = g.permute(g.mul_mat(k_b, g.permute(q_nope, 0, 2, 1, 3)), 0, 2, 1, 3)
    q = g.concat(absorbed, q_pe)
    k = g.concat(g.reshape(latent, rank, 1, tokens), k_pe)
    inputs = net.cache_inputs(False, 0, 0, 0)
    g.expand(q)
    g.expand(k)
    cache = net.cache(net.dims.type_k, k.ne[0], False)
    net.store(cache, k, inputs.k_idxs)
    kept = net.cached(cache, k.ne[0], 1)
    value = g.slice(kept, (rank, *kept.ne[1:]), kept.nb[1:])
    mask = inputs.mask if walk.chosen is None else sparse_mask(net, inputs.mask, walk.chosen)
    out = net.mha(q, kept, value, mask, None, net.need("attn_v_b"), softcap=False)
    return net.linear(out, "attn_output")


def index(net: Net, cur: Tensor, low: Tensor) -> Tensor:
    """DeepSeek's lightning indexer: the cells that each token attends to (src/models/deepseek32.cpp)."""
    g, d = net.graph, net.dims
    heads, pos = net.need("indexer.proj").ne[1], net.positions()
    width = net.need("indexer.attn_k").ne[1]
    rotation = net.named_input("k_rot_lid", F32, width, width)
    q = g.reshape(g.mul_mat(net.need("indexer.attn_q_b"), low), width, heads, d.tokens)
    q = g.mul_mat(rotation, net.rope(q, pos))
    k = g.mul_mat(net.need("indexer.attn_k"), cur)
    k = net.norm_with(k, net.need("indexer.k_norm"), net.weight("indexer.k_norm.bias"), rms=False)
    k = g.mul_mat(rotation, net.rope(g.reshape(k, width, 1, d.tokens), pos))
    cache = net.cache(d.type_k, width, False)
    net.store(cache, k, net.named_input("k_idxs_lid", I64, d.tokens))
    kept = net.cached(cache, width, 1)
    share = d.tokens // d.streams
    weights = g.mul_mat(net.need("indexer.proj"), cur)
    weights = g.scale(g.slice(weights, (heads, share, 1, d.streams), (weights.nb[1],)))
    q = g.slice(q, (width, heads, share, d.streams), q.nb[1:3])
    mask = net.named_input("kq_mask_lid", F16, d.cells, share, 1, d.streams)
    score = g.node("lightning_indexer", (q, kept, weights, mask), shape(d.cells, share, 1, d.streams))
    count = min(d.cells, d.top_k)
    return g.cont(g.node("top_k", (score,), shape(count, share, 1, d.streams), I32))


def sparse_mask(net: Net, mask: Tensor, chosen: Tensor) -> Tensor:
    """A mask that is open at the chosen cells; its source of zeros is a leaf of every layer, allocated ahead."""
    g = net.graph
    count, share, _, streams = chosen.ne
    closed = g.node("fill", (mask,), mask.ne, mask.type)
    cells = g.slice(closed, (1, mask.ne[0], share, streams), mask.nb[:3])
    picked = g.slice(chosen, (count, share, streams), chosen.nb[1:3])
    zeros = g.node("fill", (g.leaf(F32, 1, count, share, streams),), shape(1, count, share, streams))
    opened = g.set_rows(cells, zeros, picked)
    wide = g.slice(opened, mask.ne, (opened.nb[2], opened.nb[3], opened.nb[3]))
    return g.add(wide, mask)


def feed_forward(walk: Walk, cur: Tensor) -> Tensor:
    """Dense or experts, with a shared expert where there is one."""
    net = walk.net
    if "ffn_gate_inp.weight" not in net.layer.tensors:
        return net.ffn(cur)
    family = walk.family
    routing = Routing(net.dims.norm_weights, family.softmax_after, family.weigh_first)
    out = moe(net, cur, routing) if walk.logits is None else moe_of(net, cur, walk.logits, routing)
    if "ffn_up_shexp.weight" in net.layer.tensors:
        shared = net.ffn(cur, "_shexp")
        if "ffn_gate_inp_shexp.weight" in net.layer.tensors:
            shared = net.graph.mul(shared, net.graph.unary(net.linear(cur, "ffn_gate_inp_shexp")))
        out = net.graph.add(out, shared)
    return out


def mix(walk: Walk, cur: Tensor) -> Tensor:
    """Attention, or what a layer has in its place."""
    net = walk.net
    tensors = net.layer.tensors
    if "shortconv.conv.weight" in tensors:
        from splitter.memory.compute.recurrent import short_convolution

        return short_convolution(net, cur)
    if "ssm_conv1d.weight" in tensors:
        from splitter.memory.compute.recurrent import delta_net, mamba

        return mamba(net, cur) if {"ssm_x.weight", "ssm_d.weight"} & set(tensors) else delta_net(net, cur)
    return mla_attention(walk, cur) if "attn_kv_a_mqa.weight" in tensors else self_attention(walk, cur)


def lone_layer(walk: Walk, residual: Tensor, last: bool) -> Tensor:
    """A layer that is either mixer or feed-forward (Nemotron-H, Mamba)."""
    net = walk.net
    cur = net.norm(residual, "attn_norm")
    feeds = "ffn_down.weight" in net.layer.tensors or "ffn_down_exps.weight" in net.layer.tensors
    cur = feed_forward(walk, cur) if feeds else mix(walk, cur)
    if last and not walk.family.late_rows:
        cur, residual = (net.graph.get_rows(t, net.out_ids()) for t in (cur, residual))
    return net.graph.add(cur, residual)


def double_mix(walk: Walk, residual: Tensor, cur: Tensor) -> Tensor:
    """Attention and Mamba side by side (Falcon-H1)."""
    from splitter.memory.compute.recurrent import mamba

    net = walk.net
    attended = self_attention(walk, cur)
    return net.graph.add(attended, mamba(net, net.norm(residual, "attn_norm")))


def transformer_layer(walk: Walk, residual: Tensor, last: bool) -> Tensor:
    """Mixer and feed-forward with their residuals, one after the other or side by side."""
    net, g = walk.net, walk.net.graph
    tensors = net.layer.tensors
    early = last and not walk.family.late_rows
    after = "post_ffw_norm.weight" in tensors
    before = "post_attention_norm" if "ffn_norm.weight" not in tensors and not after else "ffn_norm"
    before = "attn_output_norm" if "attn_output_norm.weight" in tensors else before
    side_by_side = f"{before}.weight" not in tensors and not after and not walk.family.bare_norm
    walk.logits = net.linear(residual, "ffn_gate_inp") if walk.family.route_first else None
    start = net.norm(residual, "attn_norm")
    if walk.family.expand_norm:
        g.expand(start)
    cur = start if "attn_norm_2.weight" not in tensors else net.norm(residual, "attn_norm_2")
    if "attn_output.weight" in tensors and "ssm_in.weight" in tensors:
        cur = double_mix(walk, residual, cur)
    else:
        cur = mix(walk, cur)
    if early:
        cur, residual = (g.get_rows(t, net.out_ids()) for t in (cur, residual))
        start = g.get_rows(start, net.out_ids()) if side_by_side else start
        walk.logits = None if walk.logits is None else g.get_rows(walk.logits, net.out_ids())
    if side_by_side:
        fed = feed_forward(walk, start)
        if walk.family.first == "residual":
            return g.add(g.add(fed, residual), cur)
        return g.add(g.add(cur, fed) if walk.family.first == "attention" else g.add(fed, cur), residual)
    if before == "ffn_norm":
        cur = net.norm(cur, "post_attention_norm")
    if walk.family.scale_residual:
        cur = g.scale(cur)
    middle = g.add(cur, residual)
    cur = feed_forward(walk, net.norm(middle, before))
    if walk.family.scale_residual:
        cur = g.scale(cur)
    return g.add(net.norm(cur, "post_ffw_norm"), middle)


def layer(walk: Walk, residual: Tensor, last: bool) -> Tensor:
    """One repeating layer of whatever kind its tensors say."""
    tensors = walk.net.layer.tensors
    feeds = "ffn_down.weight" in tensors or "ffn_down_exps.weight" in tensors
    mixes = any(name in tensors for name in MIXERS)
    if feeds and mixes:
        return transformer_layer(walk, residual, last)
    return lone_layer(walk, residual, last)


def _fill_vocabulary(walk: Walk, cur: Tensor, norm: Tensor) -> Tensor:
    """Minus infinity for the words that only the input knows (src/models/qwen3vl.cpp)."""
    g = walk.net.graph
    missing = walk.top("token_embd.weight").ne[1] - cur.ne[0]
    if missing <= 0:
        return cur
    one = g.scale(g.slice(norm, (1,), ()))
    return g.concat(g.node("repeat", (one,), shape(missing, cur.ne[1])), cur)


def output(walk: Walk, cur: Tensor, norm: tuple[Tensor | None, Tensor | None], head: Tensor) -> Tensor:
    """The final norm (kept: it is an output of the graph) and the logits."""
    net, g = walk.net, walk.net.graph
    if walk.family.late_rows == "before_norm":
        cur.is_output = True
        cur = g.get_rows(cur, net.out_ids())
    cur = net.norm_with(cur, *norm, in_layer=False)
    if walk.family.late_rows == "after_norm":
        cur.is_output = True
        cur = g.get_rows(cur, net.out_ids())
    cur.is_output = True
    if walk.family.scale_result:
        cur = g.scale(cur)
    cur = g.mul_mat(head, cur)
    if walk.family.fill_vocabulary and norm[0] is not None:
        cur = _fill_vocabulary(walk, cur, norm[0])
    if walk.family.logit_scale:
        cur = g.scale(cur)
    if walk.family.logit_scale > 1:
        cur = g.scale(g.unary(cur))
    cur.is_output = True
    return g.expand(cur)


def draft(walk: Walk, head: Callable[[str], Tensor]) -> Tensor:
    """An MTP layer: the embedding beside the hidden state of the token before, projected, then a layer as any other.

    `head` finds what the layer has not of its own: token_embd, output_norm and output.
    """
    net, g, d = walk.net, walk.net.graph, walk.net.dims
    table = net.weight("nextn.embed_tokens") or head("token_embd.weight")
    rows = g.get_rows(table, net.named_input("inp_tokens", I32, d.tokens))
    hidden = net.named_input("mtp_h_input", F32, d.embedding, d.tokens)
    both = g.concat(net.norm(rows, "nextn.enorm"), net.norm(hidden, "nextn.hnorm"))
    cur = layer(walk, net.linear(both, "nextn.eh_proj"), False)
    norm = net.weight("nextn.shared_head_norm") or head("output_norm.weight")
    cur = net.norm_with(cur, norm, None, in_layer=False)
    cur.is_output = True
    cur = g.mul_mat(net.weight("nextn.shared_head_head") or head("output.weight"), g.get_rows(cur, net.out_ids()))
    cur.is_output = True
    return g.expand(cur)


def embedding(walk: Walk, cur: Tensor, positions: Tensor | None) -> Tensor:
    """What follows the embedding lookup: learned positions or a scale."""
    g = walk.net.graph
    if positions is not None:
        cur = g.add(cur, g.get_rows(positions, walk.net.positions()))
    return g.scale(cur) if walk.family.scale_embedding else cur


def without_logits(walk: Walk, cur: Tensor, name: str) -> Tensor:
    """The final norm called `name`, if the model has one, is the result."""
    weight, bias = walk.find(f"{name}.weight"), walk.find(f"{name}.bias")
    if weight is not None:
        cur = walk.net.norm_with(cur, weight, bias, in_layer=False)
    cur.is_output = True
    return walk.net.graph.expand(cur)
