"""What koboldcpp fills in where a command says nothing: its argument defaults from 1.60 to 1.123.

The tokens that it adds to its context are added by its MemoryRules.
"""

from typing import Any

from splitter.engine.koboldcpp.values import draft_shares
from splitter.engine.koboldcpp.versions import (
    AUTOFIT_ON,
    FLASH_ON,
    NO_MMAP,
    PIPELINE_ASKED,
    SWA_ON,
    USECPU,
    default_context,
    koboldcpp_release,
)
from splitter.engine.reading.value import AUTO, Findings, ReadCommand
from splitter.model.facts import ModelFacts


def fill_kobold(
    read: ReadCommand, given: dict[str, Any], facts: ModelFacts, version: str | None, findings: Findings
) -> dict[str, Any]:
    """`given` of `read` with koboldcpp's own values; notes what it decides at start."""
    release = koboldcpp_release(version)
    out: dict[str, Any] = {
        "context_size": default_context(release),
        "gpu_layers": AUTO if release >= USECPU else 0,
        "batch_size": 512,
        "flash_attention": "on" if release >= FLASH_ON else "off",
        "parallel": 1,
        "kv_unified": True,
        "swa_full": release < SWA_ON and bool(facts.hparam("attention.sliding_window")),
        "mmap": release < NO_MMAP,
    } | given
    if out["batch_size"] == -1:
        out["batch_size"] = 1
    if out.get("ubatch_size", -1) == -1:
        out["ubatch_size"] = out["batch_size"]
    if release >= FLASH_ON and out["flash_attention"] != "off":
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
    shares = draft_shares(read.flags) if out.get("draft_model") else ()
    if any(share > 0 for share in shares):
        pairs = zip(out["device_order"], shares, strict=False)
        out["draft_device_order"] = tuple(name for name, share in pairs if share > 0)
    if len({share for share in shares if share > 0}) > 1:
        found = "--draftgpusplit: the figures share the draft model among its cards by their free memory"
        findings.note("draft_split", found, "give one card a share of 1 and the others 0")
    out["n_cpu_moe"] = min(out.get("n_cpu_moe", 0), facts.layers)
    return out


def kobold_autofit(read: ReadCommand, release: tuple[int, ...]) -> bool:
    """Whether koboldcpp lets llama.cpp fit the placement: --autofit, or auto layers with nothing placed by hand."""
    if read.flags.get("autofit"):
        return release >= PIPELINE_ASKED
    by_hand = {"tensor_split", "override_tensors", "n_cpu_moe"} & set(read.settings)
    return release >= AUTOFIT_ON and read.settings.get("gpu_layers", AUTO) == AUTO and not by_hand
