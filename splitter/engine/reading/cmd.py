"""Windows batch text -> words: %VAR%, `^`, quotes, separators as cmd.exe reads them, then the C runtime's argv rule.

Pure; runs nothing. Rules: `help cmd`, and Microsoft's "Parsing C command-line arguments".
"""

import re
from collections.abc import Iterator, Mapping

_PERCENT = re.compile(r"%%|%(?:~[a-z]*)?([0-9*])|%([^%:\r\n]+)(?::~(-?\d+)(?:,(-?\d+))?)?%", re.IGNORECASE)
_CONDITION = re.compile(
    r"""(?:if|else\s+if)\s+(?:/i\s+)?(?:not\s+)?
        (?:exist\s+(?:"[^"]*"|\S+)|defined\s+\S+|errorlevel\s+\S+
          |(?:"[^"]*"|[^\s=]+)\s*(?:==|\s(?:equ|neq|lss|leq|gtr|geq)\s)\s*(?:"[^"]*"|\S+))\s*\(?""",
    re.IGNORECASE | re.VERBOSE,
)
_PIECE = re.compile(r"""\\*"|\\+|[ \t]+|[^\\" \t]+""")
_BLOCK = re.compile(r"\s*@?(?:if\b|else\b|for\b|\(|\))", re.IGNORECASE)
_SET = re.compile(r"""set\s+(?:"([^"=]+)=([^"]*)"?|([^"=/\s][^=]*)=(.*))""", re.IGNORECASE | re.DOTALL)


def cmd_commands(text: str, variables: Mapping[str, str]) -> Iterator[tuple[list[str], dict[str, str]]]:
    """The commands of a batch file in order, each as its words with the variables in force (`set` seen so far).

    `%~dp0` is the script's folder and becomes `.\\`; script arguments (`%1`, `%*`) are empty.
    """
    delayed = "enabledelayedexpansion" in text.lower()
    known = {name.upper(): value for name, value in variables.items()}
    names = {name.upper(): name for name in variables}
    for line in _logical_lines(text):
        for command in _split(_expand(line, known, delayed=delayed)):
            assigned = _SET.fullmatch(command)
            if assigned:
                name = (assigned[1] or assigned[3]).strip()
                known[name.upper()] = (assigned[2] if assigned[1] else assigned[4]) or ""
                names[name.upper()] = name
            elif not re.match(r"(rem\b|::|setlocal\b|set\b)", command, re.IGNORECASE):
                yield windows_argv(command), {names[upper]: value for upper, value in known.items()}


def _logical_lines(text: str) -> Iterator[str]:
    """Lines with `^` continuations joined; comments and labels dropped before they can join anything."""
    pending = ""
    for line in text.replace("\r\n", "\n").split("\n"):
        if not pending and re.match(r"\s*@?\s*(::|:|rem\b)", line, re.IGNORECASE):
            continue
        carets = len(line) - len(line.rstrip("^"))
        if carets % 2:
            pending += line[:-1]
            continue
        yield pending + line
        pending = ""
    if pending:
        yield pending


def _expand(line: str, known: Mapping[str, str], *, delayed: bool) -> str:
    def value(match: re.Match[str]) -> str:
        if match[0] == "%%":
            return "%"
        if match[1]:
            return ".\\" if match[1] == "0" else ""
        text = known.get(match[2].upper(), "")
        start, length = int(match[3] or 0), match[4]
        text = text[start:] if start >= 0 else text[max(len(text) + start, 0) :]
        if length is None:
            return text
        return text[: int(length)]

    expanded = _PERCENT.sub(value, line)
    if not delayed:
        return expanded
    return re.sub(r"!(\w+)!", lambda match: known.get(match[1].upper(), match[0]), expanded)


def _split(line: str) -> list[str]:
    """The line cut at unquoted `&`, `&&`, `|`, `||` and the end of a block, without carets, redirections and `if`."""
    pieces, piece, quoted, at = [], "", False, 0
    ends = "&|)" if _BLOCK.match(line) else "&|"
    while at < len(line):
        character = line[at]
        if character == '"':
            quoted = not quoted
        if quoted or (character not in "^<>" and character not in ends):
            piece += character
        elif character == "^":
            at += 1
            piece += line[at : at + 1]
        elif character in "<>":
            piece = re.sub(r"(?<!\S)\d$", "", piece)
            at += len(re.match(r"[<>]+\s*(?:&\d|\"[^\"]*\"|[^\s&|<>]*)", line[at:])[0]) - 1  # type: ignore[index]
        else:
            pieces.append(piece)
            piece = ""
        at += 1
    return [body for body in map(_body, [*pieces, piece]) if body]


def _body(piece: str) -> str:
    """The command inside `( ... )`, behind `@`, `else` and `if CONDITION`."""
    text = piece.strip()
    while True:
        shorter = re.sub(r"^(?:[@()\s]+|else\b\s*\(?)", "", text, flags=re.IGNORECASE)
        shorter = _CONDITION.sub("", shorter, count=1) if _CONDITION.match(shorter) else shorter
        if shorter == text:
            break
        text = shorter
    return text


def windows_argv(command: str) -> list[str]:
    """A command line as the C runtime cuts it into arguments: quotes group, `\\"` is a quote, other `\\` stay."""
    words: list[str] = []
    word: str | None = None
    quoted = False
    for match in _PIECE.finditer(command):
        piece = match[0]
        if piece[0] in " \t" and not quoted:
            words += [] if word is None else [word]
            word = None
        elif piece[-1] == '"':
            slashes = len(piece) - 1
            word = (word or "") + "\\" * (slashes // 2) + ('"' if slashes % 2 else "")
            quoted ^= slashes % 2 == 0
        else:
            word = (word or "") + piece
    return words + ([] if word is None else [word])
