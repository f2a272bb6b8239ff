"""A log of a start for people: what failed, what was too large, what would have fitted, then the figures it holds."""

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from splitter.cli.views.sheet import Column, Row, Sheet, figures
from splitter.cli.views.words import mib
from splitter.engine.log.explain import Explained
from splitter.engine.log.story import LogStory
from splitter.printable import SENTENCE, printable

MOST_FITTING = 4


def log_view(story: LogStory, explained: Explained | None) -> Iterator[RenderableType]:
    """At most a screen."""
    yield Text(_verdict(story, explained), style="green" if _went_well(story) else "bold red")
    if explained:
        yield Text.assemble(("too large: ", "bold"), printable(explained.largest, SENTENCE))
        yield Text("what would have fitted:", style="bold")
        yield from (Text(f"- {printable(text, SENTENCE)}") for text in explained.fitting[:MOST_FITTING])
        if explained.spelled:
            yield Text(f"in {story.engine}: {explained.spelled}")
    elif story.failure and story.failure.hint:
        yield Text.assemble(("try: ", "bold"), printable(story.failure.hint, SENTENCE))
    yield Text(printable(_model(story)), style="bold")
    yield Text(printable(_settings(story)))
    if any(device.held_bytes() for device in story.devices):
        yield _sheet(story)


def _went_well(story: LogStory) -> bool:
    return story.short is None and story.failure is None


def _verdict(story: LogStory, explained: Explained | None) -> str:
    if explained:
        return printable(explained.sentence, SENTENCE)
    if story.failure:
        return printable(story.failure.sentence, SENTENCE)
    return (
        "the engine started"
        if story.ready
        else "this log shows no error, but does not say that the engine is listening either"
    )


def _model(story: LogStory) -> str:
    facts = story.facts
    parts = [facts.get("architecture"), facts.get("quantization"), facts.get("file_size")]
    layers = f"{facts['layers']} layers" if "layers" in facts else None
    name = facts.get("name") or facts.get("path") or "a model that the log does not name"
    return f"{name}: {', '.join(part for part in (*parts, layers) if part)}".removesuffix(": ")


def _settings(story: LogStory) -> str:
    facts = story.facts
    named = (("context_size", "context"), ("ubatch_size", "ubatch"), ("flash_attention", "flash attention"))
    parts = [f"{word} {facts[name]}" for name, word in named if name in facts]
    if story.offloaded:
        parts.insert(0, f"{story.offloaded[0]} of {story.offloaded[1]} layers on GPUs")
    version = f" {story.version}" if story.version else ""
    return ", ".join((f"{story.engine}{version}", *parts))


def _sheet(story: LogStory) -> Sheet:
    columns = (Column("device"), *figures("model", "context", "compute", "held", "free", "total"))
    rows = tuple(
        Row(
            (
                printable(f"{device.id} {device.name or ''}".strip()),
                *map(mib, (device.model_bytes, device.context_bytes, device.compute_bytes, device.held_bytes())),
                "?" if device.free_bytes is None else mib(device.free_bytes),
                "?" if device.total_bytes is None else mib(device.total_bytes),
            ),
            "bold red" if story.short and story.short.device == device.id else "",
        )
        for device in story.devices
        if device.held_bytes() or not device.is_host()
    )
    return Sheet(columns, rows, "MiB, as the log says; free: before the start")
