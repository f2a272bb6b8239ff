"""`-sm tensor`: along which dimension each tensor is cut, and the cut itself.

Source: llama_meta_device_get_split_state in src/llama-model.cpp, llama.cpp build 11434.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from struct import pack, unpack

WIDE_BLOCK = 128  # elements: slices of the feed-forward and of linear attention are whole multiples of this
ATTENTION_OUT, STATE_OUT = "attn_output.weight", "ssm_out.weight"
ATTENTION = (ATTENTION_OUT, STATE_OUT)
DOWN = ("ffn_down.weight", "ffn_down_exps.weight")


@dataclass(frozen=True, slots=True)
class Rule:
    """The dimension along which a tensor is cut, and the tensors (first found) whose blocks must not be cut."""

    axis: int
    references: tuple[str, ...] = ()


# Names within a block; caches as cache_k, cache_v, cache_r, cache_s. A tensor without a rule is on every device.
RULES: dict[str, Rule] = {
    **dict.fromkeys(("attn_q.weight", "attn_k.weight", "attn_v.weight", "attn_qkv.weight"), Rule(1, ATTENTION)),
    **dict.fromkeys(("attn_q.bias", "attn_k.bias", "attn_v.bias", "attn_qkv.bias"), Rule(0, ATTENTION)),
    **dict.fromkeys(("attn_q_norm.weight", "attn_k_norm.weight"), Rule(1, (ATTENTION_OUT,))),
    **dict.fromkeys(("cache_k", "cache_v", "attn_sinks.weight"), Rule(0, (ATTENTION_OUT,))),
    ATTENTION_OUT: Rule(0),
    "attn_gate.weight": Rule(1, ATTENTION),
    **dict.fromkeys(("ssm_dt.bias", "ssm_a", "cache_r", "cache_s"), Rule(0, (STATE_OUT,))),
    **dict.fromkeys(("ssm_alpha.weight", "ssm_beta.weight", "ssm_ba.weight"), Rule(1, (STATE_OUT,))),
    "ssm_conv1d.weight": Rule(1, (STATE_OUT,)),
    STATE_OUT: Rule(0),
    **dict.fromkeys((f"ffn_{n}{e}.weight" for n in ("up", "gate", "gate_up") for e in ("", "_exps")), Rule(1, DOWN)),
    **dict.fromkeys((f"ffn_{n}{e}.bias" for n in ("up", "gate") for e in ("", "_exps")), Rule(0, DOWN)),
    **dict.fromkeys(DOWN, Rule(0, DOWN)),
    "output.weight": Rule(1),
    "output.bias": Rule(0),
}
# DeepSeek V4: heads stay in the groups of its output projection; keys, states and the output are on every device.
GROUPED_RULES: dict[str, Rule] = {
    "attn_sinks.weight": Rule(0, ("attn_output_a.weight",)),
    "attn_q_b.weight": Rule(1, ("attn_output_a.weight",)),
    "attn_output_a.weight": Rule(2),
    "attn_output_b.weight": Rule(0),
    **dict.fromkeys(("ffn_up_shexp.weight", "ffn_gate_shexp.weight"), Rule(1, ("ffn_down_shexp.weight",))),
    "ffn_down_shexp.weight": Rule(0, ("ffn_down_shexp.weight",)),
    **{name: rule for name, rule in RULES.items() if name.startswith("ffn_")},
}


def _f32(value: float) -> float:
    return float(unpack("f", pack("f", value))[0])


def cut(elements: int, grain: int, split: Sequence[float], rotation: int) -> tuple[int, ...]:
    """Elements per device: float32 shares, rounded down to whole grains, the last device takes the rest."""
    devices = len(split)
    order = [(j + rotation) % devices for j in range(devices)]
    sums = [0.0] * devices
    for j, device in enumerate(order):
        sums[j] = _f32(_f32(split[device]) + (sums[j - 1] if j else 0.0))
    parts = [0] * devices
    low = 0
    for j, device in enumerate(order[:-1]):
        high = int(_f32(_f32(_f32(elements) * sums[j]) / sums[-1])) if sums[-1] else elements * (j + 1) // devices
        high -= high % grain
        parts[device] = high - low
        low = high
    parts[order[-1]] = elements - low
    return tuple(parts)
