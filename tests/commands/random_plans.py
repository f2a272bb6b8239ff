"""Random settings that an engine can be told, for the three cards of plans.rig."""

import random
from typing import Any

CACHE_TYPES = ("f16", "q8_0", "q4_0", "q5_1", "bf16")


def llama_settings(rng: random.Random, layers: int) -> dict[str, Any]:
    """Any settings that llama.cpp accepts for three cards and a model of `layers` layers."""
    order = tuple(rng.sample(["CUDA0", "CUDA1", "CUDA2"], rng.randint(0, 3)))
    counts = [rng.randint(1, 9) for _ in order]
    kind = rng.choice(CACHE_TYPES)
    ubatch = rng.choice([32, 128, 512])
    return {
        "context_size": rng.choice([512, 4096, 10_000]),
        "device_order": order,
        "gpu_layers": rng.randint(0, layers + 1) if order else 0,
        "tensor_split": tuple(map(float, counts)) if rng.random() < 0.8 else tuple(round(c * 1.1, 2) for c in counts),
        "split_mode": rng.choice(["layer", "layer", "none", "tensor"]),
        "main_gpu": rng.randrange(len(order)) if order else 0,
        "batch_size": rng.choice([512, 2048]),
        "ubatch_size": ubatch,
        "cache_type_k": kind,
        "cache_type_v": kind,
        "flash_attention": "on" if kind != "f16" else rng.choice(["on", "off", "auto"]),
        "parallel": rng.choice([1, 2, 4]),
        "kv_unified": rng.random() < 0.5,
        "swa_full": rng.random() < 0.2,
        "kv_offload": rng.random() < 0.8,
        "op_offload": rng.random() < 0.8,
        "n_cpu_moe": rng.choice([0, 0, 3]),
        "cpu_moe": rng.random() < 0.1,
        "override_tensors": rng.choice([(), (), (r"blk\.(1|2)\.ffn_.*=CPU", "output=CPU")]),
        "mmap": rng.random() < 0.7,
        "threads": rng.choice([None, 2]),
        "mmproj": rng.choice([None, None, "/m/p & q.gguf"]),
        "draft_model": rng.choice([None, None, "/m/d.gguf"]),
        "draft_gpu_layers": rng.choice([None, 7]),
        "draft_device_order": rng.choice([None, (), ("CUDA1",), ("CUDA2", "CUDA0")]),
        "mmproj_device": rng.choice([None, "none", "CUDA2"]),
    }


def koboldcpp_settings(rng: random.Random, version: str) -> dict[str, Any]:
    """Any settings that release `version` can be told."""
    old = version == "1.76"
    order = tuple(rng.sample(["CUDA0", "CUDA1", "CUDA2"], rng.randint(0, 3)))
    batch = rng.choice([32, 64, 128, 256, 512, 1024, 2048])
    kind = rng.choice(["f16", "q8_0", "q4_0"] if old else ["f16", "q8_0", "q4_0", "q5_1", "bf16"])
    return {
        "context_size": rng.randint(256, 262144),
        "device_order": order,
        "gpu_layers": rng.randint(0, 65) if order else 0,
        "tensor_split": tuple(rng.choice([float(rng.randint(1, 40)), round(rng.uniform(0.1, 9), 3)]) for _ in order),
        "split_mode": "layer" if old else rng.choice(["layer", "tensor"]),
        "batch_size": batch,
        "ubatch_size": min(batch, rng.choice([32, 512])) if version == "1.123" else batch,
        "cache_type_k": kind,
        "cache_type_v": kind,
        "flash_attention": "on" if kind != "f16" else rng.choice(["on", "off", "auto"]),
        "parallel": 1 if old else rng.choice([1, 2, 8]),
        "kv_offload": rng.random() < 0.8,
        "n_cpu_moe": 0 if old else rng.choice([0, 5]),
        "override_tensors": () if old else rng.choice([(), (r"blk\.(1|2)\.ffn=CPU", "out put=CUDA0")]),
        "mmap": rng.random() < 0.5,
        "threads": rng.choice([None, 6]),
    }
