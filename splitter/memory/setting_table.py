"""Every setting described once: what command line, profiles, JSON schema and messages say of it comes from here.

Which engine understands a setting is told by its rules: `EngineRules.forced` holds those it has no words for.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

SettingKind = Literal["integer", "layers", "numbers", "choice", "type", "context", "text", "texts", "items", "boolean"]

# --cache-type-k/-v name -> (elements per block, bytes per block), ggml/src/ggml-common.h.
CACHE_TYPES: Mapping[str, tuple[int, int]] = {
    "f32": (1, 4),
    "f16": (1, 2),
    "bf16": (1, 2),
    "q8_0": (32, 34),
    "q4_0": (32, 18),
    "q4_1": (32, 20),
    "iq4_nl": (32, 18),
    "q5_0": (32, 22),
    "q5_1": (32, 24),
}
# Those of ik_llama.cpp alone; a row of q8_KV, a head of 128, has 8 bytes of its own.
FORK_CACHE_TYPES: Mapping[str, tuple[int, int]] = {"q6_0": (32, 26), "q8_KV": (32, 34)}
ALL_CACHE_TYPES: Mapping[str, tuple[int, int]] = {**CACHE_TYPES, **FORK_CACHE_TYPES}


@dataclass(frozen=True, slots=True)
class Setting:
    """One field of Settings. `flags` are llama.cpp's spellings, the one that messages use first.

    Kinds: `layers` is a number or `all`, `context` a number or `max`, `type` a cache type, `texts` a list of ids,
    `items` a list that the flag may add to several times; the flag of a `boolean` stands for the value `means`.
    """

    name: str
    kind: SettingKind
    flags: tuple[str, ...]
    about: str
    metavar: str | None = None
    choices: tuple[str, ...] = ()
    minimum: int | None = None
    means: bool = True

    def flag(self) -> str:
        """The flag by which messages call it."""
        return self.flags[0]


def _flag(name: str, flags: str, about: str, *, means: bool = True) -> Setting:
    return Setting(name, "boolean", tuple(flags.split()), about, means=means)


def _number(name: str, flags: str, about: str, minimum: int = 1) -> Setting:
    return Setting(name, "integer", tuple(flags.split()), about, minimum=minimum)


def _choice(name: str, flags: str, about: str, *choices: str) -> Setting:
    return Setting(name, "choice", tuple(flags.split()), about, choices=choices)


def _words(name: str, kind: SettingKind, flags: str, about: str, metavar: str) -> Setting:
    return Setting(name, kind, tuple(flags.split()), about, metavar)


SETTINGS: tuple[Setting, ...] = (
    Setting("context_size", "context", ("-c", "--ctx-size"), "Context in tokens, or `max`.", "N|max", minimum=1),
    Setting("gpu_layers", "layers", ("-ngl", "--gpu-layers", "--n-gpu-layers"), "Layers on GPUs, output included.",
            "N|all", minimum=0),
    Setting("tensor_split", "numbers", ("-ts", "--tensor-split"), "Share per device, in device order.", "N,N,...",
            minimum=0),
    _words("device_order", "texts", "--device -dev", "Devices and their order.", "ID,ID,..."),
    _choice("split_mode", "-sm --split-mode", "How layers are split.", "none", "layer", "tensor"),
    _number("main_gpu", "-mg --main-gpu", "Device for -sm none.", 0),
    _number("batch_size", "-b --batch-size", "Logical batch."),
    _number("ubatch_size", "-ub --ubatch-size", "Physical batch."),
    _words("cache_type_k", "type", "-ctk --cache-type-k", "Type of the K cache.", "TYPE"),
    _words("cache_type_v", "type", "-ctv --cache-type-v", "Type of the V cache.", "TYPE"),
    _choice("flash_attention", "-fa --flash-attn", "Flash attention.", "on", "off", "auto"),
    _number("parallel", "-np --parallel", "Slots served at once."),
    _flag("kv_unified", "-kvu --kv-unified", "One cache shared by all slots."),
    _number("n_cpu_moe", "-ncmoe --n-cpu-moe", "Experts of the first N layers on CPU.", 0),
    _flag("cpu_moe", "-cmoe --cpu-moe", "All experts on CPU."),
    _words("override_tensors", "items", "-ot --override-tensor", "Tensors to a buffer type.", "PATTERN=BUFFER,..."),
    _flag("swa_full", "--swa-full", "Full-size sliding-window cache."),
    _flag("kv_offload", "-nkvo --no-kv-offload", "KV cache in RAM.", means=False),
    _flag("op_offload", "--no-op-offload", "The CPU computes what lies in RAM.", means=False),
    _flag("mmap", "--no-mmap", "Read the model into RAM.", means=False),
    _number("threads", "-t --threads", "CPU threads."),
    _words("mmproj", "text", "-mm --mmproj", "Multimodal projector.", "FILE"),
    _words("mmproj_device", "text", "-mmdev --mmproj-device", "Device of the projector, or none.", "ID"),
    _words("draft_model", "text", "-md --model-draft", "Draft model.", "FILE"),
    _words("draft_device_order", "texts", "-devd --device-draft", "Device of the draft model, or none.", "ID"),
    _number("draft_gpu_layers", "-ngld --gpu-layers-draft", "Draft layers on its device.", 0),
    _words("spec_type", "text", "--spec-type", "Speculative decoding, for example draft-mtp.", "KIND,..."),
    _number("spec_draft_n_max", "--spec-draft-n-max", "Most tokens drafted at once.", 0),
    _words("draft_cache_type_k", "type", "-ctkd --cache-type-k-draft", "Type of the draft's K cache.", "TYPE"),
    _words("draft_cache_type_v", "type", "-ctvd --cache-type-v-draft", "Type of the draft's V cache.", "TYPE"),
    _number("cache_ram_mib", "--cache-ram -cram", "MiB of RAM for old prompts.", 0),
    _number("ctx_checkpoints", "-ctxcp --ctx-checkpoints", "Context checkpoints per slot.", 0),
)  # fmt: skip

BY_NAME: Mapping[str, Setting] = {setting.name: setting for setting in SETTINGS}


def flag_of(name: str) -> str:
    """The flag by which messages call the setting `name`."""
    return BY_NAME[name].flag()
