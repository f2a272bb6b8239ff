"""A Report as one self-contained HTML page: no script, no network, nothing from a model or a record unescaped."""

from collections.abc import Iterator

from splitter.bench.report.html_style import STYLE, style_hash
from splitter.bench.report.html_tables import memory_table, numbers, pairs_table, sheet, speed_table, tune_table
from splitter.bench.report.markup import element, text
from splitter.bench.report.svg_bars import memory_bars, pair_bars
from splitter.bench.report.svg_defs import definitions
from splitter.bench.report.svg_lines import speed_lines, tune_lines
from splitter.bench.report.values import Figure, Report

OPEN_ROWS = 16


def html_report(report: Report) -> str:
    """The whole page as text."""
    head = element("head", *_head(report))
    body = element("body", definitions(), _header(report), element("main", *_sections(report)), _footer(report))
    return f'<!DOCTYPE html>\n<html lang="en">\n{head}\n{body}\n</html>\n'


def report_body(report: Report) -> str:
    """The charts and tables alone, for a page that has its own head and `definitions()`."""
    return figures_list(report.figures) + "".join(_sections(report))


def _head(report: Report) -> Iterator[str]:
    yield '<meta charset="utf-8">'
    policy = f"default-src 'none'; style-src '{style_hash()}'; base-uri 'none'; form-action 'none'"
    yield f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield '<meta name="referrer" content="no-referrer">'
    yield element("title", text(f"{report.title} - splitter report"))
    yield element("style", STYLE)


def _header(report: Report) -> str:
    verdict = (
        element("p", text(report.verdict), class_="verdict good" if report.fits else "verdict bad")
        if report.verdict
        else ""
    )
    title = element("p", "splitter report", class_="kind") + element("h1", text(report.title))
    return element(
        "header", title, element("p", text(report.subtitle), class_="about"), verdict, figures_list(report.figures)
    )


def figures_list(figures: tuple[Figure, ...]) -> str:
    """Headline numbers side by side."""
    items = (
        element(
            "div",
            element("dt", text(figure.label)),
            element("dd", text(figure.value), class_="n"),
            element("dd", text(figure.detail), class_="d"),
        )
        for figure in figures
    )
    return element("dl", *items, class_="figures") if figures else ""


def _sections(report: Report) -> Iterator[str]:
    yield from _chart(
        "Memory per card",
        "Numbers in the bars are GiB. All cards share one scale.",
        [(memory.title, memory_bars(memory) + numbers(memory_table(memory))) for memory in report.memories],
    )
    yield from _chart(
        "Speed by depth",
        "Speed with that many tokens already in the context.",
        [(chart.what, speed_lines(chart) + numbers(speed_table(chart))) for chart in report.speeds],
    )
    yield from _chart(
        "Tune history",
        "Each launch of the tuner, and the best speed so far.",
        [(tune.title, tune_lines(tune) + numbers(tune_table(tune))) for tune in report.tunes],
    )
    yield from _chart(
        "Plan against measured",
        "Tokens per second of one request, at the smallest depth that was measured.",
        [(chart.what, pair_bars(chart) + numbers(pairs_table(chart))) for chart in report.pairs],
    )
    yield from _words("Reasons", report.reasons)
    yield from _words("Warnings", report.warnings)
    for table in report.sheets:
        facts = "facts" if table.columns == ("fact", "value") else ""
        drawn = sheet(table, facts)
        if len(table.rows) > OPEN_ROWS:
            drawn = element("details", element("summary", f"{len(table.rows)} rows"), drawn)
        yield _section(table.title, drawn)
    if report.commands:
        lines = (element("h3", text(c.label)) + element("pre", text(c.line), tabindex="0") for c in report.commands)
        yield _section("Command" if len(report.commands) == 1 else "Commands", *lines)


def _chart(title: str, lead: str, charts: list[tuple[str, str]]) -> Iterator[str]:
    if charts:
        drawn = (element("figure", element("h3", text(name)) if name else "", drawing) for name, drawing in charts)
        yield _section(title, element("p", lead, class_="lead"), *drawn)


def _words(title: str, lines: tuple[str, ...]) -> Iterator[str]:
    if lines:
        yield _section(title, element("ul", *(element("li", text(line)) for line in lines), class_="notes"))


def _section(title: str, *content: str) -> str:
    return element("section", element("h2", text(title)), *content, aria_label=title)


def _footer(report: Report) -> str:
    return element("footer", element("p", text(f"Made by splitter on {report.made_at}. This page loads nothing.")))
