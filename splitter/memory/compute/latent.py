"""MiniCPM 3: latent attention whose keys and values are unfolded before they are cached.

Follows src/models/minicpm3.cpp (build 11434).
"""

from splitter.memory.compute.families import Walk
from splitter.memory.compute.graph import Tensor, shape


def _unfolded(walk: Walk, cur: Tensor) -> tuple[Tensor, Tensor]:
    """Keys and values of all heads from the latent; the rotated part of the key is shared."""
    net, g, y, tokens = walk.net, walk.net.graph, walk.net.layer, walk.net.dims.tokens
    both = g.mul_mat(net.need("attn_kv_a_mqa"), cur)
    rank = net.need("attn_kv_a_norm").ne[0]
    turn = both.ne[0] - rank
    latent = g.slice(both, (rank, tokens), (both.nb[1],))
    shared = g.slice(both, (turn, 1, tokens), (both.nb[1], both.nb[1]))
    kv = g.mul_mat(net.need("attn_kv_b"), net.norm(latent, "attn_kv_a_norm"))
    nope = y.head_k - turn
    step = (4 * (nope + y.head_v), 4 * (nope + y.head_v) * y.heads)
    k, v = (g.slice(kv, (width, y.heads, tokens), step) for width in (nope, y.head_v))
    v = g.cont(v)
    repeated = g.node("repeat", (net.rope(shared, net.positions()),), shape(turn, y.heads, tokens))
    return g.concat(k, repeated), v


def minicpm3_layer(walk: Walk, residual: Tensor, last: bool) -> Tensor:
    """Both halves are scaled before they are added."""
    net, g, y = walk.net, walk.net.graph, walk.net.layer
    cur = net.norm(residual, "attn_norm")
    q = g.mul_mat(net.need("attn_q_b"), net.norm(g.mul_mat(net.need("attn_q_a"), cur), "attn_q_a_norm"))
    q = net.rope(g.reshape(q, y.head_k, y.heads, net.dims.tokens), net.positions())
    k, v = _unfolded(walk, cur)
    inputs = net.cache_inputs(y.swa, *walk.rotate[y.swa], walk.v_max)
    cur = net.linear(net.attend(q, k, v, inputs, None, softcap=False), "attn_output")
    if last:
        cur, residual = (g.get_rows(t, net.out_ids()) for t in (cur, residual))
    middle = g.add(g.scale(cur), residual)
    return g.add(g.scale(net.ffn(net.norm(middle, "ffn_norm"))), middle)
