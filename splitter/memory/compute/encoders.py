"""Encoders (BERT and its kin, T5's encoder) and T5's decoder: no logits, or attention with a position bias.

Follows src/models/bert.cpp, t5.cpp and t5encoder.cpp, build_pos_bias of src/llama-graph.cpp (build 11434).
"""

from splitter.memory.compute.experts import Routing, moe
from splitter.memory.compute.families import Walk
from splitter.memory.compute.graph import F32, I32, Tensor


def normed_start(walk: Walk, cur: Tensor) -> Tensor:
    """Token types, where there are any, and a norm of the embedding."""
    types = walk.find("token_types.weight")
    if types is not None:
        cur = walk.net.graph.add(cur, walk.net.graph.slice(types, (cur.ne[0],), ()))
    return walk.net.norm_with(
        cur, walk.find("token_embd_norm.weight"), walk.find("token_embd_norm.bias"), in_layer=False
    )


def bert_layer(walk: Walk, residual: Tensor, last: bool) -> Tensor:
    """Norms come after each half."""
    net, g, y = walk.net, walk.net.graph, walk.net.layer
    q, k, v = net.qkv(residual)
    q, k = (_flat_norm(walk, t, name) for t, name in ((q, "attn_q_norm"), (k, "attn_k_norm")))
    if walk.net.layer.ropes:
        q, k = net.rope(q, net.positions()), net.rope(k, net.positions())
    cur = net.linear(net.attend_batch(q, k, v), "attn_output")
    if last:
        cur, residual = (g.get_rows(t, net.out_ids()) for t in (cur, residual))
    cur = net.norm(g.add(cur, residual), "attn_output_norm")
    if "attn_norm_2.weight" in y.tensors:
        cur = net.norm(g.add(cur, residual), "attn_norm_2")
    experts = "ffn_gate_inp.weight" in y.tensors
    fed = moe(net, cur, Routing(normalised=False)) if experts else net.ffn(cur)
    return net.norm(g.add(fed, cur), "layer_output_norm")


def _flat_norm(walk: Walk, cur: Tensor, name: str) -> Tensor:
    """A norm over all heads at once."""
    g = walk.net.graph
    if walk.net.weight(name) is None:
        return cur
    flat = g.reshape(cur, cur.ne[0] * cur.ne[1], cur.ne[2])
    return g.reshape(walk.net.norm(flat, name), *cur.ne)


# -- T5 ----------------------------------------------------------------------------------------------------------------


def _bias(walk: Walk, buckets: Tensor) -> Tensor:
    """build_pos_bias: a bias of every head for every pair of positions; the first layer's table may serve all."""
    g = walk.net.graph
    table = walk.net.weight("attn_rel_b") or walk.carried or walk.net.need("attn_rel_b")
    walk.carried = walk.carried or table
    rows = g.get_rows(table, g.reshape(buckets, buckets.elements()))
    rows = g.reshape(rows, rows.ne[0], *buckets.ne[:2])
    return g.cont(g.permute(rows, 2, 0, 1, 3), buckets.ne[0], buckets.ne[1], rows.ne[0])


def t5_encoder_layer(walk: Walk, residual: Tensor, last: bool) -> Tensor:
    """Attention within the batch, feed-forward."""
    net, d = walk.net, walk.net.dims
    q, k, v = net.qkv(net.norm(residual, "attn_norm"))
    bias = _bias(walk, net.named_input("pos_bucket", I32, d.tokens, d.tokens))
    cur = net.linear(net.attend_batch(q, k, v, bias), "attn_o")
    return _t5_tail(walk, cur, residual, last)


def t5_decoder_layer(walk: Walk, residual: Tensor, last: bool) -> Tensor:
    """Attention over the cache, attention over the encoder's output, feed-forward."""
    net, g, d, y = walk.net, walk.net.graph, walk.net.dims, walk.net.layer
    encoded = net.named_input("cross_embd", F32, residual.ne[0], d.context_train)
    q, k, v = net.qkv(net.norm(residual, "attn_norm"))
    bias = _bias(walk, net.named_input("pos_bucket", I32, d.cells, d.tokens))
    inputs = net.cache_inputs(False, *walk.rotate[False], walk.v_max)
    cur = g.add(net.linear(net.attend(q, k, v, inputs, None, softcap=False, bias=bias), "attn_o"), residual)
    q = g.reshape(net.linear(net.norm(cur, "cross_attn_norm"), "cross_attn_q"), y.head_k, y.heads, d.tokens)
    k, v = (
        g.reshape(net.linear(encoded, f"cross_attn_{name}"), width, y.kv_heads, d.context_train)
        for name, width in (("k", y.head_k), ("v", y.head_v))
    )
    attended = net.linear(net.attend_batch(q, k, v, cells=d.context_train), "cross_attn_o")
    return _t5_tail(walk, attended, cur, last)


def _t5_tail(walk: Walk, cur: Tensor, residual: Tensor, last: bool) -> Tensor:
    net, g = walk.net, walk.net.graph
    if last:
        cur, residual = (g.get_rows(t, net.out_ids()) for t in (cur, residual))
    middle = g.add(cur, residual)
    return g.add(net.ffn(net.norm(middle, "ffn_norm")), middle)
