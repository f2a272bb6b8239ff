"""Headers of the models in published loads: shapes and tensor types as the posted logs and files print them."""

from collections.abc import Callable, Sequence
from functools import partial

from gguf import GGMLQuantizationType as Type

from tests.engine.skeletons import MODELS as SKELETONS
from tests.engine.skeletons import Skeleton, llama


class Typed(Skeleton):
    """A skeleton whose every matrix has the type that `kinds` gives to its role, else the quantisation's own."""

    def __init__(self, *start: object, kinds: dict[str, Type] | None = None) -> None:
        super().__init__(*start)  # type: ignore[arg-type]
        self.kinds = kinds or {}

    def type_of(self, role: str, layer: int | None, row: int) -> Type:
        return self.kinds.get(role) or super().type_of(role, layer, row)


def qwen35_moe(
    name: str, shape: tuple[int, int, int, int, int, int, int], gate_up: Type, down: Type, output: Type
) -> Skeleton:
    """Qwen3.5/3.6 MoE as Unsloth's Q4_K_M of 2026-04: all Q8_0 but the stacked experts and the output.

    `shape`: layers, width, heads, experts, expert width, linear value heads, linear key heads. The posted log counts
    361 f32, 373 q8_0, 96 q4_K, 48 q5_K and 1 q6_K tensors for 48 layers, which leaves no choice.
    """
    layers, width, heads, experts, expert, value_heads, key_heads = shape
    head, kv_heads, state, conv = 256, 2, 128, 4
    inner, mixed = state * value_heads, state * (2 * key_heads + value_heads)
    model = Typed(name, "qwen35moe", layers, width, 248320, "Q8_0", kinds={"out": output})
    model.ints(context_length=262144, attention__head_count=heads, attention__head_count_kv=kv_heads)
    model.ints(attention__key_length=head, attention__value_length=head, rope__dimension_count=64)
    model.ints(expert_count=experts, expert_used_count=8, expert_feed_forward_length=expert)
    model.ints(expert_shared_feed_forward_length=expert, full_attention_interval=4)
    model.ints(ssm__conv_kernel=conv, ssm__state_size=state, ssm__group_count=key_heads)
    model.ints(ssm__time_step_rank=value_heads, ssm__inner_size=inner)
    model.floats(attention__layer_norm_rms_epsilon=1e-6, rope__freq_base=1e7)
    model.writer.add_array("qwen35moe.rope.dimension_sections", [11, 11, 10, 0])
    model.ends()
    for i in range(layers):
        block = f"blk.{i}."
        model.norm(f"{block}attn_norm", width)
        model.norm(f"{block}post_attention_norm", width)
        if (i + 1) % 4 == 0:
            model.linear(f"{block}attn_q", width, 2 * heads * head)
            model.linear(f"{block}attn_k", width, kv_heads * head)
            model.linear(f"{block}attn_v", width, kv_heads * head)
            model.linear(f"{block}attn_output", heads * head, width)
            model.norm(f"{block}attn_q_norm", head)
            model.norm(f"{block}attn_k_norm", head)
        else:
            model.linear(f"{block}attn_qkv", width, mixed)
            model.linear(f"{block}attn_gate", width, inner)
            model.add(f"{block}ssm_conv1d.weight", mixed, conv, kind=Type.F32)
            model.add(f"{block}ssm_dt.bias", value_heads, kind=Type.F32)
            model.add(f"{block}ssm_a", value_heads, kind=Type.F32)
            model.linear(f"{block}ssm_beta", width, value_heads)
            model.linear(f"{block}ssm_alpha", width, value_heads)
            model.norm(f"{block}ssm_norm", state)
            model.linear(f"{block}ssm_out", inner, width)
        model.add(f"{block}ffn_gate_inp.weight", experts, width, kind=Type.F32)
        model.add(f"{block}ffn_gate_inp_shexp.weight", width, kind=Type.F32)
        model.add(f"{block}ffn_gate_exps.weight", experts, expert, width, kind=gate_up)
        model.add(f"{block}ffn_up_exps.weight", experts, expert, width, kind=gate_up)
        model.add(f"{block}ffn_down_exps.weight", experts, width, expert, kind=down)
        for part, inputs, outputs in (("gate", width, expert), ("up", width, expert), ("down", expert, width)):
            model.linear(f"{block}ffn_{part}_shexp", inputs, outputs)
    return model


def deepseek_671b(name: str, quant: str = "Q4_K_M") -> Skeleton:
    """DeepSeek V3 and R1 with MLA; the types of their mixes are not published, so only caches are true."""
    width, heads, latent, rope, nope, value, rank = 7168, 128, 512, 64, 128, 128, 1536
    model = Skeleton(name, "deepseek2", 61, width, 129280, quant)
    model.ints(context_length=163840, feed_forward_length=18432, attention__head_count=heads)
    model.ints(attention__head_count_kv=1, attention__key_length=latent + rope, attention__value_length=latent)
    model.ints(attention__key_length_mla=nope + rope, attention__value_length_mla=value)
    model.ints(attention__kv_lora_rank=latent, attention__q_lora_rank=rank, rope__dimension_count=rope)
    model.floats(attention__layer_norm_rms_epsilon=1e-6, rope__freq_base=1e4, expert_weights_scale=2.5)
    model.ints(leading_dense_block_count=3, expert_count=256, expert_used_count=8, expert_shared_count=1)
    model.ints(expert_feed_forward_length=2048)
    model.ends()
    for i in range(61):
        block = f"blk.{i}."
        model.norm(f"{block}attn_norm", width)
        model.linear(f"{block}attn_q_a", width, rank)
        model.norm(f"{block}attn_q_a_norm", rank)
        model.linear(f"{block}attn_q_b", rank, heads * (nope + rope))
        model.linear(f"{block}attn_kv_a_mqa", width, latent + rope)
        model.norm(f"{block}attn_kv_a_norm", latent)
        model.add(f"{block}attn_k_b.weight", heads, latent, nope, kind=Type.Q8_0)
        model.add(f"{block}attn_v_b.weight", heads, value, latent, kind=Type.Q8_0)
        model.linear(f"{block}attn_output", heads * value, width)
        model.norm(f"{block}ffn_norm", width)
        if i < 3:
            model.feed_forward(i, 18432)
            continue
        model.experts(i, 256, 2048)
        model.add(f"{block}exp_probs_b.bias", 256, kind=Type.F32)
        for part, inputs, outputs in (("gate", width, 2048), ("up", width, 2048), ("down", 2048, width)):
            model.linear(f"{block}ffn_{part}_shexp", inputs, outputs)
    return model


def glm4_32b(name: str) -> Skeleton:
    """GLM-4/Z1 32B 0414 in IQ4_XS: Q5_K for V (llama-quantize: 24 heads to one of KV) and Q6_K for the output."""
    width, ffn = 6144, 23040
    model = Typed(name, "glm4", 61, width, 151552, "IQ4_XS", kinds={"out": Type.Q6_K, "v": Type.Q5_K})
    model.ints(context_length=32768, feed_forward_length=ffn, attention__head_count=48, attention__head_count_kv=2)
    model.ints(attention__key_length=128, attention__value_length=128, rope__dimension_count=64)
    model.floats(attention__layer_norm_rms_epsilon=1e-5, rope__freq_base=1e4)
    model.ends()
    for i in range(61):
        for norm in ("attn_norm", "ffn_norm", "post_attention_norm", "post_ffw_norm"):
            model.norm(f"blk.{i}.{norm}", width)
        model.attention(i, 48, 2, 128)
        model.linear(f"blk.{i}.ffn_up", width, 2 * ffn)
        model.linear(f"blk.{i}.ffn_down", ffn, width, "down", i)
    return model


def phi35_mini(name: str) -> Skeleton:
    """Phi-3.5-mini in Q6_K_L: Q6_K with Q8_0 for embedding and output."""
    width, ffn = 3072, 8192
    model = Typed(name, "phi3", 32, width, 32064, "Q6_K", kinds={"out": Type.Q8_0, "emb": Type.Q8_0})
    model.ints(context_length=131072, feed_forward_length=ffn, attention__head_count=32, attention__head_count_kv=32)
    model.ints(rope__dimension_count=96, rope__scaling__original_context_length=4096)
    model.floats(attention__layer_norm_rms_epsilon=1e-5, rope__freq_base=1e4)
    model.ints(attention__sliding_window=262144)
    model.add("rope_factors_long.weight", 48, kind=Type.F32)
    model.add("rope_factors_short.weight", 48, kind=Type.F32)
    model.ends()
    for i in range(32):
        model.norm(f"blk.{i}.attn_norm", width)
        model.linear(f"blk.{i}.attn_qkv", width, 3 * width)
        model.linear(f"blk.{i}.attn_output", width, width)
        model.norm(f"blk.{i}.ffn_norm", width)
        model.linear(f"blk.{i}.ffn_up", width, 2 * ffn)
        model.linear(f"blk.{i}.ffn_down", ffn, width)
    return model


def qwen3_moe(name: str, shape: Sequence[int], expert: int, quant: str) -> Skeleton:
    layers, width, ffn, heads = shape
    return llama(
        name,
        (layers, width, ffn, heads, 4, 151936),
        quant,
        arch="qwen3moe",
        head=128,
        context=40960,
        norms=True,
        base=1e6,
        experts=(128, 8, expert),
    )


qwen3_235b = partial(qwen3_moe, shape=(94, 4096, 12288, 64), expert=1536)
MODELS: dict[str, Callable[[str], Skeleton]] = {
    "qwen3.5-122b-a10b-ud-q4_k_m": lambda name: qwen35_moe(
        name, (48, 3072, 32, 256, 1024, 64, 16), Type.Q4_K, Type.Q5_K, Type.Q6_K
    ),
    "qwen3.6-35b-a3b-q4_k_m": lambda name: qwen35_moe(
        name, (40, 2048, 16, 256, 512, 32, 16), Type.Q4_K, Type.Q5_K, Type.Q6_K
    ),
    "deepseek-671b": deepseek_671b,
    "glm4-32b-iq4_xs": glm4_32b,
    "phi-3.5-mini-q6_k_l": phi35_mini,
    "qwen3-235b-a22b-q6_k": lambda name: qwen3_235b(name, quant="Q6_K"),
    "qwen3-235b-a22b-q8_0": lambda name: qwen3_235b(name, quant="Q8_0"),
    "qwen3-235b-a22b-q4_k_m": lambda name: qwen3_235b(name, quant="Q4_K_M"),
    "qwen3-30b-a3b-q4_k_m": SKELETONS["qwen3-30b-a3b-q4_k_m"],
    "gemma-3-27b-q4_k_m": SKELETONS["gemma-3-27b-q4_k_m"],
}
