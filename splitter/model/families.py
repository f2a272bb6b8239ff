"""Attention families: what llama.cpp knows about an architecture beyond its header, as data.

Source: src/llama-arch.cpp, src/llama-model.cpp (create_memory) and load_arch_hparams in src/models/*.cpp, llama.cpp
build 11434. An architecture without an entry here is planned from its header alone (`UNKNOWN`).
"""

from dataclasses import dataclass
from typing import Literal

WindowRule = Literal["always", "if_given", "never_if_zero", "exactly_64_layers"]
RecurrentRule = Literal["none", "all", "no_kv_heads", "no_kv_heads_no_ffn", "interval"]
StateKind = Literal["none", "mamba", "mamba2", "rwkv", "shortconv", "kda", "lightning"]
IndexerKind = Literal["none", "lightning", "listed", "glm", "sparse", "pooled", "pooled_by_ratio", "compressed"]


@dataclass(frozen=True, slots=True)
class Window:
    """Sliding-window attention of a family.

    Every `pattern`-th layer is full attention (0: none is, 1: all are; None: the header lists the windowed ones), the
    first of each group with `dense_first`, else the last; with `all_attention` every attention layer of a hybrid has
    the window, whatever the header lists. `size` is the window where the header names none, `forced` the window
    whatever the header says. `rule`: "always", "if_given" (only when the header names a window above 0),
    "never_if_zero" (off only when the header says 0), "exactly_64_layers".
    """

    pattern: int | None = None
    dense_first: bool = False
    all_attention: bool = False
    size: int = 0
    forced: int | None = None
    rule: WindowRule = "always"


@dataclass(frozen=True, slots=True)
class Family:
    """How an architecture caches.

    `cached` False: no cache at all (encoders, diffusion). `recurrent` says which layers carry a state instead of KV
    (with KV as well when `parallel_state`), `interval` is the default of full_attention_interval. `state` is the
    state's shape, `indexer` the extra key cache of sparse attention. `kv_from_start` is the number of leading layers
    with a KV cache of their own. `latent_values` True: values are as wide as kv_lora_rank whatever the header says.
    `nextn_kv` True: MTP layers are cached with the trunk. `looped` True: block_count x num_loops layers.
    `router` True: one extra single-head layer after the last. `tied` False: token_embd is never duplicated as output.
    `final_norm` True: token_embd_norm belongs to the output layer. `borrows` True: draft model, caches in its target.
    `flash` False: llama.cpp forces flash attention off. `nextn_loaded` is a pattern for the tensors of MTP layers that
    are loaded although nothing uses them (the others are skipped).

    In `-sm tensor`: `mirrored` True copies every tensor to every device; `gated_query` tells how value heads follow key
    heads where Q carries a gate (qwen3next contiguous, qwen35 and later interleaved).
    """

    cached: bool = True
    window: Window | None = None
    recurrent: RecurrentRule = "none"
    interval: int = 4
    state: StateKind = "none"
    parallel_state: bool = False
    indexer: IndexerKind = "none"
    kv_from_start: int | None = None
    latent_values: bool = False
    nextn_kv: bool = False
    looped: bool = False
    router: bool = False
    tied: bool = True
    final_norm: bool = False
    borrows: bool = False
    flash: bool = True
    nextn_loaded: str = ""
    mirrored: bool = False
    gated_query: Literal["no", "contiguous", "interleaved"] = "no"


NEXTN_ENDS = r"nextn\.(embed_tokens|shared_head_head|shared_head_norm)\."
NEXTN_FFN = rf"exp_probs_b|ffn_(?!norm)|{NEXTN_ENDS}"

PLAIN = Family()
ENCODER = Family(cached=False, tied=False)
DIFFUSION = Family(cached=False)
LISTED = Family(window=Window())
RWKV = Family(recurrent="all", state="rwkv")
QWEN_LINEAR = Family(recurrent="interval", state="mamba2", gated_query="interleaved")
NEMOTRON_H = Family(recurrent="no_kv_heads_no_ffn", state="mamba2", nextn_kv=True)

SPECIAL: dict[str, Family] = {
    "afmoe": Family(window=Window(4, rule="if_given")),
    "arwkv7": RWKV,
    "bailingmoe3": Family(recurrent="no_kv_heads", state="kda", nextn_kv=True),
    "bert": ENCODER,
    "bitnet": Family(tied=False),
    "clef": Family(cached=False, tied=False, recurrent="interval", state="mamba2", gated_query="interleaved"),
    "cohere2": Family(window=Window(4)),
    "cohere2moe": Family(window=Window(4, dense_first=True), nextn_loaded=NEXTN_ENDS),
    "deepseek32": Family(indexer="lightning", nextn_loaded="exp_probs_b"),
    "deepseek4": Family(window=Window(0), indexer="compressed", nextn_kv=True),
    "dflash": Family(window=Window(rule="if_given")),
    "dots3note": Family(window=Window(), indexer="listed"),
    "dream": DIFFUSION,
    "eurobert": ENCODER,
    "exaone-moe": Family(window=Window(4, size=128)),
    "exaone4": Family(window=Window(4, size=4096, rule="exactly_64_layers")),
    "falcon-h1": Family(recurrent="all", state="mamba2", parallel_state=True, nextn_kv=True),
    "gemma-embedding": Family(cached=False, window=Window(6)),
    "gemma2": Family(window=Window(2, size=4096)),
    "gemma3": Family(window=Window(6, rule="if_given")),
    "gemma3n": Family(window=Window(5), kv_from_start=20),
    "gemma4": LISTED,
    "gemma4-assistant": Family(window=Window(), borrows=True),
    "glm-dsa": Family(indexer="glm", nextn_loaded="exp_probs_b"),
    "glm5-next": Family(recurrent="no_kv_heads", state="kda", indexer="pooled", latent_values=True),
    "gpt-oss": Family(window=Window(2)),
    "granite_swa": LISTED,
    "granitehybrid": Family(recurrent="no_kv_heads", state="mamba2", nextn_kv=True),
    "graniteswitch": Family(router=True, nextn_kv=True),
    "grok": Family(flash=False),
    "hrm_text": Family(mirrored=True),
    "hy_v3": Family(nextn_loaded=NEXTN_FFN),
    "hy_v4": Family(indexer="listed", nextn_kv=True),
    "jamba": Family(recurrent="no_kv_heads", state="mamba", nextn_kv=True),
    "jina-bert-v2": ENCODER,
    "jina-bert-v3": ENCODER,
    "kimi-k3": Family(recurrent="no_kv_heads", state="kda", latent_values=True, nextn_kv=True),
    "kimi-linear": Family(recurrent="no_kv_heads", state="kda", nextn_kv=True),
    "laguna": Family(window=Window(4, dense_first=True, rule="if_given")),
    "lfm2": Family(
        window=Window(all_attention=True, rule="if_given"),
        recurrent="no_kv_heads",
        state="shortconv",
        final_norm=True,
        nextn_kv=True,
    ),
    "lfm2moe": Family(recurrent="no_kv_heads", state="shortconv", final_norm=True, nextn_kv=True),
    "llada": DIFFUSION,
    "llada-moe": DIFFUSION,
    "llama4": Family(window=Window(4, forced=8192, rule="never_if_zero")),
    "mamba": Family(recurrent="all", state="mamba"),
    "mamba2": Family(recurrent="all", state="mamba2"),
    "maple": LISTED,
    "mellum": Family(window=Window(4, rule="if_given")),
    "mimo2": LISTED,
    "minimax-01": Family(recurrent="interval", interval=8, state="lightning"),
    "minimax-m3": Family(indexer="sparse", nextn_kv=True),
    "modern-bert": Family(cached=False, tied=False, window=Window(3, dense_first=True, rule="if_given")),
    "muse-glimmer": Family(window=Window(4)),
    "nanbeige": Family(looped=True),
    "nemotron_h": NEMOTRON_H,
    "nemotron_h_moe": NEMOTRON_H,
    "neo-bert": ENCODER,
    "nomic-bert": ENCODER,
    "nomic-bert-moe": ENCODER,
    "olmo2": Family(window=Window(4, rule="if_given")),
    "plamo2": Family(recurrent="no_kv_heads", state="mamba2", nextn_kv=True),
    "plamo3": Family(window=Window(8, rule="if_given")),
    "qwen35": QWEN_LINEAR,
    "qwen35moe": QWEN_LINEAR,
    "qwen3next": Family(recurrent="interval", state="mamba2", gated_query="contiguous"),
    "qwen4exp": Family(recurrent="interval", state="mamba2", indexer="pooled_by_ratio", gated_query="interleaved"),
    "rnd1": DIFFUSION,
    "rwkv6": RWKV,
    "rwkv6qwen2": RWKV,
    "rwkv7": RWKV,
    "smallthinker": Family(window=Window(4, dense_first=True, forced=4096, rule="if_given")),
    "spark2_5": LISTED,
    "step35": Family(window=Window(), nextn_loaded=rf"attn_(gate|k_norm|q_norm)|{NEXTN_FFN}"),
    "wavtokenizer-dec": ENCODER,
}
# fmt: off
NO_TENSOR_SPLIT = frozenset((  # llm_arch_supports_sm_tensor in src/llama-arch.cpp
    "grok", "mpt", "plamo2", "minicpm3", "gemma3n", "mamba", "mamba2", "jamba", "falcon-h1", "olmo2", "olmoe",
    "deepseek2", "deepseek32", "hy_v4", "dots3note", "glm-dsa", "bitnet", "t5", "nemotron_h", "nemotron_h_moe",
    "granitehybrid", "minimax-01", "minimax-m2", "minimax-m3", "mistral4", "kimi-linear", "bailingmoe3", "kimi-k3",
    "glm5-next", "qwen3tts",
))
PLAIN_NAMES = frozenset((
    "apertus", "arcee", "arctic", "baichuan", "bailingmoe", "bailingmoe2", "bloom", "chameleon",
    "chatglm", "codeshell", "cogvlm", "command-r", "dbrx", "deci", "deepseek", "deepseek2", "deepseek2-ocr",
    "dots1", "eagle3", "ernie4_5", "ernie4_5-moe", "exaone", "falcon", "gemma", "glm4", "glm4moe", "gpt2",
    "gptneox", "granite", "granitemoe", "grovemoe", "hunyuan-dense", "hunyuan-moe", "hunyuan_vl",
    "internlm2", "jais", "jais2", "llama", "llama-embed", "maincoder", "minicpm", "minicpm3", "minimax-m2",
    "mistral3", "mistral4", "mpt", "nemotron", "olmo", "olmoe", "openelm", "orion", "paddleocr", "pangu-embedded",
    "phi2", "phi3", "phimoe", "plamo", "plm", "pockettts", "qwen", "qwen2", "qwen2moe", "qwen2vl", "qwen3",
    "qwen3moe", "qwen3tts", "qwen3vl", "qwen3vlmoe", "refact", "seed_oss", "smollm3", "stablelm", "starcoder",
    "starcoder2", "t5", "t5encoder", "talkie", "xverse",
))
# fmt: on


def family(architecture: str) -> Family | None:
    """The family of a `general.architecture` value; None where build 11434 does not know it."""
    return SPECIAL.get(architecture) or (PLAIN if architecture in PLAIN_NAMES else None)


def supports_tensor_split(architecture: str) -> bool:
    """Whether llama.cpp build 11434 accepts `-sm tensor` for an architecture."""
    return family(architecture) is not None and architecture not in NO_TENSOR_SPLIT
