"""`splitter check --log`: what a log of a start tells, why it failed, and what would have fitted."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from splitter.app.checking import Checked, evaluate_read
from splitter.app.events import Events
from splitter.app.wire import Status, error_item, remedy_data
from splitter.app.wishes import Wishes
from splitter.engine.engines import DEFAULT
from splitter.engine.log.explain import Explained, explain_log
from splitter.engine.log.story import LoggedDevice, LogStory, read_log
from splitter.engine.reading.command import read_command
from splitter.engine.reading.value import ReadCommand
from splitter.errors import EngineError, UsageError
from splitter.rig.device import Device, Host, Rig
from splitter.rig.files import rig_from_gpus
from splitter.units import MIB

MAX_LOG = 64 * MIB


@dataclass(frozen=True, slots=True)
class LogChecked:
    """`explained` is None where memory is not to blame; `checked` the same start evaluated with the model's header,
    None where no header is at hand."""

    story: LogStory
    explained: Explained | None
    checked: Checked | None = None

    def failed(self) -> bool:
        return self.story.short is not None or self.story.failure is not None

    @property
    def status(self) -> Status:
        """The JSON object's status."""
        return "does_not_fit" if self.story.short else "error" if self.story.failure else "ok"

    def errors(self) -> list[dict[str, str]]:
        """Why the engine ended, where memory is not to blame."""
        failure = None if self.story.short else self.story.failure
        return [error_item(EngineError(failure.sentence, failure.hint))] if failure else []

    def data(self) -> dict[str, Any]:
        """As JSON has it: what the log does not say is null; with the header of its model also the remedy."""
        data = log_data(self)
        return data if self.checked is None else data | {"remedy": remedy_data(self.checked)}


def read_text(name: str, standard_input: Any) -> str:
    """The log in the file `name`, or from `standard_input` for "-". UsageError where it cannot be read."""
    if name == "-":
        return str(standard_input.read(MAX_LOG))
    try:
        with Path(name).expanduser().open("rb") as file:
            return file.read(MAX_LOG).decode("utf-8", errors="replace")
    except OSError as error:
        raise UsageError(
            f"cannot read {name}: {error.strerror}", "name the engine's log file, or - to paste it"
        ) from None


def check_log(text: str, model: str | None, wishes: Wishes, events: Events) -> LogChecked:
    """The story of a log; with `model` (a header of the same shape) also what the memory model says about it.

    UsageError where the text is no log that is known.
    """
    story = read_log(text)
    if story.engine is None:
        raise UsageError(
            "this is not a log of llama.cpp, koboldcpp, Ollama, LM Studio or text-generation-webui",
            "give the whole output of the start, from its first line on",
        )
    story = replace(story, devices=tuple(map(_known, story.devices)))
    found = LogChecked(story, explain_log(story))
    if model is None:
        return found
    read = replace(as_command(story), model=model)
    return replace(found, checked=evaluate_read(read, wishes, events, rig=rig_of_log(story)))


def as_command(story: LogStory) -> ReadCommand:
    """The command that does what the log says was done; the printed one where there is one."""
    if story.command:
        return read_command(list(story.command))
    words = [DEFAULT.command_word, "--fit", "off"]
    flags = (("-c", "context_size"), ("-b", "batch_size"), ("-ub", "ubatch_size"), ("-np", "parallel"))
    for flag, name in flags:
        if story.number(name):
            words += [flag, str(story.number(name))]
    for flag, name in (("-ctk", "cache_type_k"), ("-ctv", "cache_type_v")):
        if name in story.facts:
            words += [flag, story.facts[name]]
    flash = {"1": "on", "enabled": "on", "true": "on", "0": "off", "disabled": "off", "auto": "auto"}
    if story.facts.get("flash_attention") in flash:
        words += ["-fa", flash[story.facts["flash_attention"]]]
    if story.offloaded:
        words += ["-ngl", str(story.offloaded[0])]
    return read_command(words)


def rig_of_log(story: LogStory) -> Rig | None:
    """The cards of the log, None where it tells too little about them."""
    cards = [device for device in story.devices if not device.is_host()]
    if not cards or any(card.total_bytes is None and card.free_bytes is None for card in cards):
        return None
    return Rig("the log's", Host(), tuple(map(_device, cards)))


def _device(card: LoggedDevice) -> Device:
    """The card with the catalog's values, and the log's where it says more."""
    known, total = _catalogued(card), card.total_bytes or card.free_bytes or 0
    free = card.free_bytes or total
    if known is None:
        return Device(card.id, card.name or card.id, total, free)
    return replace(known, id=card.id, total_bytes=total, free_bytes=free)


def _known(card: LoggedDevice) -> LoggedDevice:
    """A card of which the log says no size gets the catalog's."""
    known = None if card.total_bytes or card.is_host() else _catalogued(card)
    return card if known is None else replace(card, total_bytes=known.total_bytes)


def _catalogued(card: LoggedDevice) -> Device | None:
    try:
        return rig_from_gpus(card.name).devices[0] if card.name else None
    except UsageError:
        return None


def log_data(found: LogChecked) -> dict[str, Any]:
    """The log in the form of design.md's `data`: what it does not say is null."""
    story = found.story
    return {
        "model": {
            "path": story.facts.get("path"),
            "name": story.facts.get("name"),
            "architecture": story.facts.get("architecture"),
            "quantization": story.facts.get("quantization"),
            "layers": story.number("layers"),
            "context_train": story.number("context_train"),
        },
        "engine": {"kind": story.engine, "version": story.version, "path": story.command[0] if story.command else None},
        "settings": {
            name: story.number(name) for name in ("context_size", "batch_size", "ubatch_size", "parallel")
        } | {"gpu_layers": story.offloaded[0] if story.offloaded else None,
             "cache_type_k": story.facts.get("cache_type_k"), "flash_attention": story.facts.get("flash_attention")},
        "devices": [_device_data(device) for device in story.devices],
        "ready": story.ready,
        "failure": _failure_data(found),
    }  # fmt: skip


def _device_data(device: LoggedDevice) -> dict[str, Any]:
    return {
        "id": device.id, "name": device.name, "total_bytes": device.total_bytes, "free_bytes": device.free_bytes,
        "model_bytes": device.model_bytes, "context_bytes": device.context_bytes,
        "compute_bytes": device.compute_bytes,
    }  # fmt: skip


def _failure_data(found: LogChecked) -> dict[str, Any] | None:
    short, failure, explained = found.story.short, found.story.failure, found.explained
    if short is not None and explained is not None:
        return {
            "kind": "out_of_memory", "device": short.device, "size_bytes": short.size_bytes, "stage": short.stage,
            "sentence": explained.sentence, "largest": explained.largest, "would_have_fitted": list(explained.fitting),
        }  # fmt: skip
    if failure is None:
        return None
    return {"kind": failure.kind, "sentence": failure.sentence, "hint": failure.hint}
