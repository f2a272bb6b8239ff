"""Human or JSON output from one class: words to standard error, the report to standard output."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from rich.console import Console, RenderableType
from rich.text import Text

from splitter.app.saving import place_of, save_text
from splitter.app.wire import Status, bounded, envelope
from splitter.errors import SplitterError
from splitter.printable import printable_lines


class Output:
    """Where a verb reports to; `as_json` silences everything but the one object, `save` is a file that gets it too."""

    def __init__(self, command: str, *, as_json: bool, save: str | None = None) -> None:
        self.command = command
        self.as_json = as_json
        self.save = None if save is None else place_of(save)  # a wrong one is refused before any work
        self.out = Console(highlight=False, markup=False, emoji=False)
        self.words = Console(stderr=True, highlight=False, markup=False, emoji=False, quiet=as_json)

    def show(self, *parts: RenderableType) -> None:
        """The human report, on standard output; nothing under --json."""
        if not self.as_json:
            for part in parts:
                self.out.print(part, crop=False)  # a line to copy is not wrapped

    def plain(self, text: str) -> None:
        """Text to copy (a command line): unwrapped, unstyled."""
        if not self.as_json:
            self.out.print(Text(printable_lines(text)), soft_wrap=True)

    def say(self, text: str) -> None:
        """A remark, on standard error."""
        self.words.print(Text(printable_lines(text)))

    def log_line(self, line: str) -> None:
        """A line of an engine's log, on standard error: nothing of it is styled or wrapped, so that it costs little."""
        if not self.as_json and sys.stderr is not None:
            sys.stderr.write(printable_lines(line) + "\n")

    def data(self, data: Any, status: Status = "ok", errors: list[dict[str, str]] | None = None) -> None:
        """The JSON object: on standard output with --json, and in the file of --save."""
        if self.save is not None:
            save_text(self.save, json.dumps(envelope(self.command, status, data, errors), indent=2) + "\n")
            self.say(f"wrote {self.save}")
        if self.as_json:
            print_json(envelope(self.command, status, data, errors))

    @contextmanager
    def step(self, text: str) -> Iterator[Callable[[str], None]]:
        """A spinner whose words follow the work; nothing without a terminal or under --json."""
        if self.as_json or not self.words.is_terminal:
            yield lambda _text: None
            return
        with self.words.status(text) as status:
            yield lambda now: status.update(f"{text}: {now}")

    @contextmanager
    def transfer(self) -> Iterator[Callable[[int, int], None] | None]:
        """A bar for bytes here and bytes in all; None without a terminal or under --json."""
        if self.as_json or not self.words.is_terminal:
            yield None
            return
        from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

        columns = (BarColumn(), DownloadColumn(binary_units=True), TransferSpeedColumn(), TimeRemainingColumn())
        with Progress(*columns, console=self.words) as bar:
            task = bar.add_task("", total=None)
            yield lambda here, total: bar.update(task, completed=here, total=total)


reported: ContextVar[bool] = ContextVar("reported", default=False)
"""Whether this run's one JSON object is out: what fails later (an engine that dies) speaks on standard error."""


def print_json(document: dict[str, Any]) -> None:
    """Escapes what the terminal's encoding cannot say, what could steer it, and names that are not text."""
    reported.set(True)
    if sys.stdout is None:  # closed by the caller
        return
    utf8 = (sys.stdout.encoding or "").lower().startswith("utf")
    text = json.dumps(document, ensure_ascii=not utf8, indent=2)
    if not text.replace("\n", "").isprintable():
        text = json.dumps(document, indent=2)
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def print_error(error: SplitterError) -> None:
    """One sentence and the next step, on standard error."""
    console = Console(stderr=True, highlight=False)
    console.print(Text.assemble(("error: ", "bold red"), printable_lines(bounded(error.message))))
    if error.hint:
        console.print(Text.assemble(("  try: ", "bold"), printable_lines(bounded(error.hint))))
