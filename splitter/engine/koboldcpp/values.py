"""The values of koboldcpp's flags -> fields of Settings, whether they come from a command or a .kcpps file."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from splitter.engine.koboldcpp.versions import (
    MAX_MOECPU,
    QUANTKV_NAMES,
    QUANTKV_NUMBERS,
    QUANTKV_WORDS,
    ROW_IS_TENSOR,
    batch_sizes,
    koboldcpp_release,
    largest_context,
)
from splitter.engine.llama_server.values import FFN_PATTERN
from splitter.engine.reading.value import Findings
from splitter.errors import UsageError
from splitter.memory.speculation import MTP

USECUDA_WORDS = ("0", "1", "2", "3", "all", "mmq", "nommq", "normal", "lowvram", "rowsplit")
DEFAULT_PORT = 5001

Values = dict[str, Any]


def spread_usecuda(values: Values, findings: Findings) -> None:
    """The words of --usecuda that stand for other flags."""
    words = values.get("usecuda")
    if words is None:
        return
    words = [str(word) for word in (words if isinstance(words, list) else [words])]
    values["usecuda"] = words
    for word in words:
        if word.isdigit() and word not in USECUDA_WORDS:
            findings.refuse(
                "usecuda_id",
                f"koboldcpp takes no id {word} in --usecuda (0 to 3 only)",
                "choose cards with CUDA_VISIBLE_DEVICES or --device",
            )
        elif word not in USECUDA_WORDS:
            hint = "write --model FILE" if "." in word else "valid words: " + ", ".join(USECUDA_WORDS)
            raise UsageError(f"--usecuda swallows {word!r} and koboldcpp refuses it", hint)
    if "lowvram" in words:
        values["lowvram"] = True
    if "rowsplit" in words:
        values["splitmode"] = "row"


def port_of(values: Values) -> int:
    """The port: a position counts more than the flag (a .kcpps file has both), unless it is the default. UsageError
    outside 1 to 65535."""
    position = whole_number("--port", values.get("port_param", DEFAULT_PORT))
    port = whole_number("--port", values.get("port", DEFAULT_PORT)) if position == DEFAULT_PORT else position
    if not 0 < port < 65536:
        raise UsageError(f"--port takes 1 to 65535, not {port}", "choose a free port")
    return port


def kobold_settings(values: Values, version: str | None, findings: Findings) -> Values:
    """Fields of Settings that `values` (by argparse dest) give. UsageError for a value that cannot be read."""
    settings = _sizes(values, version, findings) | _placement(values, version, findings)
    for group in (_layers, _switches, _extra_models):
        settings |= group(values, findings)
    return settings | _cache_type(values, version, findings) | _batches(values, version, findings)


def whole_number(name: str, value: Any) -> int:
    """`value` of the flag `name` as an integer; UsageError names both."""
    text = str(value).strip()
    if not re.fullmatch(r"[+-]?\d{1,9}", text) or isinstance(value, bool):
        raise UsageError(f"{name} takes a whole number, not {str(value)[:40]!r}", f"correct the value after {name}")
    return int(text)


def _sizes(values: Values, version: str | None, findings: Findings) -> Values:
    settings: Values = {}
    if "contextsize" in values:
        size, largest = (
            whole_number("--contextsize", values["contextsize"]),
            largest_context(koboldcpp_release(version)),
        )
        settings["context_size"] = size
        if not 256 <= size <= largest:
            title = f"koboldcpp {version}" if version else "koboldcpp"
            findings.refuse("context_range", f"{title} takes a context of 256 to {largest}, not {size}")
    for dest, name in (("threads", "threads"), ("parallelrequests", "parallel")):
        count = whole_number(f"--{dest}", values.get(dest, 0))
        if count > 0:
            settings[name] = count
    return settings


def _layers(values: Values, findings: Findings) -> Values:
    if values.get("usecpu") or values.get("noblas"):
        return {"gpu_layers": 0}
    if "gpulayers" not in values:
        return {}
    given = values["gpulayers"]
    if given in ("all", "auto"):
        findings.refuse("gpulayers_word", f"koboldcpp refuses --gpulayers {given}", "write a number, or -1 for auto")
        return {"gpu_layers": -2 if given == "all" else -1}
    return {"gpu_layers": whole_number("--gpulayers", given)}


def _placement(values: Values, version: str | None, findings: Findings) -> Values:
    settings: Values = {}
    if values.get("tensor_split"):
        settings["tensor_split"] = _split(values["tensor_split"], findings)
    if "device" in values and str(values["device"]) != "none":
        settings["device_order"] = tuple(name.strip() for name in str(values["device"]).split(",") if name.strip())
    if "maingpu" in values and whole_number("--maingpu", values["maingpu"]) >= 0:
        settings["main_gpu"] = whole_number("--maingpu", values["maingpu"])
    mode = values.get("splitmode")
    if mode not in (None, "layer", "tensor", "row"):
        raise UsageError(f"--splitmode takes layer or tensor, not {mode!r}", "correct the value after --splitmode")
    if mode:  # row is no mode of ours: its weights are shared as by layer, see traps.row_split
        row = "tensor" if koboldcpp_release(version) >= ROW_IS_TENSOR else "layer"
        settings["split_mode"] = row if mode == "row" else mode
    return settings


def _split(given: Any, findings: Findings) -> tuple[float, ...]:
    words = [str(word) for word in (given if isinstance(given, list) else [given])]
    parts = [part for word in words for part in re.split(r"[,/]", word) if part]
    if parts != words:
        findings.refuse(
            "split_commas",
            f"koboldcpp refuses the split {' '.join(words)}: it wants spaces, not commas",
            f"write --tensor_split {' '.join(parts)}",
        )
    shares = _shares("--tensor_split", parts)
    if not all(0 <= share < 1e9 for share in shares):
        raise UsageError("--tensor_split takes numbers that are not negative", "give each card its share")
    return shares[:16]


def _shares(flag: str, parts: Sequence[str]) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in parts)
    except ValueError as error:
        found = f"{flag} swallows {str(error).partition(': ')[2]}, which is not a number"
        raise UsageError(found, "put --model FILE after it") from None


def draft_shares(values: Mapping[str, Any]) -> tuple[float, ...]:
    """The draft model's shares of the devices, empty where nothing is said. UsageError for what is no number."""
    return _shares("--draftgpusplit", [str(part) for part in values.get("draftgpusplit") or ()])


def _switches(values: Values, _: Findings) -> Values:
    named: Mapping[str, tuple[str, Any]] = {
        "flashattention": ("flash_attention", "on"),
        "noflashattention": ("flash_attention", "off"),
        "useswa": ("swa_full", False),
        "noswa": ("swa_full", True),
        "lowvram": ("kv_offload", False),
        "nommap": ("mmap", False),
        "usemmap": ("mmap", True),
    }
    return dict(named[dest] for dest in named if values.get(dest))


def _extra_models(values: Values, _: Findings) -> Values:
    settings: Values = {}
    for dest, name in (("mmproj", "mmproj"), ("draftmodel", "draft_model")):
        if values.get(dest):
            settings[name] = str(values[dest])
    if "mmproj" in settings and values.get("mmprojcpu"):
        settings["mmproj_device"] = "none"
    if "draft_model" in settings and "draftgpulayers" in values:
        settings["draft_gpu_layers"] = whole_number("--draftgpulayers", values["draftgpulayers"])
    if values.get("usemtp") and "draft_model" not in settings:
        settings |= {"spec_type": MTP, "spec_draft_n_max": whole_number("--draftamount", values.get("draftamount", 4))}
    experts = min(whole_number("--moecpu", values.get("moecpu", 0)), MAX_MOECPU)
    if experts > 0:
        settings["n_cpu_moe"] = experts
    overrides = [item for item in str(values.get("overridetensors", "")).split(",") if item]
    dense = min(whole_number("--ffncpu", values.get("ffncpu", 0)), MAX_MOECPU)
    overrides += [FFN_PATTERN.format(layer) + "=CPU" for layer in range(dense)]
    return settings | ({"override_tensors": tuple(overrides)} if overrides else {})


def _cache_type(values: Values, version: str | None, findings: Findings) -> Values:
    if "quantkv" not in values:
        return {}
    given = str(values["quantkv"])
    names = {number: name for name, number in QUANTKV_NUMBERS.items()} | {name: name for name in QUANTKV_NAMES}
    if given not in names:
        known = ", ".join(QUANTKV_NAMES)
        raise UsageError(f"--quantkv takes {known} or 0 to 3, not {given!r}", "correct the value after --quantkv")
    if not given.isdigit() and koboldcpp_release(version) < QUANTKV_WORDS:
        findings.refuse(
            "quantkv_word",
            f"koboldcpp {version} takes numbers after --quantkv",
            f"write --quantkv {QUANTKV_NUMBERS.get(given, '1')}",
        )
    return {"cache_type_k": names[given], "cache_type_v": names[given]}


def _batches(values: Values, version: str | None, findings: Findings) -> Values:
    settings: Values = {}
    release = koboldcpp_release(version)
    allowed = (-1, *batch_sizes(release))
    for dest, name in (("batchsize", "batch_size"), ("ubatchsize", "ubatch_size")):
        if dest not in values:
            continue
        size = whole_number(f"--{dest}", values[dest])
        if size not in allowed:
            listed = ", ".join(map(str, allowed))
            findings.refuse("batch_size", f"koboldcpp takes --{dest} {listed}, not {size}", "take one of those")
        settings[name] = size
    return settings
