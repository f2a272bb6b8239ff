"""Gemma 3n and Gemma 4: per-layer embeddings, layers that read an earlier layer's cache, AltUp and Laurel.

Follows src/models/gemma3n.cpp and gemma4.cpp (build 11434).
"""

from splitter.memory.compute.experts import Routing, moe_of
from splitter.memory.compute.families import Walk
from splitter.memory.compute.graph import I32, Tensor, shape

SPARSE_LAYERS = 10  # n_layer_sparsity of gemma3n


def _norm(walk: Walk, cur: Tensor, name: str) -> Tensor:
    return walk.net.norm_with(cur, walk.net.need(name), None, rms=True)


def _bare(walk: Walk, cur: Tensor) -> Tensor:
    return walk.net.graph.node("rms_norm", (cur,), cur.ne)


def _plane(walk: Walk, cur: Tensor) -> Tensor:
    """One of the matrices stacked in `cur`."""
    return walk.net.graph.slice(cur, cur.ne[:2], (cur.nb[1],))


# -- per-layer embeddings ----------------------------------------------------------------------------------------------


def per_layer_inputs(walk: Walk, cur: Tensor) -> Tensor:
    """Looks up every layer's embeddings and adds a projection of the input: (width, tokens, layers)."""
    g, tokens = walk.net.graph, walk.net.dims.tokens
    table, weight, norm = (walk.top(f"per_layer_{name}.weight") for name in ("token_embd", "model_proj", "proj_norm"))
    width = norm.ne[0]
    layers = weight.ne[1] // width
    rows = g.get_rows(table, walk.net.named_input("per_layer_tokens", I32, tokens))
    rows = g.expand(g.scale(g.reshape(rows, width, layers, tokens)))
    projected = g.reshape(g.scale(g.mul_mat(weight, cur)), width, layers, tokens)
    projected = walk.net.norm_with(projected, norm, None, rms=True, in_layer=False)
    both = g.scale(g.add(projected, rows))
    return g.cont(g.permute(both, 0, 2, 1, 3), width, tokens, layers)


def _layer_input(walk: Walk, cur: Tensor, inputs: Tensor) -> Tensor:
    """The gated per-layer embedding of the current layer, projected back."""
    g = walk.net.graph
    gated = g.mul(g.unary(walk.net.linear(cur, "inp_gate")), _plane(walk, inputs))
    return _norm(walk, walk.net.linear(gated, "proj"), "post_norm")


# -- attention ---------------------------------------------------------------------------------------------------------


def _attention(walk: Walk, cur: Tensor) -> Tensor:
    """Normed Q, K and V; a layer without its own cache has only Q."""
    net, g, y = walk.net, walk.net.graph, walk.net.layer
    tokens, pos = net.dims.tokens, net.positions()
    q = g.reshape(net.linear(cur, "attn_q"), y.head_k, y.heads, tokens)
    q = net.rope(_norm(walk, q, "attn_q_norm"), pos)
    inputs = net.cache_inputs(y.swa, *walk.rotate[y.swa], walk.v_max)
    if y.cache_layer is not None:
        return net.linear(net.attend(q, None, None, inputs, None, softcap=False), "attn_output")
    k = net.linear(cur, "attn_k")
    v = net.linear(cur, "attn_v") if "attn_v.weight" in y.tensors else k
    k, v = (g.reshape(t, y.head_k, y.kv_heads, tokens) for t in (k, v))
    k, v = _norm(walk, k, "attn_k_norm"), _bare(walk, v)
    return net.linear(net.attend(q, net.rope(k, pos), v, inputs, None, softcap=False), "attn_output")


# -- Gemma 4 -----------------------------------------------------------------------------------------------------------


def gemma4_start(walk: Walk, cur: Tensor) -> Tensor:
    """The per-layer embeddings, where the model has them."""
    if walk.find("per_layer_model_proj.weight") is not None:
        walk.carried = per_layer_inputs(walk, cur)
    return cur


def _gemma4_experts(walk: Walk, cur: Tensor) -> Tensor:
    """A dense feed-forward beside the experts, whose router has a norm of its own."""
    net, g = walk.net, walk.net.graph
    dense = _norm(walk, net.ffn(_norm(walk, cur, "ffn_norm")), "post_ffw_norm_1")
    given = _norm(walk, cur, "pre_ffw_norm_2")
    scaled = g.mul(g.scale(_bare(walk, cur)), net.need("ffn_gate_inp.scale"))
    logits = g.mul_mat(net.need("ffn_gate_inp"), scaled)
    return g.add(dense, _norm(walk, moe_of(net, given, logits, Routing()), "post_ffw_norm_2"))


def gemma4_layer(walk: Walk, residual: Tensor, last: bool) -> Tensor:
    """All rows go through the last layer too: MTP reads them."""
    del last
    net, g = walk.net, walk.net.graph
    cur = _attention(walk, _norm(walk, residual, "attn_norm"))
    middle = g.add(_norm(walk, cur, "post_attention_norm"), residual)
    experts = "ffn_gate_inp.weight" in net.layer.tensors
    fed = _gemma4_experts(walk, middle) if experts else net.ffn(_norm(walk, middle, "ffn_norm"))
    cur = g.add(_norm(walk, fed, "post_ffw_norm"), middle)
    if walk.carried is not None:
        cur = g.add(cur, _layer_input(walk, cur, walk.carried))
    scale = net.weight("layer_output_scale")
    return cur if scale is None else g.mul(cur, scale)


# -- Gemma 3n ----------------------------------------------------------------------------------------------------------


def _magnitude(walk: Walk, cur: Tensor) -> Tensor:
    g = walk.net.graph
    total = g.node("sum_rows", (g.node("sqr", (cur,), cur.ne),), shape(1, *cur.ne[1:]))
    return g.node("sqrt", (total,), total.ne)


def _like(walk: Walk, cur: Tensor, target: Tensor) -> Tensor:
    """`cur` with the magnitude of `target`."""
    g = walk.net.graph
    size = _magnitude(walk, cur)
    return g.node("div", (g.mul(cur, target), size), cur.ne)


def gemma3n_start(walk: Walk, cur: Tensor) -> Tensor:
    """The per-layer embeddings, and the input projected to the other AltUp streams."""
    g = walk.net.graph
    walk.carried = per_layer_inputs(walk, cur)
    target = _magnitude(walk, cur)
    weight = walk.top("altup_proj.weight")
    repeated = g.node("repeat", (cur,), shape(cur.ne[0], cur.ne[1], weight.ne[2]))
    return g.concat(cur, _like(walk, g.mul_mat(weight, repeated), target), 2)


def _modalities(walk: Walk, cur: Tensor) -> Tensor:
    g = walk.net.graph
    routed = g.scale(_norm(walk, cur, "altup_router_norm"))
    return g.unary(g.mul_mat(walk.net.need("altup_router"), routed))


def _predict(walk: Walk, cur: Tensor) -> Tensor:
    g = walk.net.graph
    width, tokens, streams, _ = cur.ne
    coefficients = walk.net.linear(_modalities(walk, _plane(walk, cur)), "altup_predict_coef")
    coefficients = g.reshape(coefficients, streams, streams, tokens)
    turned = g.cont(g.permute(cur, 1, 2, 0, 3), streams, width, tokens)
    mixed = g.node("mul_mat", (turned, coefficients), shape(width, streams, tokens))
    return g.add(g.cont(g.permute(mixed, 0, 2, 1, 3), width, tokens, streams), cur)


def _correct(walk: Walk, predictions: Tensor, activated: Tensor) -> Tensor:
    g = walk.net.graph
    _, tokens, streams, _ = predictions.ne
    modalities = _modalities(walk, activated)
    innovation = g.binary("sub", activated, _plane(walk, predictions))
    coefficients = g.scale(walk.net.linear(modalities, "altup_correct_coef"))
    coefficients = g.cont(g.transpose(coefficients), 1, tokens, streams)
    repeated = g.node("repeat", (innovation,), predictions.ne)
    return g.add(g.mul(repeated, coefficients), predictions)


def _topk(walk: Walk, cur: Tensor) -> Tensor:
    """gaussian_topk: keeps what lies above a multiple of the standard deviation."""
    g = walk.net.graph
    one = shape(1, *cur.ne[1:])
    mean = g.node("mean", (cur,), one)
    off = g.binary("sub", cur, mean)
    total = g.scale(g.node("sum_rows", (g.node("sqr", (off,), cur.ne),), one))
    cutoff = g.add(mean, g.scale(g.node("sqrt", (total,), one)))
    return g.unary(g.binary("sub", cur, cutoff))


def _gemma3n_ffn(walk: Walk, cur: Tensor) -> Tensor:
    net, g = walk.net, walk.net.graph
    up, gate = net.linear(cur, "ffn_up"), net.linear(cur, "ffn_gate")
    if net.layer.index < SPARSE_LAYERS:
        gate = _topk(walk, gate)
    return net.linear(g.mul(up, g.unary(gate)), "ffn_down")


def gemma3n_layer(walk: Walk, residual: Tensor, last: bool) -> Tensor:
    """`residual` holds all AltUp streams: (width, tokens, streams)."""
    del last
    net, g = walk.net, walk.net.graph
    width, tokens, streams, _ = residual.ne
    predictions = _predict(walk, residual)
    active = _plane(walk, predictions)
    cur = _norm(walk, active, "attn_norm")
    laurel = net.linear(net.linear(cur, "laurel_l"), "laurel_r")
    laurel = g.add(_norm(walk, laurel, "laurel_post_norm"), cur)
    cur = g.add(_norm(walk, _attention(walk, cur), "post_attention_norm"), active)
    middle = g.scale(g.add(cur, laurel))
    cur = _norm(walk, _gemma3n_ffn(walk, _norm(walk, middle, "ffn_norm")), "post_ffw_norm")
    corrected = _correct(walk, predictions, g.add(cur, middle))
    first = g.mul(_plane(walk, corrected), net.need("altup_correct_scale"))
    first = first if walk.carried is None else _layer_input(walk, first, walk.carried)
    rest = g.slice(corrected, (width, tokens, streams - 1), corrected.nb[1:3])
    return g.concat(_plane(walk, corrected), g.add(rest, first), 2)


def gemma3n_finish(walk: Walk, cur: Tensor) -> Tensor:
    """Merges the streams and takes the rows that are wanted."""
    net, g = walk.net, walk.net.graph
    width, tokens, streams, _ = cur.ne
    target = _magnitude(walk, _plane(walk, cur))
    rest = g.slice(cur, (width, tokens, streams - 1), cur.nb[1:3])
    others = _like(walk, g.mul_mat(walk.top("altup_unembd_proj.weight"), rest), target)
    cur = _plane(walk, cur)
    for _ in range(streams - 1):
        cur = g.add(cur, _plane(walk, others))
    return g.get_rows(g.scale(cur), net.out_ids())
