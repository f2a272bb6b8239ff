"""The report in headless Chromium: alone, legible in light and dark, on a telephone, on paper; nothing in it runs."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from splitter.bench.report.html_report import html_report
from splitter.bench.report.of_records import report
from tests.bench.report_records import compared, hostile, tuned
from tests.browser.chromium import Chromium, find

pytestmark = pytest.mark.browser
DAY = "2026-01-02 03:04 UTC"
CHARTS = ("Memory per card", "Speed by depth", "Tune history", "Plan against measured")
# Every text with what it stands on: the nearest painted element below its middle (patterns let the pointer through).
CONTRAST = """(() => {
  const rgba = (c) => [...c.match(/[\\d.]+/g).map(Number), 1].slice(0, 4)
  const lum = (c) => { const f = c.slice(0, 3).map(v => v / 255)
                         .map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
                       return .2126 * f[0] + .7152 * f[1] + .0722 * f[2] }
  const ground = (x, y) => {
    for (const e of document.elementsFromPoint(x, y)) {
      const style = getComputedStyle(e)
      const paint = e.tagName === 'rect' ? style.fill : style.backgroundColor
      if (paint.startsWith('rgb') && rgba(paint)[3] > .99) return rgba(paint)
    }
  }
  const found = []
  for (const d of document.querySelectorAll('details')) d.open = true
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement
    if (!walker.currentNode.data.trim() || e.closest('title, style, caption')) continue
    const range = document.createRange(); range.selectNodeContents(walker.currentNode)
    e.scrollIntoView({block: 'center'})
    const box = range.getClientRects()[0]
    if (!box || !box.width) continue
    const style = getComputedStyle(e)
    const ink = rgba(e.tagName === 'text' ? style.fill : style.color)
    const under = ground(Math.min(box.x + box.width / 2, innerWidth - 2), box.y + box.height / 2)
    if (!under) { found.push([0, e.outerHTML.slice(0, 90)]); continue }
    const [a, b] = [lum(ink), lum(under)].sort((x, y) => y - x)
    found.push([(a + .05) / (b + .05), e.outerHTML.slice(0, 90)])
  }
  return found
})()"""
# Marks and bars against the card: 3:1 (WCAG 1.4.11). Margin, free and "in use before" carry edges and words instead.
SHAPES = """(() => {
  const lum = (c) => { const f = c.match(/[\\d.]+/g).slice(0, 3).map(v => v / 255)
                         .map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
                       return .2126 * f[0] + .7152 * f[1] + .0722 * f[2] }
  const card = lum(getComputedStyle(document.querySelector('section')).backgroundColor)
  const parts = 'rect.f-model, rect.f-context, rect.f-compute, rect.f-overhead, rect.f-over, rect.f-measured, ' +
                'rect.f-predicted, use.mark'
  return [...document.querySelectorAll(parts)].map(e => {
    const [a, b] = [lum(getComputedStyle(e).fill), card].sort((x, y) => y - x)
    return [(a + .05) / (b + .05), e.getAttribute('class')]
  })
})()"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    program = find()
    assert program, "no chromium: install it (.ci/packages), or leave these tests out with -m 'not browser'"
    started = Chromium(program, tmp_path_factory.mktemp("browser"))
    yield started
    started.close()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(html_report(report((*compared(), *tuned()), DAY)), encoding="utf-8")
    return path


def low(pairs: list[list[Any]], least: float) -> list[list[Any]]:
    return [pair for pair in pairs if pair[0] < least]


def test_it_opens_alone_and_in_silence_with_every_chart(browser: Chromium, page: Path) -> None:
    browser.look(1280, "light")
    browser.open(page)
    assert browser.requests() == [page.as_uri()]
    assert browser.complaints() == []
    assert browser.evaluate("document.styleSheets[0].cssRules.length") > 50
    for chart in CHARTS:
        drawn = f"document.querySelectorAll('section[aria-label=\"{chart}\"] svg[role=img]')"
        sizes = browser.evaluate(f"[...{drawn}].map(e => [e.clientWidth, e.getBBox().width, e.getBBox().height])")
        assert sizes, chart
        assert all(width > 200 and across > 50 and high > 8 for width, across, high in sizes), chart


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_is_wider_than_the_window(browser: Chromium, page: Path, width: int) -> None:
    browser.look(width, "light")
    browser.open(page)
    browser.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert browser.evaluate("document.documentElement.scrollWidth") == width
    beyond = "[...document.querySelectorAll('section *')].filter(e => !e.closest('.scroll, pre') && " \
             "e.getBoundingClientRect().right > innerWidth + .5).map(e => e.outerHTML.slice(0, 90))"  # fmt: skip
    assert browser.evaluate(beyond) == []


@pytest.mark.parametrize("width", [360, 1280])
def test_labels_do_not_lie_on_each_other(browser: Chromium, page: Path, width: int) -> None:
    browser.look(width, "light")
    browser.open(page)
    boxes = browser.evaluate(
        "[...document.querySelectorAll('svg[role=img]')].map(s => [...s.querySelectorAll('text')]"
        ".map(t => t.getBoundingClientRect()).map(b => [b.left, b.top, b.right, b.bottom]))"
    )
    for drawing in boxes:
        for index, a in enumerate(drawing):
            for b in drawing[index + 1 :]:
                assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_and_marks_stand_out(browser: Chromium, page: Path, scheme: str) -> None:
    browser.look(1280, scheme)
    browser.open(page)
    words = browser.evaluate(CONTRAST)
    assert len(words) > 300
    assert low(words, 4.5) == []
    shapes = browser.evaluate(SHAPES)
    assert len(shapes) > 40
    assert low(shapes, 3.0) == []


def test_light_and_dark_differ(browser: Chromium, page: Path) -> None:
    """With SPLITTER_SCREENSHOTS=FOLDER the pictures are kept there."""
    shots = {}
    for width in (1280, 360):
        for scheme in ("light", "dark"):
            browser.look(width, scheme)
            browser.open(page)
            shots[width, scheme] = browser.screenshot()
            assert shots[width, scheme].startswith(b"\x89PNG")
            if folder := os.environ.get("SPLITTER_SCREENSHOTS"):
                (Path(folder) / f"report-{width}-{scheme}.png").write_bytes(shots[width, scheme])
    assert len(set(shots.values())) == 4
    assert browser.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(13, 16, 21)"


def test_paper_is_white_and_shows_the_folded_tables(browser: Chromium, page: Path) -> None:
    visible = "[...document.querySelectorAll('details .scroll')].filter(e => e.checkVisibility()).length"
    browser.look(800, "dark")
    browser.open(page)
    assert browser.evaluate(visible) == 0
    browser.look(800, "dark", media="print")
    browser.open(page)
    assert browser.evaluate(visible) == browser.evaluate("document.querySelectorAll('details').length") > 5
    assert browser.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert low(browser.evaluate(CONTRAST), 4.5) == []


def test_hostile_words_do_nothing(browser: Chromium, tmp_path: Path) -> None:
    path = tmp_path / "hostile.html"
    path.write_text(html_report(report(hostile(), DAY)), encoding="utf-8")
    browser.look(360, "light")
    browser.open(path)
    assert browser.requests() == [path.as_uri()]
    assert browser.complaints() == []
    assert browser.evaluate("window.hit") is None
    assert browser.evaluate("document.querySelectorAll('script, img').length") == 0
    assert browser.evaluate("document.documentElement.scrollWidth") == 360
    assert browser.evaluate("document.querySelectorAll('section svg[role=img]').length") > 5
    assert browser.evaluate("document.body.textContent.includes('<script>window.hit=1</script>')")
