"""The files of a repository as a ranked table."""

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from splitter.cli.views.sheet import Column, Row, Sheet, figures, words
from splitter.cli.views.words import rate, size
from splitter.plan.advise import Advice, RankedFile
from splitter.printable import SENTENCE, printable
from splitter.rig.device import Rig


def advice_view(name: str, rig: Rig, advice: Advice) -> Iterator[RenderableType]:
    yield Text(f"{printable(name)}: {len(advice.files)} models on {printable(rig.name)}", style="bold")
    yield _sheet(advice)
    style = "green" if advice.recommended else "" if advice.fits() else "bold red"
    chosen = f"recommended: {printable(advice.recommended)}: " if advice.recommended else ""
    yield Text(f"{chosen}{printable(advice.reason, SENTENCE)}", style=style)
    for file in advice.files:
        error = file.candidate.error
        if error is not None and file.fits is None:
            yield Text(f"{printable(file.file)}: {printable(error.message)}", style="red")


def _sheet(advice: Advice) -> Sheet:
    columns = (
        Column("file"),
        *figures("quant", "size"),
        *words("quality", "on GPUs"),
        *figures("predicted", "context"),
    )
    return Sheet(columns, tuple(Row(_cells(file), _style(file, advice)) for file in advice.files))


def _style(file: RankedFile, advice: Advice) -> str:
    return "green" if file.file == advice.recommended else "" if file.fits else "red"


def _cells(file: RankedFile) -> tuple[str, ...]:
    facts = file.candidate.facts
    return (
        printable(file.file),
        (facts.quantization if facts else None) or "?",
        size(facts.file_bytes if facts else None),
        file.quality or "?",
        _layers(file),
        rate(file.tokens_per_s) if file.fits else "-",
        str(file.context_size) if file.fits else "-",
    )


def _layers(file: RankedFile) -> str:
    if file.fits is None:
        return "no plan"
    if not file.fits:
        return "too big"
    if file.on_gpus:
        return f"all {file.layers}"
    return f"{file.gpu_layers}/{file.layers}" + (" in part" if file.gpu_layers == file.layers else "")
