"""An understood command -> complete Settings: what the engine itself would fill in, by its version.

llama-server: `common/arg.cpp`, `tools/server/server.cpp` and `common/fit.cpp` of build 11434. koboldcpp: its argument
defaults from 1.60 to 1.123 (the 128 tokens it adds to its context are added by its MemoryRules).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from splitter.engine.koboldcpp.versions import koboldcpp_release
from splitter.engine.llama_server.versions import KV_UNIFIED_BUILD, llama_build
from splitter.engine.reading.devices import device_order, named_devices
from splitter.engine.reading.value import Findings, ReadCommand
from splitter.errors import UsageError
from splitter.memory.settings import Settings
from splitter.model.facts import ModelFacts
from splitter.plan.plan import Notice
from splitter.rig.device import Rig

AUTO, ALL = -1, -2
SERVER_SLOTS = 4
# koboldcpp's default context, from the release that brought it.
KOBOLD_CONTEXTS = (((1, 122), 16384), ((1, 117), 12288), ((1, 115), 16384), ((1, 96), 8192), ((1, 70), 4096))


@dataclass(frozen=True, slots=True)
class Completed:
    """Everything the engine would decide, and what it decided by itself, in words (`notices`)."""

    settings: Settings
    notices: tuple[Notice, ...] = ()


def complete_settings(read: ReadCommand, facts: ModelFacts, rig: Rig, engine_version: str | None = None) -> Completed:
    """`read` on `rig` with the defaults of `engine_version` (default: the version it was read for, then the newest).

    Where the engine adjusts itself at start (fit, auto layers), the settings are those before the adjustment and a
    notice says so. UsageError for values the engine could not run with.
    """
    findings = Findings()
    version = engine_version or read.version
    given = dict(read.settings)
    given["device_order"] = device_order(read, rig)
    given |= named_devices(read, rig)
    fill = _kobold if read.kind == "koboldcpp" else _llama
    filled = fill(read, given, facts, version, findings)
    settings = Settings(**_effective(filled, facts, read))
    return Completed(settings, tuple(findings.notices))


def _effective(given: dict[str, Any], facts: ModelFacts, read: ReadCommand) -> dict[str, Any]:
    """What both engines do with any values: counts cut to what exists, the split brought to the devices' number."""
    everything = facts.layers + 1
    if given["gpu_layers"] < 0:
        given["gpu_layers"] = everything
    if not given["device_order"]:
        given["gpu_layers"] = 0
    split, count = given.get("tensor_split", ()), len(given["device_order"])
    if split:
        padded = (*split, *(0.0,) * (count - len(split)))[:count]
        given["tensor_split"] = padded if any(padded) else ()
    _check_range(given, read)
    given["ubatch_size"] = min(given["ubatch_size"], given["batch_size"])
    if given.get("main_gpu", 0) >= max(count, 1):
        raise UsageError(
            f"the main GPU is {given['main_gpu']}, but the command uses {count} devices", "count from 0 among them"
        )
    given["gpu_layers"] = min(given["gpu_layers"], everything)
    draft = given.get("draft_gpu_layers")
    if draft is not None and draft < 0:
        given["draft_gpu_layers"] = None
    if given.get("threads") is not None and given["threads"] < 1:
        given["threads"] = None
    return given


def _check_range(given: Mapping[str, Any], read: ReadCommand) -> None:
    for name in ("context_size", "batch_size", "ubatch_size", "parallel"):
        if given[name] < 1:
            raise UsageError(f"{read.kind} cannot run with {name} {given[name]}", "give a positive number")
    if given.get("main_gpu", 0) < 0:
        raise UsageError(f"the main GPU cannot be {given['main_gpu']}", "count from 0 among the command's devices")


def _llama(
    read: ReadCommand, given: dict[str, Any], facts: ModelFacts, version: str | None, findings: Findings
) -> dict[str, Any]:
    out: dict[str, Any] = {"batch_size": 2048, "ubatch_size": 512, "gpu_layers": AUTO} | given
    if out["ubatch_size"] == 0:
        out["ubatch_size"] = out["batch_size"]
    _llama_slots(read, out, llama_build(version))
    _llama_context(read, out, facts)
    if fit_decides(read) and out["device_order"]:
        lowers = "layers" if "context_size" in read.settings else "the context, then layers"
        findings.note(
            "fit_decides",
            f"--fit is on and no -ngl is given: where all layers do not fit, llama-server lowers {lowers} by itself; "
            "the figures are those before it does",
            "give -ngl, -ts, -c and --fit off to have exactly one placement",
        )
    return out


def _llama_slots(read: ReadCommand, out: dict[str, Any], build: int) -> None:
    """Without -np: 4 slots over one cache in llama-server, one sequence in the other programs."""
    count = out.get("parallel", AUTO)
    if "cli" in read.program or "completion" in read.program or "fit-params" in read.program:
        out["parallel"] = max(count, 1)
        out.setdefault("kv_unified", True)
    elif count < 0:
        out |= {"parallel": SERVER_SLOTS, "kv_unified": True}
    else:
        out.setdefault("kv_unified", build < KV_UNIFIED_BUILD or count == 1)  # one slot shares with nobody


def _llama_context(read: ReadCommand, out: dict[str, Any], facts: ModelFacts) -> None:
    if out.get("context_size", 0) != 0:
        return
    per_slot = str(read.flags.get("kv_unified_per_slot", ""))
    if per_slot.isdigit() and "context_size" not in read.settings and int(per_slot[:9]):
        out["context_size"] = int(per_slot[:9]) * out["parallel"]
    elif facts.context_train:
        out["context_size"] = facts.context_train
    else:
        raise UsageError("no -c is given and the model does not say its context", "give -c TOKENS")


def fit_decides(read: ReadCommand) -> bool:
    """Whether llama.cpp's own fit may still change the placement (it gives up when any of these is given)."""
    off = str(read.flags.get("fit", "on")) in {"off", "disabled", "false", "0"}
    decided = {"tensor_split", "override_tensors", "n_cpu_moe", "cpu_moe"} & set(read.settings)
    return not off and read.settings.get("gpu_layers", AUTO) == AUTO and not decided


def _kobold(
    read: ReadCommand, given: dict[str, Any], facts: ModelFacts, version: str | None, findings: Findings
) -> dict[str, Any]:
    release = koboldcpp_release(version)
    out: dict[str, Any] = {
        "context_size": kobold_context(release),
        "gpu_layers": AUTO if release >= (1, 75) else 0,
        "batch_size": 512,
        "flash_attention": "on" if release >= (1, 107) else "off",
        "parallel": 1,
        "kv_unified": True,
        "swa_full": release < (1, 114) and bool(facts.hparam("attention.sliding_window")),
        "mmap": release < (1, 82),
    } | given
    if out["batch_size"] == -1:
        out["batch_size"] = 1
    if out.get("ubatch_size", -1) == -1:
        out["ubatch_size"] = out["batch_size"]
    if release >= (1, 107) and out["flash_attention"] != "off":
        out["flash_attention"] = "on"
    if out["flash_attention"] == "off" and "cache_type_v" in out:
        out["cache_type_v"] = "f16"
    if kobold_autofit(read, release):
        out["tensor_split"] = ()
        findings.note(
            "autofit_decides",
            "koboldcpp fits layers and split by itself (autofit); the figures are those with all layers on GPUs",
            "give --gpulayers and --tensor_split to have exactly one placement",
        )
    elif out["gpu_layers"] == AUTO and out["device_order"]:
        findings.note(
            "auto_layers_guess",
            "koboldcpp guesses how many layers to offload; the figures are those with all layers on GPUs",
            "give --gpulayers N",
        )
    out["n_cpu_moe"] = min(out.get("n_cpu_moe", 0), facts.layers)
    return out


def kobold_context(release: tuple[int, ...]) -> int:
    """koboldcpp's context where --contextsize is missing."""
    return next((size for since, size in KOBOLD_CONTEXTS if release >= since), 2048)


def kobold_autofit(read: ReadCommand, release: tuple[int, ...]) -> bool:
    """Whether koboldcpp lets llama.cpp fit the placement: --autofit, or auto layers with nothing placed by hand."""
    if read.flags.get("autofit"):
        return release >= (1, 104)
    by_hand = {"tensor_split", "override_tensors", "n_cpu_moe"} & set(read.settings)
    return release >= (1, 108) and read.settings.get("gpu_layers", AUTO) == AUTO and not by_hand
