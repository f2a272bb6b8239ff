"""RWKV 6 and 7, and their Qwen conversions: time mix, channel mix, token shift.

Follows src/models/rwkv6-base.cpp, rwkv7-base.cpp, rwkv6.cpp, rwkv7.cpp, rwkv6qwen2.cpp and arwkv7.cpp (build 11434).
"""

from splitter.memory.compute.families import Walk
from splitter.memory.compute.graph import Tensor, shape
from splitter.memory.compute.recurrent import load_state, save_state, state_cache


def rwkv_start(walk: Walk, cur: Tensor) -> Tensor:
    """RWKV norms its embedding."""
    return walk.net.norm_with(cur, walk.top("token_embd_norm.weight"), walk.top("token_embd_norm.bias"), in_layer=False)


def rwkv_layer(walk: Walk, residual: Tensor, last: bool) -> Tensor:
    """One layer; a conversion has an ordinary feed-forward and one shifted token."""
    net, g, d = walk.net, walk.net.graph, walk.net.dims
    width, per, count = residual.ne[0], d.tokens // d.sequences, d.sequences
    native = "channel_mix_key.weight" in net.layer.tensors
    residual = g.reshape(residual, width, per, count)
    cache = state_cache(net, width * (2 if native else 1))
    shift = g.reshape(load_state(net, cache), width, 2 if native else 1, count)
    normed = net.norm(residual, "attn_norm")
    mix = _time_mix7 if "time_mix_k_k.weight" in net.layer.tensors else _time_mix6
    cur = mix(walk, normed, _shifted(walk, shift, normed))
    newest = _newest(walk, normed)
    if not native:
        save_state(net, newest, cache)
    middle = g.add(cur, residual)
    if native:
        cur = net.norm(middle, "attn_norm_2")
        before = _shifted(walk, shift, cur)
        save_state(net, g.concat(newest, _newest(walk, cur), 1), cache)
        return _native_tail(walk, middle, cur, before, last)
    middle = g.reshape(middle, width, d.tokens)
    if last:
        middle = g.get_rows(middle, net.out_ids())
    return g.add(net.ffn(net.norm(middle, "ffn_norm")), middle)


def _shifted(walk: Walk, shift: Tensor, cur: Tensor) -> Tensor:
    """Each token's predecessor: the kept one, then all but the last."""
    g = walk.net.graph
    width, per, count, _ = cur.ne
    kept = g.slice(shift, (width, 1, count), shift.nb[1:3])
    return g.concat(kept, g.slice(cur, (width, per - 1, count), cur.nb[1:3]), 1)


def _newest(walk: Walk, cur: Tensor) -> Tensor:
    width, _, count, _ = cur.ne
    return walk.net.graph.slice(cur, (width, 1, count), cur.nb[1:3])


def _native_tail(walk: Walk, middle: Tensor, cur: Tensor, before: Tensor, last: bool) -> Tensor:
    """build_rwkv6_channel_mix, build_rwkv7_channel_mix."""
    net, g, d = walk.net, walk.net.graph, walk.net.dims
    middle, cur, before = (g.reshape(t, t.ne[0], d.tokens) for t in (middle, cur, before))
    if last:
        middle, cur, before = (g.get_rows(t, net.out_ids()) for t in (middle, cur, before))
    step = g.binary("sub", before, cur)
    keyed = g.add(g.mul(step, net.need("channel_mix_lerp_k")), cur)
    if "channel_mix_receptance.weight" not in net.layer.tensors:
        return g.add(net.linear(_squared(walk, keyed), "channel_mix_value"), middle)
    received = g.add(g.mul(step, net.need("channel_mix_lerp_r")), cur)
    gate = g.unary(net.linear(received, "channel_mix_receptance"))
    out = g.add(g.mul(gate, net.linear(_squared(walk, keyed), "channel_mix_value")), middle)
    every = walk.family.rescale_every
    return g.scale(out) if every and (net.layer.index + 1) % every == 0 else out


def _squared(walk: Walk, cur: Tensor) -> Tensor:
    g = walk.net.graph
    key = g.unary(walk.net.linear(cur, "channel_mix_key"))
    return g.node("sqr", (key,), key.ne)


def _lines(walk: Walk, stacked: Tensor, count: int) -> list[Tensor]:
    """Views of the inputs of r, w, k, v, a, g, stacked in one tensor."""
    g = walk.net.graph
    return [g.slice(stacked, (stacked.ne[0], walk.net.dims.tokens), (stacked.nb[1],)) for _ in range(count)]


def _attend(walk: Walk, parts: tuple[Tensor, ...], head: int) -> Tensor:
    """The recurrence: output and new state in one tensor; the state goes back to the cache."""
    net, g, d = walk.net, walk.net.graph, walk.net.dims
    heads, tokens = parts[0].ne[1], d.tokens
    width = head * heads
    cache = state_cache(net, width * head)
    state = load_state(net, cache)
    out = g.node("wkv", (*parts, state), shape(width, tokens + head * d.sequences))
    save_state(net, g.slice(out, (width * head * d.sequences,), ()), cache)
    return g.slice(out, (width * tokens,), ())


def _group_norm(walk: Walk, cur: Tensor, head: int) -> Tensor:
    net, g, tokens = walk.net, walk.net.graph, walk.net.dims.tokens
    width = cur.elements() // tokens
    if net.weight("time_mix_ln") is None:
        return g.reshape(cur, width, tokens)
    cur = g.reshape(cur, head, width // head, tokens)
    cur = g.reshape(g.node("norm", (cur,), cur.ne), width, tokens)
    return g.add(g.mul(cur, net.need("time_mix_ln")), net.need("time_mix_ln.bias"))


def _low(walk: Walk, cur: Tensor, name: str, inner: bool = False) -> Tensor:
    """A low-rank projection, with an activation between its halves where `inner`."""
    net, g = walk.net, walk.net.graph
    first = g.mul_mat(net.need(f"time_mix_{name}1"), cur)
    return g.mul_mat(net.need(f"time_mix_{name}2"), g.unary(first) if inner else first)


def _decay7(walk: Walk, cur: Tensor) -> Tensor:
    g = walk.net.graph
    w = g.add(_low(walk, cur, "w", inner=True), walk.net.need("time_mix_w0"))
    return g.unary(g.scale(g.unary(w)))


def _value7(walk: Walk, cur: Tensor) -> Tensor:
    """The value, mixed with the first layer's."""
    net, g = walk.net, walk.net.graph
    v = net.linear(cur, "time_mix_value")
    if walk.carried is None:
        walk.carried = v
        return v
    share = g.unary(g.add(_low(walk, cur, "v"), net.need("time_mix_v0")))
    return g.add(v, g.mul(g.binary("sub", walk.carried, v), share))


def _bonus(walk: Walk, product: Tensor) -> Tensor:
    g = walk.net.graph
    weighed = g.mul(product, g.reshape(walk.net.need("time_mix_r_k"), *product.ne[:2]))
    return g.node("sum_rows", (weighed,), shape(1, *weighed.ne[1:]))


def _key7(walk: Walk, k: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
    """The normed removal key, and the key that is stored."""
    net, g = walk.net, walk.net.graph
    head = net.dims.state.size
    removal = g.reshape(g.mul(k, net.need("time_mix_k_k")), head, k.ne[0] // head, net.dims.tokens)
    removal = g.node("l2_norm", (removal,), removal.ne)
    stored = g.mul(k, net.need("time_mix_k_a"))
    return removal, g.add(k, g.binary("sub", g.mul(a, stored), stored))


def _time_mix7(walk: Walk, cur: Tensor, before: Tensor) -> Tensor:
    net, g, d = walk.net, walk.net.graph, walk.net.dims
    width, per, count, _ = cur.ne
    gated = net.weight("time_mix_g1") is not None and net.weight("time_mix_g2") is not None
    lines = 6 if gated else 5
    step = g.binary("sub", before, cur)
    step = g.node("repeat", (step,), shape(width, per, count, lines))
    mixed = g.add(g.mul(step, net.need("time_mix_lerp_fused")), cur)
    xr, xw, xk, xv, xa, *xg = _lines(walk, mixed, lines)
    r, w = net.linear(xr, "time_mix_receptance"), _decay7(walk, xw)
    k, v = net.linear(xk, "time_mix_key"), _value7(walk, xv)
    gate = _low(walk, xg[0], "g", inner=True) if gated else None
    a = g.unary(g.add(_low(walk, xa, "a"), net.need("time_mix_a0")))
    head = d.state.size
    kk, k = _key7(walk, k, a)
    r, w, k, v, a = (g.reshape(t, head, width // head, d.tokens) for t in (r, w, k, v, a))
    negated, scaled = g.unary(kk), g.mul(kk, a)
    cur = _group_norm(walk, _attend(walk, (r, w, k, v, negated, scaled), head), head)
    cur = g.add(cur, g.reshape(g.mul(v, _bonus(walk, g.mul(k, r))), width, d.tokens))
    cur = cur if gate is None else g.mul(cur, gate)
    return g.reshape(net.linear(cur, "time_mix_output"), width, per, count)


def _mixed6(walk: Walk, cur: Tensor, step: Tensor) -> list[Tensor]:
    """The five inputs of RWKV 6, mixed by a low-rank projection of the token and its predecessor."""
    net, g, tokens = walk.net, walk.net.graph, walk.net.dims.tokens
    width = cur.ne[0]
    low = g.add(g.mul(step, net.need("time_mix_lerp_x")), cur)
    low = g.unary(g.mul_mat(net.need("time_mix_w1"), low))
    low = g.reshape(low, low.ne[0] // 5, 1, 5, tokens)
    low = g.cont(g.permute(low, 0, 1, 3, 2), low.ne[0], 1, tokens, 5)
    second = net.need("time_mix_w2")
    high = g.mul_mat(g.reshape(second, second.ne[0], second.ne[1], 1, 5), low)
    step, cur = (g.reshape(t, width, 1, tokens) for t in (step, cur))
    if net.weight("time_mix_lerp_fused") is not None:
        stacked = g.add(g.mul(g.add(high, net.need("time_mix_lerp_fused")), step), cur)
        return _lines(walk, stacked, 5)
    step, cur = (g.reshape(t, width, tokens) for t in (step, cur))
    lerps = [net.need(f"time_mix_lerp_{name}") for name in "wkvrg"]
    pairs = zip(_lines(walk, high, 5), lerps, strict=True)
    return [g.add(g.mul(g.add(line, lerp), step), cur) for line, lerp in pairs]


def _time_mix6(walk: Walk, cur: Tensor, before: Tensor) -> Tensor:
    net, g, d = walk.net, walk.net.graph, walk.net.dims
    width, per, count, _ = cur.ne
    head = d.state.size
    heads = width // head
    step = g.reshape(g.binary("sub", before, cur), width, d.tokens)
    xw, xk, xv, xr, xg = _mixed6(walk, g.reshape(cur, width, d.tokens), step)
    r, k, v = (net.linear(x, f"time_mix_{n}") for x, n in ((xr, "receptance"), (xk, "key"), (xv, "value")))
    gate = g.unary(net.linear(xg, "time_mix_gate"))
    if k.ne[0] != width:
        k, v = (_repeated(walk, t, head, heads) for t in (k, v))
    k, v, r = (g.reshape(t, head, heads, d.tokens) for t in (k, v, r))
    w = g.add(_decay6(walk, xw), net.need("time_mix_decay"))
    w = g.reshape(g.unary(g.unary(g.unary(w))), head, heads, d.tokens)
    first = net.weight("time_mix_first")
    if first is None:
        k = g.binary("sub", k, g.mul(k, w))
    cur = _attend(walk, (k, v, r, w) if first is None else (k, v, r, first, w), head)
    cur = g.reshape(cur, width, d.tokens) if first is None else _group_norm(walk, cur, head)
    return g.reshape(net.linear(g.mul(cur, gate), "time_mix_output"), width, per, count)


def _decay6(walk: Walk, cur: Tensor) -> Tensor:
    net, g = walk.net, walk.net.graph
    first = g.unary(g.mul_mat(net.need("time_mix_decay_w1"), cur))
    return g.mul_mat(net.need("time_mix_decay_w2"), first)


def _repeated(walk: Walk, cur: Tensor, head: int, heads: int) -> Tensor:
    g, tokens = walk.net.graph, walk.net.dims.tokens
    groups = cur.ne[0] // head
    cur = g.reshape(cur, head, 1, groups, tokens)
    return g.node("repeat", (cur,), shape(head, heads // groups, groups, tokens))
