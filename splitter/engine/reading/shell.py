"""POSIX shell text -> words: quotes, backslashes, variables, separators, comments. Pure; runs nothing.

Understands what launch scripts use; command substitution is not run (`$(dirname "$0")` is the script's folder `.`).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from splitter.errors import UsageError

_VARIABLE = re.compile(r"\$(?:\{([^{}]*)\}|([A-Za-z_]\w*)|([@*#?$!0-9-]))")
_NAME = re.compile(r"[A-Za-z_]\w*")
_SEPARATORS = frozenset(";&|\n()")
_ESCAPABLE_IN_QUOTES = frozenset('"\\$`\n')


@dataclass(slots=True)
class Words:
    """Words read so far; `word` is the one being read (None between words)."""

    done: list[str] = field(default_factory=list)
    word: str | None = None

    def add(self, text: str) -> None:
        self.word = (self.word or "") + text

    def end(self) -> None:
        if self.word is not None:
            self.done.append(self.word)
        self.word = None

    def add_split(self, text: str) -> None:
        """An unquoted variable: its value is split at white space."""
        for index, part in enumerate(re.split(r"\s+", text)):
            if index:
                self.end()
            if part:
                self.add(part)


def shell_commands(text: str, variables: Mapping[str, str]) -> Iterator[tuple[list[str], dict[str, str]]]:
    """The simple commands of `text` in order, each with the variables in force (exported or not).

    Assignments on lines of their own and in front of a command are taken into account. UsageError for a quote that
    is never closed.
    """
    known = dict(variables)
    for words, gap in _Scanner(text.replace("\r\n", "\n").replace("\\\n", " "), known).commands():
        rest = _assign(words, known, only_empty=gap.startswith("||"))
        if rest:
            yield rest, dict(known)


def _assign(words: list[str], known: dict[str, str], *, only_empty: bool) -> list[str]:
    """Takes the assignments (`A=b`, `export A=b`) off the front of `words`.

    Behind `||` (`only_empty`) they are what happens when something is missing: a value already there stays.
    """
    rest = list(words)
    while rest:
        if rest[0] in {"export", "declare", "local", "readonly", "set", "typeset", "-x", "-gx"}:
            rest = rest[1:] if rest[0] != "set" else []
            continue
        name, equals, value = rest[0].partition("=")
        if not equals or not _NAME.fullmatch(name.removesuffix("+")):
            return rest
        rest = rest[1:]
        if not (only_empty and known.get(name)):
            known[name.removesuffix("+")] = _appended(known.get(name[:-1], ""), value) if name[-1] == "+" else value
    return rest


def _appended(old: str, more: str) -> str:
    """`NAME+=more`: the words of an array come with the NUL that parts them from those before."""
    return old + more if old else more.removeprefix("\0")


class _Scanner:
    """One pass over the text; `known` is filled by the caller between commands, so expansion sees assignments."""

    def __init__(self, text: str, known: Mapping[str, str]) -> None:
        self.text = text
        self.known = known
        self.at = 0
        self.words = Words()
        self.gap = ""

    def commands(self) -> Iterator[tuple[list[str], str]]:
        """The words of each command with the separators in front of it."""
        while self.at < len(self.text):
            character = self.text[self.at]
            if character == "(" and self.words.word is not None and self.words.word.endswith("="):
                self._array()
            elif character in _SEPARATORS:
                self.at += 1
                self.words.end()
                if self.words.done:
                    yield self._take()
                self.gap += character
            else:
                self._step(character)
        self.words.end()
        if self.words.done:
            yield self._take()

    def _take(self) -> tuple[list[str], str]:
        taken = self.words.done, self.gap
        self.words, self.gap = Words(), ""
        return taken

    def _step(self, character: str) -> None:
        if character in " \t\r":
            self.at += 1
            self.words.end()
        elif character == "#" and self.words.word is None:
            self._skip_to("\n")
        elif character in "<>":
            self._redirection()
        elif character == "'":
            self._single()
        elif character == '"':
            self._double()
        elif character == "\\":
            self.words.add(self.text[self.at + 1 : self.at + 2])
            self.at += 2
        elif character in "$`":
            self.words.add_split(self._expansion())
        else:
            self.words.add(character)
            self.at += 1

    def _skip_to(self, end: str) -> None:
        found = self.text.find(end, self.at)
        self.at = len(self.text) if found < 0 else found

    def _redirection(self) -> None:
        """`> FILE`, `2>&1`, `< FILE`: dropped with its target."""
        if self.words.word is not None and self.words.word.isdigit():
            self.words.word = None
        self.words.end()
        match = re.compile(r"[<>]+&?[ \t]*(?:\"[^\"\n]*\"|'[^'\n]*'|[^\s;&|()]*)").match(self.text, self.at)
        self.at = match.end() if match else self.at + 1

    def _single(self) -> None:
        end = self.text.find("'", self.at + 1)
        if end < 0:
            raise UsageError("a single quote in the command is never closed", "close it, or remove it")
        self.words.add(self.text[self.at + 1 : end])
        self.at = end + 1

    def _double(self) -> None:
        self.at += 1
        self.words.add("")
        while self.at < len(self.text):
            character = self.text[self.at]
            if character == '"':
                self.at += 1
                return
            if character == "\\" and self.text[self.at + 1 : self.at + 2] in _ESCAPABLE_IN_QUOTES:
                self.words.add(self.text[self.at + 1 : self.at + 2])
                self.at += 2
            elif character in "$`":
                self._quoted_expansion()
            else:
                self.words.add(character)
                self.at += 1
        raise UsageError("a double quote in the command is never closed", "close it, or remove it")

    def _quoted_expansion(self) -> None:
        """An array keeps its elements apart (`"${ARGS[@]}"`), `"$@"` is nothing here, any other value stays whole."""
        array = re.compile(r"\$\{(\w+)\[[@*]\]\}|\$@").match(self.text, self.at)
        if not array:
            self.words.add(self._expansion())
            return
        self.at = array.end()
        elements = self.known.get(array[1] or "", "").split("\0")
        self.words.word = (self.words.word or None) if elements == [""] else self.words.word
        for index, element in enumerate(elements if elements != [""] else []):
            if index:
                self.words.end()
            self.words.add(element)

    def _array(self) -> None:
        """`NAME=(a b c)`: kept as one value with NUL between the elements, and in front of those of `NAME+=(d e)`."""
        appends = (self.words.word or "").endswith("+=")
        inner = _Scanner(self.text, self.known)
        inner.at = self.at + 1
        while inner.at < len(self.text) and self.text[inner.at] != ")":
            if self.text[inner.at] == "\n":
                inner.words.end()
                inner.at += 1
            else:
                inner._step(self.text[inner.at])
        inner.words.end()
        self.words.add("\0".join(["", *inner.words.done] if appends else inner.words.done))
        self.at = inner.at + 1

    def _expansion(self) -> str:
        if self.text.startswith("$(", self.at) or self.text[self.at] == "`":
            return self._substitution()
        match = _VARIABLE.match(self.text, self.at)
        if not match:
            self.at += 1
            return "$"
        self.at = match.end()
        if match[1] is not None:
            return self._braced(match[1])
        return self.known.get(match[2], "") if match[2] else ""

    def _braced(self, inside: str) -> str:
        name = _NAME.match(inside)
        if not name:
            return ""
        value = self.known.get(name[0], "")
        rest = inside[name.end() :]
        if rest.startswith("[") and "\0" in value:
            return value.replace("\0", " ")
        default = re.match(r":?-(.*)", rest, re.DOTALL)
        return value or (default[1].strip("\"'") if default else "")

    def _substitution(self) -> str:
        """The text of `$(...)` is not run; one that asks for the script's folder is answered with `.`."""
        start = self.at
        if self.text[start] == "`":
            end = self.text.find("`", start + 1)
            self.at = len(self.text) if end < 0 else end + 1
        else:
            depth = 0
            for index in range(start + 1, len(self.text)):
                depth += {"(": 1, ")": -1}.get(self.text[index], 0)
                if depth == 0:
                    break
            self.at = index + 1
        return "." if re.search(r"dirname|pwd", self.text[start : self.at]) else ""
