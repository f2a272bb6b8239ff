"""The found models as a table."""

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from splitter.app.listing import ListedModel
from splitter.cli.views.sheet import Row, Sheet, figures, words
from splitter.cli.views.words import rate, size
from splitter.printable import printable_lines
from splitter.rig.device import Rig

FIT_WORDS = {"gpu": "on GPUs", "cpu": "CPU only", "no": "does not fit"}
STYLES = {"gpu": "green", "no": "red"}
NOWHERE = (
    "No models found in the caches of llama.cpp, Hugging Face, LM Studio, Ollama and koboldcpp, nor in this folder."
)


def models_view(listed: tuple[ListedModel, ...], rig: Rig | None) -> Iterator[RenderableType]:
    if not listed:
        yield Text(NOWHERE)
        return
    yield _sheet(listed, rig)
    for item in listed:
        if item.error and item.fit != "no":
            yield Text(f"{printable_lines(item.found.name)}: {printable_lines(item.error.message)}", style="red")


def _sheet(listed: tuple[ListedModel, ...], rig: Rig | None) -> Sheet:
    fits = f"fits {printable_lines(rig.name)}" if rig else "fits"
    columns = (*words("model", "where"), *figures("size", "quant"), *words(fits), *figures("predicted", "context"))
    return Sheet(columns, tuple(Row(_cells(item), STYLES.get(item.fit or "", "")) for item in listed))


def _cells(item: ListedModel) -> tuple[str, ...]:
    plan, facts = item.plan, item.facts
    return (
        printable_lines(item.found.name) + (f" ({item.found.parts} files)" if item.found.parts > 1 else ""),
        item.found.source,
        size(item.found.size_bytes),
        (facts.quantization if facts else None) or "?",
        fit_words(item),
        rate(plan.speed.generation_tokens_per_s) if plan else "-",
        str(plan.settings.context_size) if plan else "-",
    )


def fit_words(item: ListedModel) -> str:
    """What the fit column says; `?` where there is no device or no time left to ask."""
    if item.facts is None:
        return "broken"
    if item.kind != "model":
        return f"not a language model ({item.kind})"
    if item.fit is None:
        return "cannot plan" if item.error else "?"
    if item.plan and item.fit == "partly":
        owners = item.plan.placement.layers
        on_gpus = sum(owner is not None for owner in owners)
        return "some tensors on CPU" if on_gpus == len(owners) else f"partly on CPU ({on_gpus}/{len(owners)})"
    return FIT_WORDS[item.fit]
