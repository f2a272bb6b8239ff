"""Headers with the shapes of published models of architectures that test-llama-archs leaves out or shrinks.

    python -m tests.engine.public_headers OUT_DIR [NAME...]

Sizes are those of the models' public config.json files; llama.cpp itself says which tensors such a model has.
`python -m tests.engine.record_answers tests/memory/data/public-answers.tar.xz OUT_DIR` then asks the engine.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

from gguf import GGMLQuantizationType as Type

from tests.engine.exact import compiled
from tests.engine.vary_headers import Keys, Table, write

VOCABULARY = {"gemma": 262144, "rwkv": 65536, "t5": 32128, "bert": 30522, "minicpm3": 73448, "step": 128896}
MULTILINGUAL = {"bge-m3": 250002, "jina-v3": 250002, "arwkv7-7b": 151936, "eurobert": 128256, "modern-bert": 50368}
TIED = ("gemma", "minicpm3")
KEPT_SCALES = ("ffn_down_exps.scale", "ffn_gate_inp.scale")
RMS: Keys = {"attention.layer_norm_rms_epsilon": 1e-6}


def _pattern(layers: int, every: int) -> tuple[bool, ...]:
    return tuple((i + 1) % every != 0 for i in range(layers))


def _sizes(width: int, layers: int, heads: int, feed: Any, context: int) -> Keys:
    return {
        "embedding_length": width,
        "block_count": layers,
        "attention.head_count": heads,
        "feed_forward_length": feed,
        "context_length": context,
        "nextn_predict_layers": 0,
    }


def _head(width: int, value: int | None = None) -> Keys:
    return {"attention.key_length": width, "attention.value_length": value or width}


def _gemma3n(layers: int, feed: int) -> Keys:
    return {
        **_sizes(2048, layers, 8, feed, 32768),
        **_head(256),
        **RMS,
        "attention.head_count_kv": 2,
        "embedding_length_per_layer_input": 256,
        "attention.sliding_window": 512,
        "attention.sliding_window_pattern": _pattern(layers, 5),
        "attention.shared_kv_layers": layers - 20,
        "altup.num_inputs": 4,
        "altup.active_idx": 0,
    }


def _gemma4(sizes: Keys, kv: tuple[int, int], window: tuple[int, int], per_layer: int = 0, shared: int = 0) -> Keys:
    """`kv`: heads in windowed and in full layers; `window`: its size, and every how many layers one is full."""
    pattern = _pattern(sizes["block_count"], window[1])
    return {
        **sizes,
        **_head(512),
        **RMS,
        "attention.key_length_swa": 256,
        "attention.value_length_swa": 256,
        "attention.head_count_kv": tuple(kv[0] if windowed else kv[1] for windowed in pattern),
        "attention.sliding_window": window[0],
        "attention.sliding_window_pattern": pattern,
        "attention.shared_kv_layers": shared,
        "embedding_length_per_layer_input": per_layer,
        "rope.dimension_count": 512,
        "rope.dimension_count_swa": 256,
        "final_logit_softcapping": 30.0,
    }


def _rwkv(width: int, layers: int, feed: int, ranks: tuple[int, ...] = (), shifts: int = 2) -> Keys:
    names = ("decay", "iclr", "value_residual_mix", "gate")
    return {
        **_sizes(width, layers, 0, feed, 1048576),
        **RMS,
        "attention.layer_norm_epsilon": 1e-5,
        "wkv.head_size": 64,
        "token_shift_count": shifts,
        **{f"attention.{name}_lora_rank": rank for name, rank in zip(names, ranks, strict=False)},
    }


def _bert(sizes: Keys, **more: Any) -> Keys:
    keys = {"attention.layer_norm_epsilon": 1e-12, "attention.causal": False, "!tokenizer.ggml.token_type_count": 2}
    return {**sizes, **RMS, **keys, **more}


def _t5(width: int, heads: int, head: int, feed: int) -> Keys:
    keys = {"attention.relative_buckets_count": 32, "decoder_start_token_id": 0, "attention.layer_norm_epsilon": 1e-6}
    return {**_sizes(width, 24, heads, feed, 512), **_head(head), **RMS, **keys}


EXPERTS: Keys = {"expert_count": 128, "expert_used_count": 8, "expert_feed_forward_length": 704}
MODELS: dict[str, tuple[str, Keys]] = {
    "gemma-3n-e2b": ("gemma3n", _gemma3n(30, 8192)),
    "gemma-3n-e4b": ("gemma3n", _gemma3n(35, 16384)),
    "gemma-4-e2b": (
        "gemma4",
        _gemma4(_sizes(1536, 35, 8, (6144,) * 15 + (12288,) * 20, 131072), (1, 1), (512, 5), 256, 20),
    ),
    "gemma-4-e4b": ("gemma4", _gemma4(_sizes(2560, 42, 8, 10240, 131072), (2, 2), (512, 6), 256, 18)),
    "gemma-4-26b-a4b": ("gemma4", _gemma4(_sizes(2816, 30, 16, 2112, 262144), (8, 2), (1024, 6)) | EXPERTS),
    "gemma-4-31b": ("gemma4", _gemma4(_sizes(5376, 60, 32, 21504, 262144), (16, 4), (1024, 6))),
    "rwkv7-1.5b": ("rwkv7", _rwkv(2048, 24, 8192, (96, 96, 64, 256))),
    "rwkv7-7.2b": ("rwkv7", _rwkv(4096, 32, 16384, (128, 128, 96, 480))),
    "rwkv6-7b": (
        "rwkv6",
        _rwkv(4096, 32, 14336) | {"time_mix_extra_dim": 64, "time_decay_extra_dim": 128, "rescale_every_n_layers": 6},
    ),
    "arwkv7-7b": ("arwkv7", _rwkv(3584, 28, 18944, (96, 96, 64, 128), 1) | {"attention.head_count_kv": 0}),
    "bert-large": ("bert", _bert(_sizes(1024, 24, 16, 4096, 512))),
    "bge-m3": ("bert", _bert(_sizes(1024, 24, 16, 4096, 8192))),
    "nomic-bert": ("nomic-bert", _bert(_sizes(768, 12, 12, 3072, 2048))),
    "jina-v2-bert": ("jina-bert-v2", _bert(_sizes(768, 12, 12, 3072, 8192), **{"attention.max_alibi_bias": 8.0})),
    "jina-v3": ("jina-bert-v3", _bert(_sizes(1024, 24, 16, 4096, 8192))),
    "modern-bert": (
        "modern-bert",
        _bert(
            _sizes(1024, 28, 16, 2624, 8192),
            **{"attention.sliding_window": 128, "attention.sliding_window_pattern": 3},
        ),
    ),
    "neo-bert": ("neo-bert", _bert(_sizes(768, 28, 12, 2048, 4096))),
    "eurobert": ("eurobert", _bert(_sizes(768, 12, 12, 3072, 8192))),
    "gemma-embedding": (
        "gemma-embedding",
        {
            **_sizes(768, 24, 3, 1152, 2048),
            **_head(256),
            **RMS,
            "attention.head_count_kv": 1,
            "attention.sliding_window": 512,
        },
    ),
    "t5-3b": ("t5", _t5(1024, 32, 128, 16384)),
    "t5-xxl-encoder": ("t5encoder", _t5(4096, 64, 64, 10240)),
    "minicpm3-4b": (
        "minicpm3",
        {
            **_sizes(2560, 62, 40, 6400, 32768),
            **_head(96, 64),
            **RMS,
            "attention.head_count_kv": 40,
            "attention.q_lora_rank": 768,
            "attention.kv_lora_rank": 256,
            "rope.dimension_count": 32,
        },
    ),
    "step-3.5-flash": (
        "step35",
        {
            **_sizes(4096, 45, 64, 11264, 262144),
            **_head(128),
            **RMS,
            "attention.head_count": tuple(64 if i % 4 == 0 else 96 for i in range(45)),
            "attention.head_count_kv": 8,
            "attention.sliding_window": 512,
            "attention.sliding_window_pattern": tuple(i % 4 != 0 for i in range(45)),
            "expert_count": 288,
            "expert_used_count": 8,
            "expert_feed_forward_length": 1280,
            "expert_shared_feed_forward_length": 1280,
            "leading_dense_block_count": 3,
            "expert_gating_func": 2,
            "rope.dimension_count": 64,
            "rope.dimension_count_swa": 128,
        },
    ),
}


def _vocabulary(name: str) -> int:
    return MULTILINGUAL.get(name) or next((size for part, size in VOCABULARY.items() if part in name), 30522)


def _left_out(name: str, tensor: str) -> bool:
    """What llama.cpp would take but the published files lack."""
    suffix = tensor.split(".", 2)[-1]
    if tensor == "output.weight":
        return name.startswith(TIED)
    if suffix.endswith("scale") or ".time_mix_lerp_" in tensor:
        return suffix not in KEPT_SCALES and not tensor.endswith(("lerp_fused.weight", "lerp_x.weight"))
    if suffix.endswith(".bias"):
        return name.startswith((*TIED, "step"))
    if "attn_rel_b" in tensor:
        return ".0." not in tensor
    shared_values = name in {"gemma-4-26b-a4b", "gemma-4-31b"} and suffix == "attn_v.weight"
    return shared_values and (int(tensor.split(".")[1]) + 1) % 6 == 0


def _type(tensor: str, shape: tuple[int, ...]) -> Type:
    if tensor in {"token_embd.weight", "per_layer_token_embd.weight"} and shape[0] % 256 == 0:
        return Type.Q6_K
    plain = any(word in tensor for word in ("bias", "lerp", "types", "posit", "rel_b", "scale"))
    return Type.F32 if len(shape) < 2 or shape[0] % 256 or shape[1] < 8 or plain else Type.Q4_K


def tensors(path: Path, name: str) -> Table:
    """The published model's tensors: those llama.cpp creates for the header `path`, less what files leave out."""
    command = [str(compiled("virtual_model")), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    table: Table = []
    for line in done.stdout.splitlines():
        mark, _, rest = line.partition(" ")
        if mark != "T":
            continue
        tensor, *sizes = rest.split()
        shape = tuple(map(int, sizes))
        while len(shape) > 1 and shape[-1] == 1:
            shape = shape[:-1]
        if not _left_out(name, tensor):
            table.append((tensor, shape, _type(tensor, shape)))
    return table


def main() -> None:
    out, *only = sys.argv[1:]
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    for name, (arch, keys) in MODELS.items():
        if only and name not in only:
            continue
        path = folder / f"{name}.gguf"
        write(path, arch, keys, _vocabulary(name), [])
        table = tensors(path, name)
        assert table, f"llama.cpp refuses the header of {name}"
        write(path, arch, keys, _vocabulary(name), table)


if __name__ == "__main__":
    main()
