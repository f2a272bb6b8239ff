"""The found models as a table, and as JSON."""

from collections.abc import Iterator
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from splitter.app.listing import ListedModel
from splitter.app.wire import error_item
from splitter.cli.views.sheet import Row, Sheet, figures, words
from splitter.cli.views.words import rate, size
from splitter.printable import printable_lines
from splitter.rig.device import Rig

FIT_WORDS = {"gpu": "on GPUs", "cpu": "CPU only", "no": "does not fit"}
STYLES = {"gpu": "green", "no": "red"}
NOWHERE = "No models found in the caches of llama.cpp, Hugging Face, LM Studio, Ollama and koboldcpp, nor here."


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


def models_data(listed: tuple[ListedModel, ...], rig: Rig | None, notes: tuple[str, ...]) -> dict[str, Any]:
    return {
        "rig": rig.name if rig else None,
        "models": [_model_data(item) for item in listed],
        "notes": list(notes),
    }


def _model_data(item: ListedModel) -> dict[str, Any]:
    found, facts, plan = item.found, item.facts, item.plan
    return {
        "name": found.name,
        "path": found.path,
        "source": found.source,
        "size_bytes": found.size_bytes,
        "parts": found.parts,
        "missing_parts": found.missing_parts,
        "kind": item.kind,
        "architecture": facts.architecture if facts else None,
        "quantization": facts.quantization if facts else None,
        "layers": facts.layers if facts else None,
        "context_train": facts.context_train if facts else None,
        "parameters": facts.parameters if facts else None,
        "fit": item.fit,
        "gpu_layers": plan.settings.gpu_layers if plan else None,
        "context_size": plan.settings.context_size if plan else None,
        "generation_tokens_per_s": plan.speed.generation_tokens_per_s if plan else None,
        "prompt_tokens_per_s": plan.speed.prompt_tokens_per_s if plan else None,
        "error": error_item(item.error) if item.error else None,
    }
