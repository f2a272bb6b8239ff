"""ReadCommand: an engine command somebody wrote, understood. Values are as given; nothing is filled in here."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from splitter.engine.command import Server
from splitter.plan.plan import Notice

MASK = "***"


@dataclass(frozen=True, slots=True)
class ReadCommand:
    """What a command says.

    `settings` maps fields of memory.settings.Settings to the values given (`gpu_layers` -1 is auto, -2 all;
    `context_size` 0 the model's own); `flags` every understood flag by the engine's own name for it, raw; `model` a
    path or reference, None when the command names none. `env` holds the variables set beside the command. `refusals`
    are reasons for which the engine itself would not accept it, `notices` other findings while reading, `unknown`
    the words that are no flag of the engine.
    """

    kind: str
    program: str
    argv: tuple[str, ...]
    model: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    flags: Mapping[str, Any] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    server: Server = field(default_factory=Server)
    version: str | None = None
    notices: tuple[Notice, ...] = ()
    refusals: tuple[Notice, ...] = ()
    unknown: tuple[str, ...] = ()


@dataclass(slots=True)
class Findings:
    """What a reader collects on its way through a command."""

    notices: list[Notice] = field(default_factory=list)
    refusals: list[Notice] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def note(self, code: str, message: str, hint: str = "") -> None:
        self.notices.append(Notice(code, message, hint))

    def refuse(self, code: str, message: str, hint: str = "") -> None:
        self.refusals.append(Notice(code, message, hint))


def without_secrets(argv: Sequence[str], secret_flags: Collection[str]) -> tuple[str, ...]:
    """`argv` with the values of `secret_flags` masked, in both spellings (`--key X`, `--key=X`)."""
    shown, hide = [], False
    for word in argv:
        name, equals, _ = word.partition("=")
        shown.append(MASK if hide else f"{name}={MASK}" if equals and name in secret_flags else word)
        hide = word in secret_flags
    return tuple(shown)


def nearest_word(word: str, known: Mapping[str, Any]) -> str:
    """A hint that names the known spelling most like `word`."""
    from difflib import get_close_matches

    close = get_close_matches(word, known, n=1, cutoff=0.7)
    return f"did you mean {close[0]}?" if close else "remove it, or check its spelling"
