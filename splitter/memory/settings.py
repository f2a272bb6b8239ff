"""Settings: the engine flags that decide what every device holds. Names and meanings are llama.cpp's."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Literal

SplitMode = Literal["none", "layer", "tensor"]
FlashAttention = Literal["on", "off", "auto"]


@dataclass(frozen=True, slots=True)
class Settings:
    """A complete placement: nothing is left for the engine to decide.

    `gpu_layers` is -ngl and counts the output layer (N+1 = all); `tensor_split` is -ts in the order of `device_order`
    (() = not given: llama.cpp then splits by free memory); `device_order` is -dev (engine's ids); `context_size` is -c
    in tokens, over all slots; `parallel` is -np with `kv_unified` as -kvu (llama-server without -np: 4 slots, unified);
    `n_cpu_moe` is -ncmoe, `cpu_moe` -cmoe; `override_tensors` are the `PATTERN=BUFFER` items of -ot in order;
    `kv_offload` False is -nkvo, `op_offload` False is --no-op-offload, `mmap` False is --no-mmap, `threads` None is the
    engine's default. `mmproj` and `draft_model` are paths (-mm, -md), `draft_gpu_layers` is -ngld (None: all).
    `draft_device_order` is -devd (None: the main model's devices, (): none), `mmproj_device` is -mmdev (None: the first
    device of the main model, "none": the CPU). `spec_type` is --spec-type (kinds of speculative decoding, separated by
    commas), `spec_draft_n_max` --spec-draft-n-max (None: the engine's default), `draft_cache_type_k` and
    `draft_cache_type_v` are -ctkd and -ctvd, of a draft model as of MTP. `cache_ram_mib` is --cache-ram,
    `ctx_checkpoints` --ctx-checkpoints (None: the engine's default).
    """

    context_size: int
    gpu_layers: int
    device_order: tuple[str, ...]
    tensor_split: tuple[float, ...] = ()
    split_mode: SplitMode = "layer"
    main_gpu: int = 0
    batch_size: int = 2048
    ubatch_size: int = 512
    cache_type_k: str = "f16"
    cache_type_v: str = "f16"
    flash_attention: FlashAttention = "auto"
    parallel: int = 4
    kv_unified: bool = True
    swa_full: bool = False
    kv_offload: bool = True
    op_offload: bool = True
    n_cpu_moe: int = 0
    cpu_moe: bool = False
    override_tensors: tuple[str, ...] = ()
    mmap: bool = True
    threads: int | None = None
    mmproj: str | None = None
    draft_model: str | None = None
    draft_gpu_layers: int | None = None
    draft_device_order: tuple[str, ...] | None = None
    mmproj_device: str | None = None
    spec_type: str | None = None
    spec_draft_n_max: int | None = None
    draft_cache_type_k: str = "f16"
    draft_cache_type_v: str = "f16"
    cache_ram_mib: int | None = None
    ctx_checkpoints: int | None = None


REMOTE = "RPC"
"""Begins the ids of devices in other machines (ggml/src/ggml-rpc/ggml-rpc.cpp)."""


def leading_remote(order: Sequence[str]) -> tuple[str, ...]:
    """The devices of other machines in front of all others."""
    return tuple(takewhile(lambda name: name.startswith(REMOTE), order))
