"""Mixture-of-experts feed-forward: build_moe_ffn of src/llama-graph.cpp (build 11434)."""

from dataclasses import dataclass

from splitter.memory.compute.blocks import Net
from splitter.memory.compute.graph import I32, Tensor, shape


@dataclass(frozen=True, slots=True)
class Routing:
    """Expert weights: `normalised` by their sum, by a `softmax_after` the choice, or applied `first`."""

    normalised: bool = True
    softmax_after: bool = False
    first: bool = False


def _chosen(net: Net, logits: Tensor, softmax_after: bool) -> tuple[Tensor, Tensor]:
    """Probabilities and the view of the chosen experts."""
    g, d = net.graph, net.dims
    probs = logits if softmax_after else g.node("soft_max", (logits,), logits.ne)
    ranked = probs
    bias = net.weight("exp_probs_b.bias")
    if bias is not None:
        ranked = g.add(probs, bias)
    order = g.node("argsort", (ranked,), ranked.ne, I32)
    return probs, g.slice(order, (d.experts_used, order.ne[1]), (order.nb[1],))


def _weights(net: Net, probs: Tensor, chosen: Tensor, routing: Routing) -> Tensor:
    g, tokens, used = net.graph, probs.ne[1], net.dims.experts_used
    weights = g.get_rows(g.reshape(probs, 1, probs.ne[0], tokens), chosen)
    if routing.softmax_after or routing.normalised:
        flat = g.reshape(weights, used, tokens)
        if routing.softmax_after:
            flat = g.node("soft_max", (flat,), flat.ne)
        if routing.normalised:
            flat = g.node("div", (flat, g.node("sum_rows", (flat,), shape(1, tokens))), flat.ne)
        weights = g.reshape(flat, 1, used, tokens)
    return g.expand(weights)


def moe(net: Net, cur: Tensor, routing: Routing) -> Tensor:
    """build_moe_ffn with the layer's own router."""
    return moe_of(net, cur, net.linear(cur, "ffn_gate_inp"), routing)


def moe_of(net: Net, cur: Tensor, logits: Tensor, routing: Routing) -> Tensor:
    """build_moe_ffn: every chosen expert's output is alive until they are summed."""
    g, used = net.graph, net.dims.experts_used
    width, tokens = cur.ne[0], cur.ne[1]
    probs, chosen = _chosen(net, logits, routing.softmax_after)
    weights = _weights(net, probs, chosen, routing)
    wide = g.reshape(cur, width, 1, tokens)
    if routing.first:
        wide = g.mul(g.node("repeat", (wide,), shape(width, used, tokens)), weights)
    out = _expert_linear(net, _experts(net, wide, chosen), "ffn_down_exps", chosen)
    out = g.expand(out if routing.first else g.mul(out, weights))
    parts = [g.expand(g.slice(out, (out.ne[0], tokens), (out.nb[2],))) for _ in range(used)]
    total = parts[0]
    for part in parts[1:]:
        total = g.expand(g.add(total, part))
    return total if used > 1 else g.cont(total)


def _expert_linear(net: Net, cur: Tensor, name: str, chosen: Tensor) -> Tensor:
    g = net.graph
    out = g.mul_mat_id(net.need(name), cur, chosen)
    scale = None if name in net.unscaled else net.weight(name + ".scale")
    if scale is not None:
        experts, tokens = scale.elements(), out.ne[2]
        repeated = g.node("repeat", (g.reshape(scale, 1, experts),), shape(1, experts, tokens))
        out = g.mul(out, g.get_rows(repeated, chosen))
    bias = net.weight(name + ".bias")
    return out if bias is None else g.binary("add_id", out, bias, chosen)


def _experts(net: Net, wide: Tensor, chosen: Tensor) -> Tensor:
    g = net.graph
    if "ffn_gate_up_exps.weight" in net.layer.tensors:
        both = _expert_linear(net, wide, "ffn_gate_up_exps", chosen)
        half = (both.ne[0] // 2, both.ne[1], both.ne[2])
        gate, up = (g.slice(both, half, both.nb[1:3]) for _ in range(2))
        return g.glu(gate, up)
    up = _expert_linear(net, wide, "ffn_up_exps", chosen)
    if "ffn_gate_exps.weight" not in net.layer.tensors:
        return g.unary(up)
    return g.glu(_expert_linear(net, wide, "ffn_gate_exps", chosen), up)
