"""The known cards as a table."""

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.text import Text

from splitter.cli.views.sheet import Row, Sheet, figures, words
from splitter.cli.views.words import size
from splitter.rig.catalog import Card
from splitter.units import format_bandwidth


def cards_view(cards: Sequence[Card]) -> Iterator[RenderableType]:
    columns = (*words("name"), *figures("memory", "bandwidth", "fp16", "measured", "CC"))
    yield Sheet(columns, tuple(Row(_cells(card)) for card in cards), NOTE)
    yield Text(f"{len(cards)} card{'' if len(cards) == 1 else 's'}; --json adds the sources", style="dim")


NOTE = (
    "fp16: dense matrix peak; measured: tokens per second that people posted for Llama 2 7B Q4_0; "
    "CC: CUDA compute capability; shared: the host's memory"
)


def _cells(card: Card) -> tuple[str, ...]:
    memory = "shared" if card.total_bytes is None else size(card.total_bytes) + (" shared" if card.unified else "")
    measured = ", ".join(f"{speed.generation_tokens_per_s:g} ({speed.backend})" for speed in card.measured)
    tflops = f"{card.fp16_flops / 1e12:.3g} T"
    return (
        card.name,
        memory,
        format_bandwidth(card.bandwidth_bytes_per_s),
        tflops,
        measured,
        card.compute_capability or "",
    )
