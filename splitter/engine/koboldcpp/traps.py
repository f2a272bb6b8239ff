"""Traps of koboldcpp: device ids that choose nothing, defaults that changed, automatics that undo a split."""

from collections.abc import Iterator

from splitter.engine.koboldcpp.complete import kobold_autofit
from splitter.engine.reading.case import Case, Trap, shown
from splitter.engine.reading.devices import usecuda_ids
from splitter.plan.plan import Notice

CHOOSE = "choose cards with CUDA_VISIBLE_DEVICES and write --usecuda normal"


def usecuda_ids_ignored(case: Case) -> Iterator[Notice]:
    """With a split the ids of --usecuda hide nothing; the lowest only becomes the main GPU."""
    ids = usecuda_ids(case.read)
    if not ids or not case.given("tensor_split"):
        return
    listed = " ".join(map(str, ids))
    order = ", ".join(shown(device) for device in case.devices)
    yield Notice(
        "usecuda_ids",
        f"--usecuda {listed} does not choose cards: beside --tensor_split all cards stay visible, and the split "
        f"counts them as {order}",
        CHOOSE,
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
        f"add --tensor_split with one share per card; {CHOOSE}",
    )


def visible_overwritten(case: Case) -> Iterator[Notice]:
    """An id of --usecuda without a split undoes the launcher's CUDA_VISIBLE_DEVICES."""
    ids = usecuda_ids(case.read)
    if ids and not case.given("tensor_split") and "CUDA_VISIBLE_DEVICES" in case.read.env:
        yield Notice(
            "visible_overwritten",
            f"koboldcpp overwrites CUDA_VISIBLE_DEVICES with {min(ids)}, the lowest id of --usecuda",
            "write --usecuda normal, without ids",
        )


def autofit_drops_split(case: Case) -> Iterator[Notice]:
    """An explicit --autofit starts from nothing."""
    if case.read.flags.get("autofit") and kobold_autofit(case.read, case.release) and case.given("tensor_split"):
        yield Notice(
            "autofit_drops_split",
            "--autofit throws the given --tensor_split away",
            "leave one of them out",
        )


def auto_layers_no_fit(case: Case) -> Iterator[Notice]:
    """-1 beside a split does not fit anything: the old guess is used as it is."""
    automatic = case.read.settings.get("gpu_layers", -1) == -1 and case.release >= (1, 108) and bool(case.devices)
    if automatic and case.given("tensor_split") and not case.read.flags.get("autofit"):
        yield Notice(
            "auto_layers_split",
            "--tensor_split turns autofit off: without --gpulayers koboldcpp guesses from its smallest card alone",
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
    remedy = "remove --noflashattention" if case.release >= (1, 107) else "add --flashattention"
    yield Notice("quantkv_without_flash", found, remedy)


def row_becomes_tensor(case: Case) -> Iterator[Notice]:
    """Row mode is gone from koboldcpp and from the memory model."""
    if case.read.flags.get("splitmode") != "row":
        return
    now = "becomes tensor from 1.122 on" if case.release >= (1, 116) else "is not what the figures show (tensor)"
    yield Notice("split_mode_row", f"the split mode row {now}", "write --splitmode layer or tensor")


def draft_beside_projector(case: Case) -> Iterator[Notice]:
    """koboldcpp uses one of the two."""
    if case.settings.draft_model and case.settings.mmproj:
        yield Notice(
            "draft_beside_projector", "koboldcpp does not use a draft model beside --mmproj", "leave one of them out"
        )


KOBOLD_TRAPS: tuple[Trap, ...] = (
    usecuda_ids_ignored, usecuda_one_card, visible_overwritten, autofit_drops_split, auto_layers_no_fit,
    quantkv_without_flash, row_becomes_tensor, draft_beside_projector,
)  # fmt: skip
