"""Random but loadable headers of every architecture: what test-llama-archs does not vary.

    python -m tests.engine.vary_headers ARCHS_DIR OUT_DIR SEED [ARCHITECTURE...]

ARCHS_DIR is what `test-llama-archs -o DIR` wrote; architectures it leaves out start from GENERIC. Each header gets
another layer count, MTP layers, per-layer head counts, windows, shared KV layers and so on; llama.cpp itself says which
tensors such a model has (virtual_model.cpp), and they get random types. A header that llama.cpp refuses is left out.
"""

import random
import re
import subprocess
import sys
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import gguf
from gguf import GGML_QUANT_SIZES, GGUFValueType
from gguf import GGMLQuantizationType as Type
from gguf.gguf_writer import TensorInfo

from splitter.model.facts import SkippedArray
from splitter.model.families import PLAIN_NAMES, SPECIAL
from splitter.model.load import load_model
from tests.engine.exact import compiled
from tests.engine.skeletons import write_with_hole

Keys = dict[str, Any]  # without the architecture's prefix; a leading ! marks a key that has none
Table = list[tuple[str, tuple[int, ...], Type]]

# fmt: off
GENERIC: Keys = {
    "embedding_length": 256, "features_length": 256, "feed_forward_length": 384, "attention.head_count": 4,
    "attention.head_count_kv": 2, "attention.layer_norm_epsilon": 1e-5, "attention.layer_norm_rms_epsilon": 1e-5,
    "attention.group_norm_epsilon": 1e-5, "attention.group_norm_groups": 8, "attention.relative_buckets_count": 8,
    "attention.sliding_window": 32, "attention.max_alibi_bias": 8.0, "rope.dimension_count": 64,
    "attention.q_lora_rank": 512, "attention.kv_lora_rank": 512, "use_parallel_residual": False,
    "time_mix_extra_dim": 32, "time_decay_extra_dim": 64, "wkv.head_size": 64, "attention.decay_lora_rank": 64,
    "attention.iclr_lora_rank": 64, "attention.value_residual_mix_lora_rank": 64, "attention.gate_lora_rank": 64,
    "leading_dense_block_count": 1, "posnet.embedding_length": 256, "posnet.block_count": 2,
    "convnext.embedding_length": 256, "convnext.block_count": 2, "interleave_moe_layer_step": 2,
    "expert_gating_func": 2, "embedding_length_per_layer_input": 64, "moe_every_n_layers": 2, "adapters.count": 2,
    "adapters.lora_rank": 8, "adapters.token_ids_activate": (1, 2), "adapters.token_ids_substitute": (3, 4),
    "rope.dimension_sections": (16, 16, 16, 16), "swin_norm": False,
}
SWA_HEADS: Keys = {
    "attention.key_length": 128, "attention.value_length": 128, "attention.key_length_swa": 64,
    "attention.value_length_swa": 64, "attention.sliding_window_pattern": (True, False),
}
MIXTURE: Keys = {
    "expert_count": 4, "expert_used_count": 2, "expert_feed_forward_length": 64, "expert_shared_count": 1,
    "expert_shared_feed_forward_length": 64,
}
BERT: Keys = {
    "attention.head_count_kv": 4, "!tokenizer.ggml.token_type_count": 2, "attention.sliding_window_pattern": 3,
}
WHOLE_HEADS: Keys = {"attention.head_count_kv": 4}
RWKV: Keys = {"attention.head_count": 0, "attention.head_count_kv": None, "feed_forward_length": 896}
STARTS: dict[str, Keys] = {
    "apertus": {"!xielu.alpha_n": 1.0, "!xielu.alpha_p": 1.0, "!xielu.beta": 1.0, "!xielu.eps": 1e-7},
    **dict.fromkeys(("bert", "jina-bert-v2", "jina-bert-v3", "modern-bert", "nomic-bert", "neo-bert"), BERT),
    "eurobert": BERT,
    "nomic-bert-moe": BERT | MIXTURE, "deepseek2-ocr": WHOLE_HEADS | MIXTURE,
    "dflash": {"attention.sliding_window_pattern": (True, False), "target_layers": (0, 1, 2)},
    "graniteswitch": {"logit_scale": 1.0},
    "gemma4": SWA_HEADS, "t5": WHOLE_HEADS, "t5encoder": WHOLE_HEADS,
    "step35": MIXTURE | {"attention.sliding_window_pattern": (True, False)},
    "plm": WHOLE_HEADS | {"attention.key_length": 192, "attention.value_length": 128},
    "rwkv6": RWKV, "rwkv7": RWKV, "arwkv7": RWKV | {"attention.head_count_kv": 4, "token_shift_count": 1},
}
# Heads and widths hang together in these.
KEEPS_SHAPE = frozenset(STARTS) - {"apertus", "dflash", "gemma4", "graniteswitch", "step35"}
LAYERS: dict[str, tuple[int, ...]] = {"gemma3n": (22, 25), "hrm_text": (6,), "llama4": (4, 8), "exaone4": (8, 64)}
NO_MTP = KEEPS_SHAPE | {"nanbeige", "graniteswitch", "hrm_text", "nemotron_h_moe"}
OUTPUT_NEEDED = frozenset((
    "apertus", "arwkv7", "baichuan", "bailingmoe", "bailingmoe2", "codeshell", "dbrx", "deepseek4", "dots1",
    "exaone-moe", "glm5-next", "gpt-oss", "gptneox", "hy_v4", "internlm2", "jais", "kimi-k3", "kimi-linear",
    "llada-moe", "maple", "mellum", "mimo2", "minimax-m2", "minimax-m3", "muse-glimmer", "nemotron", "olmo2", "olmoe",
    "orion", "phi2", "phimoe", "plamo", "qwen", "qwen2moe", "rwkv6", "rwkv7", "stablelm", "step35", "talkie",
    "wavtokenizer-dec", "xverse",
))
# fmt: on
TYPES = (
    Type.Q4_K,
    Type.Q6_K,
    Type.Q8_0,
    Type.Q4_0,
    Type.IQ4_XS,
    Type.F16,
    Type.BF16,
    Type.Q5_K,
    Type.Q2_K,
    Type.Q3_K,
    Type.IQ4_NL,
    Type.Q5_0,
)  # fmt: skip
QUANTISED = re.compile(
    r"(attn_(q|k|v|output|qkv|gate|q_a|q_b|kv_a_mqa|kv_b|k_b|v_b|o)|ffn_(up|down|gate|gate_up)(_exps|_shexp|_chexps)?"
    r"|token_embd|output|ssm_in|ssm_out)\.weight$"
)
MTP_OPTIONAL = re.compile(r"scale$|(?<!exp_probs_b)(?<!indexer\.k_norm)\.bias$")  # not loaded with a skipped layer
FUSED_TWICE = re.compile(r"time_mix_lerp_[wkvrg]\.")  # rwkv6 has these or their fused form


def bases(folder: Path) -> dict[str, tuple[str, Keys, int]]:
    """Name -> architecture, keys and vocabulary to start from."""
    found: dict[str, tuple[str, Keys, int]] = {}
    for path in sorted(folder.glob("*.gguf")):
        facts = load_model(str(path))
        prefix = f"{facts.architecture}."
        keys = {k.removeprefix(prefix): v for k, v in facts.metadata.items() if k.startswith(prefix)}
        keys = {k: v for k, v in keys.items() if k != "vocab_size" and not isinstance(v, SkippedArray)}
        found[path.stem] = (facts.architecture, keys, facts.vocabulary)
    seen = {architecture for architecture, _, _ in found.values()}
    for name in sorted((set(SPECIAL) | PLAIN_NAMES) - seen):
        keys = {k: v for k, v in (GENERIC | STARTS.get(name, {})).items() if v is not None}
        found[name] = (name, keys, 512)
    return found


def vary(keys: Keys, arch: str, rnd: random.Random) -> Keys:
    """Other layers, and whatever else the architecture lets vary."""
    layers = rnd.choice(LAYERS.get(arch, (4, 6, 7, 8, 11)))
    mtp = 0 if arch in NO_MTP else rnd.choice((0, 0, 1, 2))
    keys = {**keys, "block_count": layers + (mtp if layers == 64 else 0), "nextn_predict_layers": mtp}
    keys["context_length"] = rnd.choice((2048, 131072, 1048576))
    if arch in KEEPS_SHAPE:
        return keys | ({"decoder_block_count": rnd.choice((layers, layers - 1))} if arch == "t5" else {})
    keys = _per_layer(keys, arch, keys["block_count"], rnd)
    _windows(keys, keys["block_count"], rnd)
    _heads(keys, arch, rnd)
    if keys.get("expert_count"):
        keys |= {"expert_count": rnd.choice((4, 8, 16)), "expert_used_count": 2}
    if rnd.random() < 0.3:
        keys["full_attention_interval"] = rnd.choice((2, 3, 4))
    return keys | {
        key: choose(rnd, keys["block_count"] - keys["nextn_predict_layers"])
        for key, choose in OWN.get(arch, {}).items()
    }


OWN: dict[str, dict[str, Callable[[random.Random, int], Any]]] = {
    "gemma4": {"attention.shared_kv_layers": lambda rnd, n: rnd.choice((0, 1, 2))},
    "nanbeige": {"num_loops": lambda rnd, n: rnd.choice((1, 2, 3))},
    "lfm2": {"shortconv.l_cache": lambda rnd, n: rnd.choice((3, 4))},
    "lfm2moe": {"shortconv.l_cache": lambda rnd, n: rnd.choice((3, 4))},
    "minimax-m3": {"leading_dense_block_count": lambda rnd, n: rnd.choice((0, 1, 2))},
    "glm-dsa": {"attention.indexer.types": lambda rnd, n: (1, *(rnd.choice((0, 1)) for _ in range(n - 1)))},
    "qwen4exp": {"attention.compress_ratios": lambda rnd, n: rnd.choice((0, 4))},
}


def _per_layer(keys: Keys, arch: str, layers: int, rnd: random.Random) -> Keys:
    """Arrays as long as the model, with other members."""
    varied = dict(keys)
    for key, value in keys.items():
        if not isinstance(value, tuple) or "sections" in key or key.startswith(("ple.", "adapters.", "target_")):
            continue
        trunk = layers - keys["nextn_predict_layers"] if key.endswith("indexer.types") else layers
        varied[key] = tuple(_member(key, arch, value, i, rnd) for i in range(trunk))
    if isinstance(keys.get("attention.head_count"), tuple):
        varied["attention.head_count_kv"] = varied["attention.head_count"]
    if arch.startswith("nemotron_h"):
        pairs = zip(varied["attention.head_count"], varied["feed_forward_length"], strict=True)
        heads = tuple(h if i == 0 or f == 0 else 0 for i, (h, f) in enumerate(pairs))
        varied |= {"attention.head_count": heads, "attention.head_count_kv": heads}
        varied["feed_forward_length"] = (0, *varied["feed_forward_length"][1:])
    return varied


def _member(key: str, arch: str, value: tuple[Any, ...], layer: int, rnd: random.Random) -> Any:
    if "ratios" in key and arch == "deepseek4":
        return rnd.choice((0, 4, 128))
    if "pattern" in key:
        return rnd.random() < 0.6
    if "head_count" in key or "types" in key:
        return max(value) if layer == 0 or rnd.random() < 0.5 else 0
    return rnd.choice((0, max(value))) if key == "feed_forward_length" else value[layer % len(value)]


def _windows(keys: Keys, layers: int, rnd: random.Random) -> None:
    if "attention.sliding_window" in keys:
        keys["attention.sliding_window"] = rnd.choice((16, 100, 512, 1024, 4096))
    if type(keys.get("attention.sliding_window_pattern")) is int and rnd.random() < 0.6:
        listed = tuple(rnd.random() < 0.5 for _ in range(layers))
        keys["attention.sliding_window_pattern"] = rnd.choice((1, 2, 3, 5, 6, listed))
        if rnd.random() < 0.5:
            del keys["attention.sliding_window_pattern"]


def _heads(keys: Keys, arch: str, rnd: random.Random) -> None:
    heads = keys.get("attention.head_count")
    latent = "attention.key_length_mla" in keys or arch == "deepseek4"
    if latent or not isinstance(heads, int) or not isinstance(keys.get("attention.head_count_kv"), int):
        return
    if rnd.random() < 0.3:
        keys["attention.head_count_kv"] = rnd.choice((1, heads))
    if rnd.random() < 0.3 and "rope.dimension_count" not in keys and arch not in {"gemma4", "step35"}:
        width = rnd.choice((32, 64, 96, 128, 256))
        keys |= {"attention.key_length": width, "attention.value_length": rnd.choice((width, 64, 128))}


def write(path: Path, arch: str, keys: Keys, vocabulary: int, table: Table) -> None:
    """The header, and a hole for the weights."""
    writer = gguf.GGUFWriter(None, arch, use_temp_file=False)
    writer.add_string("general.name", path.stem)
    writer.add_string("tokenizer.ggml.model", "none")
    for key, value in (keys | {"vocab_size": vocabulary}).items():
        _add(writer, key[1:] if key.startswith("!") else f"{arch}.{key}", value)
    for name, shape, kind in table:
        elements, size = GGML_QUANT_SIZES[kind]
        length = prod(shape) // elements * size
        writer.tensors[-1][name] = TensorInfo(shape=tuple(reversed(shape)), dtype=kind, nbytes=length)
    write_with_hole(writer, path)


def _add(writer: gguf.GGUFWriter, key: str, value: Any) -> None:
    scalars = {bool: GGUFValueType.BOOL, float: GGUFValueType.FLOAT32, str: GGUFValueType.STRING}
    if not isinstance(value, tuple):
        integer = GGUFValueType.INT32 if isinstance(value, int) and value < 0 else GGUFValueType.UINT32
        writer.add_key_value(key, value, scalars.get(type(value), integer))
        return
    wide = ".ple." in key and not key.endswith("layers")
    signed = any(word in key for word in ("sections", "adapters", "target_")) or any(v < 0 for v in value)
    integer = GGUFValueType.UINT64 if wide else GGUFValueType.INT32 if signed else GGUFValueType.UINT32
    writer.add_key_value(key, list(value), GGUFValueType.ARRAY, sub_type=scalars.get(type(value[0]), integer))


def tensors(header: Path, keys: Keys, arch: str, rnd: random.Random) -> Table:
    """The tensors that llama.cpp creates for `header`, with random types; none where it refuses the header."""
    done = subprocess.run([str(compiled("virtual_model")), str(header)], capture_output=True, text=True, check=False)
    lines = (line.split() for line in done.stdout.splitlines() if line.startswith("T "))
    shapes = {name: tuple(map(int, sizes)) for _, name, *sizes in lines}
    palette, tied = rnd.sample(TYPES, 4), arch not in OUTPUT_NEEDED and rnd.random() < 0.3
    first_mtp = keys["block_count"] - keys["nextn_predict_layers"]
    table: Table = []
    for name, sizes in shapes.items():
        block = re.match(r"blk\.(\d+)\.", name)
        skipped = block is not None and int(block[1]) >= first_mtp and MTP_OPTIONAL.search(name)
        if skipped or FUSED_TWICE.search(name) or (tied and name == "output.weight"):
            continue
        shape = sizes[: max((i + 1 for i, size in enumerate(sizes) if size > 1), default=1)]
        table.append((name, shape, _type(name, shape, rnd.choice(palette))))
    return table


def _type(name: str, shape: tuple[int, ...], wanted: Type) -> Type:
    if not QUANTISED.search(name) or len(shape) < 2:
        return Type.F32
    if shape[0] % GGML_QUANT_SIZES[wanted][0] == 0:
        return wanted
    return Type.F16 if shape[0] % 32 else Type.Q8_0


def main() -> None:
    source, out, seed, *only = sys.argv[1:]
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    for name, (arch, keys, vocabulary) in bases(Path(source)).items():
        if only and arch not in only:
            continue
        rnd = random.Random(f"{name} {seed}")
        varied = vary(keys, arch, rnd)
        size = vocabulary if arch in {"qwen3tts", "qwen4exp", "glm5-next"} else rnd.choice((512, 32000))
        path = folder / f"{name}-{seed}.gguf"
        write(path, arch, varied, size, [])
        table = tensors(path, varied, arch, rnd)
        if table:
            write(path, arch, varied, size, table)
        else:
            path.unlink()
            print("refused:", name)


if __name__ == "__main__":
    main()
