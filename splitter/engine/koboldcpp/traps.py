"""Traps of koboldcpp: device ids that choose nothing, defaults that changed, automatics that undo a split."""

from collections.abc import Iterator

from splitter.engine.koboldcpp.complete import kobold_autofit
from splitter.engine.koboldcpp.versions import (
    AUTOFIT_ON,
    DRAFT_BESIDE_PROJECTOR,
    FLASH_ON,
    ROW_IS_TENSOR,
    SMARTCACHE,
    SPLIT_MODE,
    backend_flag,
)
from splitter.engine.reading.case import Case, Trap, shown
from splitter.engine.reading.devices import usecuda_ids
from splitter.model.attention import cache_layers
from splitter.plan.plan import Notice

# Models that koboldcpp loads beside the text model and that no figure of ours holds: flag -> what it is.
OTHER_MODELS = {
    "sdmodel": "an image model",
    "whispermodel": "a speech recognition model",
    "ttsmodel": "a speech model",
    "ttswavtokenizer": "a speech model",
    "musicllm": "a music model",
    "musicdiffusion": "a music model",
    "embeddingsmodel": "an embedding model",
    "lora": "an adapter (LoRA)",
}


def _choose(case: Case) -> str:
    variable = case.hiding_variable() or "CUDA_VISIBLE_DEVICES"
    return f"choose cards with {variable} and write {backend_flag(case.release)} normal"


def usecuda_ids_ignored(case: Case) -> Iterator[Notice]:
    """With a split the ids of --usecuda hide nothing; the lowest only becomes the main GPU."""
    ids = usecuda_ids(case.read)
    if not ids or not case.given("tensor_split"):
        return
    listed = " ".join(map(str, ids))
    order = ", ".join(shown(device) for device in case.devices)
    yield Notice(
        "usecuda_ids",
        f"--usecuda {listed} does not choose cards: with --tensor_split all cards stay visible, and the split "
        f"counts them as {order}",
        _choose(case),
    )


def usecuda_one_card(case: Case) -> Iterator[Notice]:
    """Without a split the lowest id hides all other cards."""
    ids = usecuda_ids(case.read)
    if len(ids) < 2 or case.given("tensor_split") or "device_order" in case.read.settings:
        return
    only = shown(case.devices[0]) if case.devices else f"card {min(ids)}"
    yield Notice(
        "usecuda_one_card",
        f"--usecuda {' '.join(map(str, ids))} without --tensor_split runs on {only} alone",
        f"add --tensor_split with one share per card; {_choose(case)}",
    )


def visible_overwritten(case: Case) -> Iterator[Notice]:
    """An id of --usecuda without a split undoes the launcher's CUDA_VISIBLE_DEVICES."""
    ids = usecuda_ids(case.read)
    if ids and not case.given("tensor_split") and "CUDA_VISIBLE_DEVICES" in case.read.env:
        yield Notice(
            "visible_overwritten",
            f"koboldcpp overwrites CUDA_VISIBLE_DEVICES with {min(ids)}, the lowest id of --usecuda",
            f"write {backend_flag(case.release)} normal, without ids",
        )


def autofit_drops_split(case: Case) -> Iterator[Notice]:
    """An explicit --autofit starts from nothing."""
    if case.read.flags.get("autofit") and kobold_autofit(case.read, case.release) and case.given("tensor_split"):
        yield Notice(
            "autofit_drops_split",
            "--autofit discards the given --tensor_split",
            "leave one of them out",
        )


def padding_of_one_card(case: Case) -> Iterator[Notice]:
    """--autofitpadding keeps memory free on the first card only, and counts only beside an explicit --autofit."""
    flags = case.read.flags
    if "autofitpadding" not in flags:
        return
    if not flags.get("autofit"):
        found = "--autofitpadding is reset to 1024 unless --autofit is given with it"
        yield Notice("autofit_padding", found, "add --autofit, or leave it out")
    elif len(case.devices) > 1:
        rest = ", ".join(shown(device) for device in case.devices[1:])
        first = shown(case.devices[0])
        found = f"--autofitpadding keeps memory free on {first} alone; {rest} keep 1024 MiB whatever it says"
        yield Notice(
            "autofit_padding", found, "give --gpulayers and --tensor_split instead, or put the fullest card first"
        )


def auto_layers_no_fit(case: Case) -> Iterator[Notice]:
    """-1 beside a split does not fit anything: the old guess is used as it is."""
    automatic = case.read.settings.get("gpu_layers", -1) == -1 and case.release >= AUTOFIT_ON and bool(case.devices)
    if automatic and case.given("tensor_split") and not case.read.flags.get("autofit"):
        yield Notice(
            "auto_layers_split",
            "--tensor_split turns autofit off: without --gpulayers koboldcpp guesses from its smallest card",
            "give --gpulayers N",
        )


def quantkv_without_flash(case: Case) -> Iterator[Notice]:
    """Quantised caches need flash attention: a stop in old releases, half an effect in newer ones."""
    if not case.read.settings.get("cache_type_k", "f16").startswith("q") or case.settings.flash_attention == "on":
        return
    if case.release <= (1, 86, 2):
        found = "koboldcpp stops: --quantkv needs --flashattention in this release"
    else:
        found = "without flash attention --quantkv quantises K alone; V stays f16"
    remedy = "remove --noflashattention" if case.release >= FLASH_ON else "add --flashattention"
    yield Notice("quantkv_without_flash", found, remedy)


def row_split(case: Case) -> Iterator[Notice]:
    """Row mode is gone from koboldcpp and from the memory model."""
    if case.read.flags.get("splitmode") != "row":
        return
    asked = "rowsplit" if "rowsplit" in (case.read.flags.get("usecuda") or ()) else "--splitmode row"
    other = "write --splitmode layer" if case.release >= SPLIT_MODE and asked != "rowsplit" else f"leave {asked} out"
    if case.release >= ROW_IS_TENSOR:
        yield Notice("split_mode_row", f"{asked} means the split mode tensor in this release", other)
        return
    main = shown(case.devices[case.settings.main_gpu]) if case.devices else "the main GPU"
    found = (
        f"{asked} is not what the figures show: they are those of a split by layers; the cache and the compute buffers "
        f"lie on {main} alone, and each layer waits for all cards"
    )
    yield Notice("split_mode_row", found, other)


def draft_beside_projector(case: Case) -> Iterator[Notice]:
    """koboldcpp used one of the two; since June 2026 it takes both, and warns."""
    if not (case.settings.draft_model and case.settings.mmproj):
        return
    found = "koboldcpp does not use a draft model beside --mmproj"
    if case.release >= DRAFT_BESIDE_PROJECTOR:
        found = "koboldcpp itself warns of a draft model beside --mmproj"
    yield Notice("draft_beside_projector", found, "leave one of them out")


def other_models(case: Case) -> Iterator[Notice]:
    """Silence would mean that they are counted."""
    given = [(flag, what) for flag, what in OTHER_MODELS.items() if case.read.flags.get(flag)]
    for what in dict.fromkeys(what for _, what in given):
        flags = " and ".join(f"--{flag}" for flag, kind in given if kind == what)
        verb = "are" if " and " in flags else "is"
        found = f"{flags} {verb} not counted: {what} takes memory of its own, which the figures leave out"
        yield Notice("not_counted", found, f"keep that much free: --margin MIB, or check again without {flags}")
    if case.read.flags.get("usemtp"):
        found = "--usemtp is counted as llama.cpp does it; koboldcpp's own buffers for it were not compared"
        yield Notice("mtp_estimate", found, "keep some memory free: --margin MIB")


def snapshots_in_ram(case: Case) -> Iterator[Notice]:
    """--smartcache keeps states of whole contexts in RAM; hybrid models turn it on by themselves."""
    if case.read.flags.get("smartcache") or (case.release >= SMARTCACHE and _is_hybrid(case)):
        asked = "--smartcache" if case.read.flags.get("smartcache") else "smart cache (on by itself for hybrid models)"
        found = f"{asked} keeps five or more snapshots of the context in RAM, which the figures leave out"
        yield Notice("smart_cache", found, "give --smartcache a smaller number where RAM is short")


def _is_hybrid(case: Case) -> bool:
    caches = () if case.plan is None else cache_layers(case.plan.facts)
    return any(cache.recurrent_bytes for cache in caches) and any(cache.k_width for cache in caches)


def no_repacking(case: Case) -> Iterator[Notice]:
    """Weights that are mapped from the file cannot be rearranged for the CPU."""
    on_host = case.plan is not None and None in case.plan.placement.layers[:-1]
    if case.read.flags.get("usemmap") and on_host:
        found = "--usemmap keeps the weights in RAM as they are in the file: the CPU cannot repack them, and is slower"
        yield Notice("no_repacking", found, "leave --usemmap out, unless RAM is too short for the weights")


KOBOLD_TRAPS: tuple[Trap, ...] = (
    usecuda_ids_ignored, usecuda_one_card, visible_overwritten, autofit_drops_split, auto_layers_no_fit,
    quantkv_without_flash, row_split, padding_of_one_card, draft_beside_projector, other_models,
    snapshots_in_ram, no_repacking,
)  # fmt: skip
