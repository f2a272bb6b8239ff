"""PowerShell text -> words: `$env:X = "..."`, backtick continuation, `& "path"`, arrays, Start-Process. Pure.

Rules: about_Parsing, about_Quoting_Rules, about_Operators and Start-Process of PowerShell 7.4. Runs nothing.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from splitter.engine.reading.cmd import windows_argv
from splitter.errors import UsageError

_SET = re.compile(r"(\$(?:env:|global:|script:)?[\w]+|\$\{env:\w+\})\s*(\+?)=\s*(.*)", re.DOTALL | re.IGNORECASE)
_VARIABLE = re.compile(r"\$(?:\{(?:env:)?(\w+)\}|(?:env:|global:|script:)?(\w+))", re.IGNORECASE)
_SIGNS = re.compile(
    r"\$env:\w+|[ \t]`[ \t\r]*\n|\bStart-Process\b|-ArgumentList\b|^\s*&\s*[\"'.$]|@\(|^\s*\$\w+\s*=",
    re.IGNORECASE | re.MULTILINE,
)
# Between words: blanks, a continued line, comments, the call operator, parentheses and commas of a list.
_GAP = re.compile(r"[ \t\r]+|`[ \t\r]*\n|#[^\n]*|&(?!&)|@?\(|[),]")
_END = re.compile(r"[;\n|{}]|&&")
_ESCAPES = {"n": "\n", "t": "\t", "0": "\0", "r": "\r"}


def looks_like_powershell(text: str) -> bool:
    """Whether `text` uses what only PowerShell has."""
    return _SIGNS.search(text) is not None


@dataclass(slots=True)
class _Reader:
    text: str
    known: dict[str, str]
    arrays: dict[str, list[str]] = field(default_factory=dict)
    at: int = 0

    def words(self) -> list[str]:
        """The words up to the end of the statement."""
        found: list[str] = []
        while self.at < len(self.text):
            skipped, end = _GAP.match(self.text, self.at), _END.match(self.text, self.at)
            if end:
                self.at = end.end()
                break
            if skipped:
                self.at = skipped.end()
            else:
                found += self._word()
        return found

    def _word(self) -> list[str]:
        spread = re.compile(r"@(\w+)").match(self.text, self.at)
        if spread:
            self.at = spread.end()
            return list(self.arrays.get(spread[1].lower(), []))
        alone = _VARIABLE.match(self.text, self.at)
        name = (alone[1] or alone[2]).lower() if alone else ""
        if alone and name in self.arrays and re.match(r"[\s,;|)]|$", self.text[alone.end() :]):
            self.at = alone.end()
            return list(self.arrays[name])
        return [self._one()]

    def _one(self) -> str:
        word, bare = "", True
        while self.at < len(self.text) and self.text[self.at] not in " \t\r\n;|(){},":
            character = self.text[self.at]
            if character in "'\"":
                word += self._quoted(character)
                bare = False
            elif character == "`":
                word += self.text[self.at + 1 : self.at + 2]
                self.at += 2
            elif character == "$":
                word += self._value()
            else:
                word += character
                self.at += 1
        # a comma inside a bare word belongs to it: PowerShell passes 1,2 to a program as one argument
        while (
            bare and word and self.text[self.at : self.at + 1] == "," and self.text[self.at + 1 : self.at + 2].strip()
        ):
            rest = re.compile(r",[^\s;|(){}'\"`$,]*").match(self.text, self.at)
            if not rest or rest[0] == ",":
                break
            word += rest[0]
            self.at = rest.end()
        return word

    def _quoted(self, quote: str) -> str:
        found, self.at = "", self.at + 1
        while self.at < len(self.text):
            character = self.text[self.at]
            if character == quote and self.text[self.at + 1 : self.at + 2] == quote:
                found, self.at = found + quote, self.at + 2
            elif character == quote:
                self.at += 1
                return found
            elif character == "`" and quote == '"':
                following = self.text[self.at + 1 : self.at + 2]
                found, self.at = found + _ESCAPES.get(following, following), self.at + 2
            elif character == "$" and quote == '"':
                found += self._value()
            else:
                found, self.at = found + character, self.at + 1
        raise UsageError("a quote in the command is never closed", "close it, or remove it")

    def _value(self) -> str:
        match = _VARIABLE.match(self.text, self.at)
        if not match:
            self.at += 1
            return "$"
        self.at = match.end()
        name = match[1] or match[2]
        if name.lower() == "psscriptroot":
            return "."
        return next((value for known, value in self.known.items() if known.lower() == name.lower()), "")


def powershell_commands(text: str, variables: Mapping[str, str]) -> Iterator[tuple[list[str], dict[str, str]]]:
    """The commands of `text` in order, each as its words with the variables in force."""
    known, exported = dict(variables), dict(variables)
    reader = _Reader(text.replace("\r\n", "\n"), known)
    while reader.at < len(reader.text):
        start = reader.at
        assigned = _SET.match(_statement(reader.text[start:].lstrip(" \t\n")))
        words = reader.words()
        if assigned:
            _assign(assigned[1], assigned[3], reader, exported, appends=bool(assigned[2]))
        elif words:
            yield _command(words), dict(exported)


def _statement(text: str) -> str:
    """The first statement: to the end of the line, or of the list that is open there."""
    depth = 0
    for at, character in enumerate(text):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character in "\n;" and depth <= 0 and text[at - 1 : at] != "`":
            return text[:at]
    return text


def _assign(target: str, value: str, reader: _Reader, exported: dict[str, str], *, appends: bool) -> None:
    name = re.sub(r"^\$\{?(?:env:|global:|script:)?|\}$", "", target, flags=re.IGNORECASE)
    inner = _Reader(value.strip(), reader.known, reader.arrays)
    items = []
    while inner.at < len(inner.text):
        items += inner.words()
    array = reader.arrays.get(name.lower()) if appends else None
    if array is not None:
        items = [*array, *items]
    if array is not None or value.lstrip().startswith("@(") or len(items) > 1:
        reader.arrays[name.lower()] = items
    text = " ".join(items)
    if appends and array is None:
        text = reader.known.get(name, "") + text
    reader.known[name] = text
    if "env:" in target.lower():
        exported[name] = text
    end = reader.text.find(value, max(reader.at - len(value) - 2, 0)) + len(value)
    reader.at = max(reader.at, end)


def _command(words: list[str]) -> list[str]:
    """Start-Process names the program and its arguments; `.` and `&` run what follows."""
    if words[0] in {".", "&"}:
        words = words[1:]
    if not words or words[0].lower() not in {"start-process", "saps", "start"}:
        return words
    named = {"-filepath", "-argumentlist", "-args", "-workingdirectory", "-windowstyle", "-verb"}
    program, args, at = "", list[str](), 1
    while at < len(words):
        option = words[at].lower()
        if option in {"-argumentlist", "-args"}:
            taken = next(
                (
                    i
                    for i in range(at + 1, len(words))
                    if words[i].lower() in named or words[i].lower() == "-nonewwindow"
                ),
                len(words),
            )
            args, at = words[at + 1 : taken], taken
        elif option in named:
            program = words[at + 1] if option == "-filepath" and at + 1 < len(words) else program
            at += 2
        elif option.startswith("-"):
            at += 1
        else:
            program, args = (program or words[at]), (args if not program else [*args, words[at]])
            at += 1
    return [program, *(word for text in args for word in windows_argv(text))]
