"""How far a compute estimate may be off: architectures compared with llama.cpp, and the reserve of the others."""

from splitter.units import from_mib

# Compared with llama-fit-params build 11434 by tests/memory/test_compute.py (four settings each, random settings of
# random headers, published shapes): under by at most 16 MiB or 3 %, over by at most 48 MiB or 15 %.
EXACT = frozenset(
    """
    afmoe arcee arwkv7 baichuan bailingmoe bailingmoe2 bailingmoe3 bert bloom chatglm codeshell cohere2 cohere2moe
    command-r dbrx deci deepseek deepseek2 deepseek32 dots1 dream ernie4_5 ernie4_5-moe eurobert exaone exaone-moe
    exaone4 falcon falcon-h1 gemma gemma-embedding gemma2 gemma3 gemma3n gemma4 glm-dsa glm4 glm4moe gpt-oss gpt2
    gptneox granite granite_swa granitehybrid granitemoe grok grovemoe hunyuan-dense hunyuan-moe hunyuan_vl hy_v3
    internlm2 jais jais2 jamba jina-bert-v2 jina-bert-v3 kimi-linear laguna lfm2 lfm2moe llada llada-moe llama
    llama4 maincoder mamba mamba2 maple mellum mimo2 minicpm minicpm3 minimax-m2 mistral3 mistral4 modern-bert mpt
    muse-glimmer nanbeige nemotron nemotron_h nemotron_h_moe neo-bert nomic-bert nomic-bert-moe olmo olmo2 olmoe
    openelm orion paddleocr pangu-embedded phi2 phi3 phimoe plamo plamo2 plamo3 pockettts qwen qwen2 qwen2moe
    qwen2vl qwen3 qwen35 qwen35moe qwen3moe qwen3next qwen3tts qwen3vl qwen3vlmoe rnd1 rwkv6 rwkv7 seed_oss
    smallthinker smollm3 spark2_5 stablelm starcoder starcoder2 step35 t5 t5encoder xverse
    """.split()  # noqa: SIM905
)
# Sparse attention whose selection of cells is not modelled: score-sized tensors alive beside the modelled peak.
SCORES = {
    "minimax-m3": 32,
    "glm5-next": 16,
    "deepseek4": 12,
    "qwen4exp": 8,
    "minimax-01": 6,
    "hrm_text": 5,
    "hy_v4": 4,
    "dots3note": 2,
    "kimi-k3": 1,
}
STATED_BYTES, STATED_SHARE = from_mib(16), 0.03
LOOSE_BYTES, LOOSE_SHARE = from_mib(48), 0.25


def is_exact(architecture: str) -> bool:
    """Whether the tests compare this architecture's graph with llama.cpp."""
    return architecture in EXACT


def reserved(architecture: str, size_bytes: int, score_bytes: int) -> int:
    """`size_bytes` of a device, raised where the architecture is not compared with llama.cpp; 0 stays 0."""
    if size_bytes == 0 or is_exact(architecture):
        return size_bytes
    return int(size_bytes * (1 + LOOSE_SHARE)) + LOOSE_BYTES + SCORES.get(architecture, 0) * score_bytes


def uncertainty(architecture: str, size_bytes: int) -> int:
    """What the truth may lie above the estimate: the stated margin, or as much as was reserved."""
    if size_bytes == 0:
        return 0
    if is_exact(architecture):
        return max(STATED_BYTES, int(size_bytes * STATED_SHARE))
    return max(LOOSE_BYTES, int(size_bytes * LOOSE_SHARE))
