"""llama-server's flags for the embedded engine: each sets its field of xllamacpp's CommonParams (2026.10.11549).

Those parameters hold no device list: `--device` may only repeat the devices the wheel sees, or be `none`.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from splitter.errors import UsageError
from splitter.memory.patterns import EXPERTS

Setter = Callable[[Any, str], None]

DEFAULT_PORT = 8080
DEFAULT_SLOTS = 4


def number(text: str) -> int:
    """An integer value of a flag."""
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"{text!r} is not a whole number", "give the flag a number") from None


def text_to(name: str) -> Setter:
    """Sets the parameter `name` (dots reach inside) to the flag's text."""
    return lambda params, text: set_path(params, name, text)


def number_to(*names: str) -> Setter:
    """Sets each parameter in `names` to the flag's number."""

    def apply(params: Any, text: str) -> None:
        for name in names:
            set_path(params, name, number(text))

    return apply


def choice_to(name: str, enum: str, prefix: str) -> Setter:
    """Sets the parameter `name` to the member of the wheel's `enum` that the flag's text spells."""

    def apply(params: Any, text: str) -> None:
        import xllamacpp

        members = getattr(xllamacpp, enum).__members__
        spelling = {"ON": "ENABLED", "OFF": "DISABLED"}.get(text.upper(), text.upper())
        if prefix + spelling not in members:
            known = ", ".join(
                sorted(m.removeprefix(prefix).lower() for m in members if m.startswith(prefix) and "COUNT" not in m)
            )
            raise UsageError(f"{text!r} is not one of the embedded engine's values", f"it knows {known}")
        set_path(params, name, members[prefix + spelling])

    return apply


def set_speculation(params: Any, text: str) -> None:
    """--spec-type: names with commas; without one a draft model is loaded but not used."""
    import xllamacpp

    members, prefix = xllamacpp.common_speculative_type.__members__, "COMMON_SPECULATIVE_TYPE_"
    names = [prefix + name.upper().replace("-", "_") for name in text.split(",")]
    if not set(names) <= members.keys():
        raise UsageError(f"{text!r} is not a --spec-type of the embedded engine", "use draft-simple")
    params.speculative.types = [members[name] for name in names]


def set_path(params: Any, name: str, value: object) -> None:
    """`params.a.b = value` for the name "a.b"."""
    *path, last = name.split(".")
    for part in path:
        params = getattr(params, part)
    setattr(params, last, value)


def set_layers(params: Any, text: str) -> None:
    """-ngl: a number, `all` or `auto` (llama.cpp's -2 and -1)."""
    params.n_gpu_layers = {"all": -2, "auto": -1}.get(text) or number(text)


def set_split(params: Any, text: str) -> None:
    """-ts: shares with commas or slashes; the wheel wants its whole array."""
    try:
        shares = [float(share) for share in text.replace("/", ",").split(",")]
    except ValueError:
        raise UsageError(f"{text!r} is not a list of shares", "write -ts 3,3,2") from None
    params.tensor_split = shares + [0.0] * (len(params.tensor_split) - len(shares))


def set_devices(params: Any, text: str) -> None:
    """--device: `none`, or exactly the GPUs the wheel sees, in its order."""
    import xllamacpp

    if text == "none":
        params.n_gpu_layers, params.no_op_offload = 0, True
        return
    seen = [d["name"] for d in xllamacpp.get_device_info() if not d["name"].startswith("CPU")]
    if text.split(",") != seen:
        hint = f"it sees {','.join(seen) or 'no GPU'}; choose cards with CUDA_VISIBLE_DEVICES, or use --device none"
        raise UsageError(f"the embedded engine cannot use --device {text}", hint)


def device_to(name: str) -> Setter:
    """Sets the parameter `name` to a device that the wheel sees, or to none."""

    def apply(params: Any, text: str) -> None:
        try:
            set_path(params, name, text)
        except ValueError as error:
            raise UsageError(f"the embedded engine refuses the device {text}: {error}", "write none") from None

    return apply


def set_keys(params: Any, text: str) -> None:
    """--api-key-file: one key a line. Without a key in it everybody would be served."""
    try:
        lines = Path(text).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UsageError(f"the API key file {text} cannot be read: {error.strerror}", "check --api-key-file") from None
    keys = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not keys:
        raise UsageError(f"the API key file {text} holds no key", "put the key on its first line")
    params.api_keys = keys


def set_fit(params: Any, text: str) -> None:
    """--fit: on or off."""
    if text not in {"on", "off"}:
        raise UsageError(f"--fit {text} is neither on nor off", "write --fit off")
    params.fit_params = text == "on"


def add_overrides(params: Any, text: str) -> None:
    """-ot: items `PATTERN=BUFFER` with commas, after those already there."""
    params.tensor_buft_overrides = ",".join(filter(None, [params.tensor_buft_overrides, text]))


def set_host_experts(params: Any, text: str) -> None:
    """-ncmoe N: the experts of the first N layers stay on the host."""
    for layer in range(number(text)):
        add_overrides(params, rf"blk\.{layer}{EXPERTS}=CPU")


VALUES: dict[str, Setter] = {
    "-m --model": text_to("model.path"),
    "-a --alias": lambda params, text: setattr(params, "model_alias", set(text.split(","))),
    "-c --ctx-size": number_to("n_ctx"),
    "-ngl --gpu-layers --n-gpu-layers": set_layers,
    "-ts --tensor-split": set_split,
    "-dev --device": set_devices,
    "-sm --split-mode": choice_to("split_mode", "llama_split_mode", "LLAMA_SPLIT_MODE_"),
    "-mg --main-gpu": number_to("main_gpu"),
    "-b --batch-size": number_to("n_batch"),
    "-ub --ubatch-size": number_to("n_ubatch"),
    "-ctk --cache-type-k": choice_to("cache_type_k", "ggml_type", "GGML_TYPE_"),
    "-ctv --cache-type-v": choice_to("cache_type_v", "ggml_type", "GGML_TYPE_"),
    "-fa --flash-attn": choice_to("flash_attn_type", "llama_flash_attn_type", "LLAMA_FLASH_ATTN_TYPE_"),
    "-np --parallel": number_to("n_parallel"),
    "-t --threads": number_to("cpuparams.n_threads", "cpuparams_batch.n_threads"),
    "-tb --threads-batch": number_to("cpuparams_batch.n_threads"),
    "-ot --override-tensor": add_overrides,
    "-ncmoe --n-cpu-moe": set_host_experts,
    "-mm --mmproj": text_to("mmproj.path"),
    "-md --model-draft": text_to("speculative.draft.mparams.path"),
    "-ngld --gpu-layers-draft": number_to("speculative.draft.n_gpu_layers"),
    "-devd --device-draft": device_to("speculative.draft.devices"),
    "-mmdev --mmproj-device": device_to("mmproj_device"),
    "--spec-type": set_speculation,
    "--spec-draft-n-max": number_to("speculative.draft.n_max"),
    "-ctkd --cache-type-k-draft": choice_to("speculative.draft.cache_type_k", "ggml_type", "GGML_TYPE_"),
    "-ctvd --cache-type-v-draft": choice_to("speculative.draft.cache_type_v", "ggml_type", "GGML_TYPE_"),
    "-cram --cache-ram": number_to("cache_ram_mib"),
    "-ctxcp --ctx-checkpoints": number_to("n_ctx_checkpoints"),
    "-s --seed": number_to("sampling.seed"),
    "-lv --verbosity": number_to("verbosity"),
    "--host": lambda params, text: setattr(params, "hostnames", [text]),
    "--port": number_to("port"),
    "--api-key-file": set_keys,
    "--cors-origins": text_to("cors_origins"),
    "--fit -fit": set_fit,
}
SWITCHES: dict[str, tuple[str, bool]] = {
    "-kvu --kv-unified": ("kv_unified", True),
    "-no-kvu --no-kv-unified": ("kv_unified", False),
    "-kvo --kv-offload": ("no_kv_offload", False),
    "-nkvo --no-kv-offload": ("no_kv_offload", True),
    "--op-offload": ("no_op_offload", False),
    "--no-op-offload": ("no_op_offload", True),
    "--swa-full": ("swa_full", True),
    "--mmproj-offload": ("mmproj_use_gpu", True),
    "--no-mmproj-offload": ("mmproj_use_gpu", False),
    "--jinja": ("use_jinja", True),
    "--no-jinja": ("use_jinja", False),
    "--metrics": ("endpoint_metrics", True),
    "--slots": ("endpoint_slots", True),
    "--no-slots": ("endpoint_slots", False),
    "--warmup": ("warmup", True),
    "--no-warmup": ("warmup", False),
    "--ui --webui": ("ui", True),
    "--no-ui --no-webui": ("ui", False),
}


def set_load_mode(params: Any, mode: str) -> None:
    """--mmap, --no-mmap, --mlock and -lm MODE."""
    choice_to("load_mode", "llama_load_mode", "LLAMA_LOAD_MODE_")(params, mode)


LOAD_MODES = {"--mmap": "mmap", "--no-mmap": "none", "--mlock": "mlock"}
BY_NAME: dict[str, Setter] = {name: setter for names, setter in VALUES.items() for name in names.split()}
SWITCH_BY_NAME = {name: target for names, target in SWITCHES.items() for name in names.split()}


def pairs(argv: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """The flags of `argv` with their values; None for a switch. UsageError for a flag that cannot be obeyed."""
    rest = iter(argv)
    for flag in rest:
        if flag in SWITCH_BY_NAME or flag in LOAD_MODES or flag in {"-cmoe", "--cpu-moe"}:
            yield flag, None
        elif flag in BY_NAME or flag in {"-lm", "--load-mode"}:
            value = next(rest, None)
            if value is None:
                raise UsageError(f"{flag} needs a value", "give the value after the flag")
            yield flag, value
        else:
            raise UsageError(
                f"the embedded engine does not know {flag!r}", "leave it out, or use --engine llama-server"
            )


def apply_flag(params: Any, flag: str, value: str | None) -> None:
    """Sets what one flag means."""
    if flag in SWITCH_BY_NAME:
        set_path(params, *SWITCH_BY_NAME[flag])
    elif value is None:
        if flag in LOAD_MODES:
            set_load_mode(params, LOAD_MODES[flag])
        else:
            add_overrides(params, f"{EXPERTS}=CPU")
    elif flag in {"-lm", "--load-mode"}:
        set_load_mode(params, {"mmap+mlock": "mmap_mlock", "dio": "direct_io"}.get(value, value))
    else:
        BY_NAME[flag](params, value)


def read_flags(argv: Sequence[str], params: Any) -> Any:
    """`params` (the wheel's CommonParams) with llama-server's defaults and then the flags of `argv`."""
    given = list(pairs(argv))
    names = {flag for flag, _ in given}
    params.port = DEFAULT_PORT
    if not names & {"-np", "--parallel"}:  # llama-server's own default: 4 slots that share one cache
        params.n_parallel, params.kv_unified = DEFAULT_SLOTS, True
    for flag, value in given:
        apply_flag(params, flag, value)
    if not params.model.path:
        raise UsageError("no model was given", "add -m FILE.gguf")
    return params
