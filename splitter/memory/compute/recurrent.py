"""Layers that carry a state from token to token: delta nets, Mamba, short convolutions.

Follows src/models/delta-net-base.cpp, mamba-base.cpp, qwen35.cpp, qwen3next.cpp and lfm2.cpp (build 11434).
"""

from splitter.memory.compute.blocks import Net
from splitter.memory.compute.graph import F32, I32, Tensor, shape


def state_cache(net: Net, width: int) -> Tensor:
    """The rolling or recurrent state of every sequence."""
    tensor = net.graph.leaf(F32, width, net.dims.sequences)
    tensor.home = net.cache_home
    return tensor


def load_state(net: Net, cache: Tensor) -> Tensor:
    """build_rs: the states of the batch's sequences, gathered."""
    g, count = net.graph, net.dims.sequences
    states = _clear_one(net, cache)
    rows = g.get_rows(states, net.named_input("rs_s_copy", I32, count))
    held = g.expand(g.slice(rows, (cache.ne[0], count), (rows.nb[1],)))
    save_state(net, g.slice(rows, (cache.ne[0], 0), (rows.nb[1],)), cache)
    return held


def _clear_one(net: Net, cache: Tensor) -> Tensor:
    """The states as rows; one is cleared in the cache, which tells the scheduler the device."""
    g = net.graph
    states = g.reshape(cache, cache.ne[0], net.dims.sequences)
    row = g.slice(states, (cache.ne[0],), ())
    cleared = g.viewed("scale", row, row.ne)
    g.expand(cleared)
    return states


def save_state(net: Net, new: Tensor, cache: Tensor) -> None:
    """The cpy into the cache that ends a layer's use of its state."""
    net.graph.expand(net.graph.cpy(new, net.graph.reshape(cache, *cache.ne)))


def convolve(net: Net, mixed: Tensor, taps: int) -> Tensor:
    """Prepends the rolling state to `mixed` (channels, tokens, sequences), stores the new one, convolves."""
    g = net.graph
    channels, tokens, count, _ = mixed.ne
    cache = state_cache(net, (taps - 1) * channels)
    held = g.reshape(load_state(net, cache), taps - 1, channels, count)
    rolled = g.concat(held, g.transpose(mixed))
    tail = g.slice(rolled, (taps - 1, channels, count), rolled.nb[1:3])
    save_state(net, tail, cache)
    return g.node("ssm_conv", (rolled, net.need("ssm_conv1d", "shortconv.conv")), shape(channels, tokens, count))


def delta_net(net: Net, cur: Tensor) -> Tensor:
    """Gated delta rule (Qwen3-Next, Qwen3.5): one fused operation that also returns the new state."""
    g, d, s = net.graph, net.dims, net.dims.state
    per, count = d.tokens // d.sequences, d.sequences
    head_v = s.inner // s.rank
    channels = s.inner + 2 * s.groups * s.size
    mixed, z = _delta_projections(net, cur, channels)
    beta, gate = _delta_gates(net, cur)
    conv = g.unary(convolve(net, mixed, s.taps))
    state_all = state_cache(net, head_v * s.inner)
    state = g.reshape(load_state(net, state_all), head_v, head_v, s.rank, count)
    step = (conv.nb[1], conv.nb[1] * per)
    q, k = (g.slice(conv, (s.size, s.groups, per, count), (s.size * 4, *step)) for _ in range(2))
    v = g.slice(conv, (head_v, s.rank, per, count), (head_v * 4, *step))
    q, k = (g.scale(g.node("rms_norm", (t,), t.ne)) for t in (q, k))
    width = s.inner
    rows = d.tokens + head_v * count * d.state_copies
    fused = g.node("gated_delta_net", (q, k, v, gate, beta, state), shape(width, rows))
    row = (head_v * 4, width * 4, width * 4 * per)
    new = g.slice(fused, (head_v, head_v, s.rank, count), (head_v * 4, head_v * head_v * 4, head_v * width * 4))
    save_state(net, new, state_all)
    out = g.slice(fused, (head_v, s.rank, per, count), row)
    gated = g.unary(g.reshape(z, head_v, s.rank, per, count))
    out = g.mul(net.norm(out, "ssm_norm"), gated)
    out = net.linear(g.reshape(out, s.inner, per, count), "ssm_out")
    return g.reshape(out, out.ne[0], d.tokens)


def _delta_projections(net: Net, cur: Tensor, channels: int) -> tuple[Tensor, Tensor]:
    """The convolved channels and the output gate; one fused projection in older files."""
    g, d, s = net.graph, net.dims, net.dims.state
    per, count = d.tokens // d.sequences, d.sequences
    if "attn_qkv.weight" in net.layer.tensors:
        mixed = net.linear(cur, "attn_qkv")
        return g.reshape(mixed, mixed.ne[0], per, count), net.linear(cur, "attn_gate")
    fused = g.mul_mat(net.need("ssm_in"), cur)
    fused = g.reshape(fused, fused.ne[0] // s.groups, s.groups, per, count)
    value = s.inner // s.groups
    parts = [g.slice(fused, (n, s.groups, per, count), fused.nb[1:]) for n in (s.size, s.size, value, value)]
    q, k, v = (g.cont(p, p.ne[0] * s.groups, per, count) for p in parts[:3])
    del channels
    return g.concat(g.concat(q, k), v), g.cont(parts[3])


def _delta_gates(net: Net, cur: Tensor) -> tuple[Tensor, Tensor]:
    g, d, s = net.graph, net.dims, net.dims.state
    per, count = d.tokens // d.sequences, d.sequences
    if "ssm_beta.weight" in net.layer.tensors:
        beta = g.unary(g.reshape(net.linear(cur, "ssm_beta"), 1, s.rank, per, count))
        alpha = g.reshape(net.linear(cur, "ssm_alpha"), s.rank, per, count)
    else:
        both = g.mul_mat(net.need("ssm_ba"), cur)
        both = g.reshape(both, 2 * s.rank // s.groups, s.groups, per, count)
        beta = g.unary(g.cont(g.slice(both, (s.rank // s.groups, s.groups, per, count), both.nb[1:])))
        alpha = g.slice(both, (s.rank // s.groups, s.groups, per, count), both.nb[1:])
        alpha = g.cont(alpha, s.rank, per, count)
    gate = g.unary(g.add(alpha, net.need("ssm_dt.bias", "ssm_dt")))
    gate = g.mul(gate, net.need("ssm_a"))
    return beta, g.reshape(gate, 1, s.rank, per, count)


def mamba(net: Net, cur: Tensor) -> Tensor:
    """Mamba and Mamba 2 layers; which of them, the projection of x tells, PLaMo 2's by its norm of B."""
    if "ssm_b_norm.weight" in net.layer.tensors and not net.dims.state.groups:
        return _mamba_plamo2(net, cur)
    return _mamba1(net, cur) if "ssm_x.weight" in net.layer.tensors else _mamba2(net, cur)


def _scan(net: Net, x: Tensor, sources: tuple[Tensor, ...], heads: int) -> Tensor:
    """SSM_SCAN: outputs and new states in one tensor; the states are then copied to the cache."""
    g, d, s = net.graph, net.dims, net.dims.state
    cache = state_cache(net, s.size * s.inner)
    ids = net.named_input("rs_s_copy", I32, d.sequences)
    flat = _clear_one(net, cache)
    states = g.reshape(flat, s.size, s.inner // heads, heads, d.sequences)
    ids = g.slice(ids, (d.sequences,), ())
    total = x.elements() + s.size * s.inner * d.sequences
    y = g.expand(g.node("ssm_scan", (states, x, *sources, ids), shape(total)))
    tail = g.slice(net.named_input("rs_s_copy", I32, d.sequences), (d.sequences - 1,), ())
    rest = g.get_rows(flat, tail)
    save_state(net, g.slice(rest, (rest.ne[0], 0), (rest.nb[1],)), cache)
    save_state(net, g.slice(y, (s.size * s.inner, d.sequences), (s.size * s.inner * 4,)), cache)
    return y


def _mamba1(net: Net, cur: Tensor) -> Tensor:
    g, d, s = net.graph, net.dims, net.dims.state
    per, count = d.tokens // d.sequences, d.sequences
    xz = net.linear(g.reshape(cur, cur.ne[0], per, count), "ssm_in")
    x, z = (g.slice(xz, (s.inner, per, count), xz.nb[1:3]) for _ in range(2))
    x = g.unary(g.add(convolve(net, x, s.taps), net.need("ssm_conv1d.bias")))
    projected = g.mul_mat(net.need("ssm_x"), x)
    dt = g.slice(projected, (s.rank, per, count), projected.nb[1:3])
    b, c = (g.slice(projected, (s.size, 1, per, count), (s.size * 4, *projected.nb[1:3])) for _ in range(2))
    if "ssm_dt_norm.weight" in net.layer.tensors:
        dt, b, c = (net.norm(t, f"ssm_{n}_norm") for t, n in ((dt, "dt"), (b, "b"), (c, "c")))
    else:
        dt = g.cont(dt)
    dt = g.add(g.mul_mat(net.need("ssm_dt"), dt), net.need("ssm_dt.bias"))
    wide = g.reshape(x, 1, s.inner, per, count)
    y_all = _scan(net, wide, (dt, net.need("ssm_a"), b, c), s.inner)
    y = g.slice(y_all, (s.inner, per, count), wide.nb[2:])
    y = g.add(y, g.mul(x, net.need("ssm_d")))
    out = net.linear(g.glu(g.cont(z), y), "ssm_out")
    return g.reshape(out, out.ne[0], d.tokens)


def _mamba2(net: Net, cur: Tensor) -> Tensor:
    g, d, s = net.graph, net.dims, net.dims.state
    per, count = d.tokens // d.sequences, d.sequences
    head = s.inner // s.rank
    channels = s.inner + 2 * s.groups * s.size
    fused = net.linear(cur, "ssm_in")
    fused = g.reshape(fused, fused.ne[0], per, count)
    z = g.slice(fused, (head, s.rank, per, count), (head * 4, *fused.nb[1:3]))
    mixed = g.slice(fused, (channels, per, count), fused.nb[1:3])
    dt = g.slice(fused, (s.rank, per, count), fused.nb[1:3])
    mixed = g.unary(g.add(convolve(net, mixed, s.taps), net.need("ssm_conv1d.bias")))
    x = g.slice(mixed, (head, s.rank, per, count), (head * 4, *mixed.nb[1:3]))
    b, c = (g.slice(mixed, (s.size, s.groups, per, count), (s.size * 4, *mixed.nb[1:3])) for _ in range(2))
    dt = g.add(g.cont(dt), net.need("ssm_dt.bias"))
    y_all = _scan(net, x, (dt, net.need("ssm_a"), b, c), s.rank)
    y = g.slice(y_all, (head, s.rank, per, count), (x.nb[1], s.rank * x.nb[1], per * s.rank * x.nb[1]))
    y = g.add(y, g.mul(x, net.need("ssm_d")))
    y = g.glu(g.cont(z), y)
    if "ssm_norm.weight" in net.layer.tensors:
        y = net.norm(g.reshape(y, s.inner // s.groups, s.groups, per, count), "ssm_norm")
    return net.linear(g.reshape(y, s.inner, d.tokens), "ssm_out")


def _mamba_plamo2(net: Net, cur: Tensor) -> Tensor:
    """PLaMo 2: heads as in Mamba 2, B, C and the time step projected from x as in Mamba (src/models/plamo2.cpp)."""
    g, d, s = net.graph, net.dims, net.dims.state
    per, count = d.tokens // d.sequences, d.sequences
    head = s.inner // s.rank
    zx = net.linear(g.reshape(cur, cur.ne[0], per, count), "ssm_in")
    zx = g.cont(g.permute(zx, 0, 2, 1, 3), 2 * head, s.rank, per, count)
    x, z = (g.slice(zx, (head, s.rank, per, count), zx.nb[1:]) for _ in range(2))
    x = g.unary(convolve(net, g.cont(x, s.inner, per, count), s.taps))
    projected = g.mul_mat(net.need("ssm_x"), x)
    width = net.need("ssm_dt").ne[0]
    b, c, dt = (g.slice(projected, (n, per, count), projected.nb[1:3]) for n in (s.size, s.size, width))
    b, c, dt = (net.norm(t, f"ssm_{name}_norm") for t, name in ((b, "b"), (c, "c"), (dt, "dt")))
    dt = g.add(g.mul_mat(net.need("ssm_dt"), dt), net.need("ssm_dt.bias"))
    row = head * s.rank * 4
    x = g.slice(x, (head, s.rank, per, count), (head * 4, row, row * per))
    b, c = (g.slice(t, (s.size, 1, per, count), (s.size * 4, *t.nb[1:3])) for t in (b, c))
    y_all = _scan(net, x, (dt, g.reshape(net.need("ssm_a"), 1, s.rank), b, c), s.rank)
    y = g.slice(y_all, (head, s.rank, per, count), (head * 4, row, row * per))
    y = g.add(y, g.mul(x, g.reshape(net.need("ssm_d"), 1, s.rank)))
    y = g.glu(g.cont(z), y)
    out = net.linear(g.slice(y, (s.inner, per, count), y.nb[2:]), "ssm_out")
    return g.reshape(out, out.ne[0], d.tokens)


def short_convolution(net: Net, cur: Tensor) -> Tensor:
    """LFM2's gated short convolution."""
    g, d = net.graph, net.dims
    per, count = d.tokens // d.sequences, d.sequences
    fused = g.mul_mat(net.need("shortconv.in_proj"), g.reshape(cur, cur.ne[0], per, count))
    b, c, x = (g.slice(fused, (fused.ne[0] // 3, per, count), fused.nb[1:3]) for _ in range(3))
    taps = net.need("shortconv.conv").ne[0]
    out = g.mul(c, convolve(net, g.mul(b, x), taps))
    out = g.mul_mat(net.need("shortconv.out_proj"), out)
    return g.reshape(out, out.ne[0], d.tokens)
