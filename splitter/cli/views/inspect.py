"""What a header says, for people and as JSON."""

from collections.abc import Iterator
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from splitter.app.answers import cache_growth
from splitter.app.sentences import model_line
from splitter.cli.views.sheet import Column, Row, Sheet, figures
from splitter.cli.views.words import size
from splitter.model.facts import ModelFacts
from splitter.model.summary import ModelSummary, summarize
from splitter.printable import printable_lines
from splitter.units import format_count


def inspect_view(facts: ModelFacts) -> Iterator[RenderableType]:
    summary = summarize(facts)
    yield Text(model_line(facts), style="bold")
    yield shape_table(facts, summary)
    yield types_sheet(summary)
    if summary.layer_bytes:
        yield layers_sheet(summary)


def shape_table(facts: ModelFacts, summary: ModelSummary) -> Table:
    """Names and values: two columns, of which the second wraps."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in shape_rows(facts, summary):
        table.add_row(Text(name), Text("?" if value is None else printable_lines(str(value))))
    return table


def shape_rows(facts: ModelFacts, summary: ModelSummary) -> Iterator[tuple[str, Any]]:
    """What there is to say; None is unknown."""
    yield "parameters", format_count(facts.parameters)
    yield "bits per weight", None if summary.bits_per_weight is None else f"{summary.bits_per_weight:.2f}"
    yield "context (trained)", facts.context_train
    yield "vocabulary", facts.vocabulary
    yield "embedding", summary.embedding_length
    yield "heads", _runs(summary.heads.head_count)
    yield "KV heads", _runs(summary.heads.head_count_kv)
    if summary.expert_count:
        yield "experts", f"{summary.expert_used_count} of {summary.expert_count} used per token"
        yield "expert weights", size(summary.expert_bytes)
    yield "outside layers", size(summary.outside_bytes)
    if facts.layers:
        per_token, fixed = cache_growth(facts)
        yield "KV per token (f16)", size(per_token) + (f", plus {size(fixed)} per slot" if fixed else "")


def _runs(value: int | tuple[int, ...] | None) -> str | None:
    """A number, or `8 x 40, 2 x 8` for one that differs per layer."""
    if not isinstance(value, tuple):
        return None if value is None else str(value)
    counts: dict[int, int] = {}
    for item in value:
        counts[item] = counts.get(item, 0) + 1
    return ", ".join(f"{item} in {count} layers" for item, count in counts.items())


def types_sheet(summary: ModelSummary) -> Sheet:
    """The tensors by their type."""
    rows = (Row((share.name, str(share.tensors), size(share.size_bytes))) for share in summary.types)
    return Sheet((Column("type"), *figures("tensors", "size")), tuple(rows))


def layers_sheet(summary: ModelSummary) -> Sheet:
    """One row per run of layers of the same size."""
    return Sheet((Column("layers"), *figures("each")), tuple(_layer_rows(summary.layer_bytes)))


def _layer_rows(sizes: tuple[int, ...]) -> Iterator[Row]:
    first = 0
    for index in range(1, len(sizes) + 1):
        if index == len(sizes) or sizes[index] != sizes[first]:
            yield Row((f"{first}-{index - 1}" if index - 1 > first else f"{first}", size(sizes[first])))
            first = index
