"""A systemd unit -> words: its ExecStart lines as systemd cuts them. Pure.

Rules: systemd.syntax(7), systemd.service(5) "Command lines".
"""

import re
from collections.abc import Iterator, Mapping

from splitter.engine.reading.containers import env_file
from splitter.engine.reading.value import ReadText

SIMPLE = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "s": " "}
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.))", re.DOTALL)
_VARIABLE = re.compile(r"\$\$|\$\{(\w+)\}")


def unit_commands(
    text: str, env: Mapping[str, str], read_text: ReadText | None = None
) -> Iterator[tuple[list[str], dict[str, str]]]:
    """The words of each ExecStart with the Environment of the unit, wherever that stands, and its EnvironmentFile."""
    joined = re.sub(r"\\\r?\n", " ", re.sub(r"^[#;].*\r?\n", "", text, flags=re.MULTILINE))
    known = dict(env)
    for assignments in re.findall(r"^\s*Environment\s*=(.*)$", joined, re.MULTILINE):
        known |= dict(_no_specifiers(word).split("=", 1) for word in unit_words(assignments) if "=" in word)
    for path in re.findall(r"^\s*EnvironmentFile\s*=\s*-?(.*?)\s*$", joined, re.MULTILINE):
        known |= env_file((read_text(path) if read_text else None) or "")
    for line in re.findall(r"^\s*ExecStart\s*=\s*[-@:+!|]*(.*)$", joined, re.MULTILINE):
        program, *arguments = [_no_specifiers(word) for word in unit_words(line)] or [""]
        yield [program, *(word for argument in arguments for word in _expanded(argument, known))], known


def unit_words(line: str) -> list[str]:
    """The items of a line: cut at white space, quotes removed, C escapes resolved."""
    words: list[str] = []
    word: str | None = None
    quote, at = "", 0
    while at < len(line):
        character, escape = line[at], _ESCAPE.match(line, at)
        if escape:
            word, at = (word or "") + _unescaped(escape), escape.end()
            continue
        at += 1
        if character == quote:
            quote = ""
        elif quote or not (character.isspace() or character in "\"'"):
            word = (word or "") + character
        elif character.isspace():
            words += [] if word is None else [word]
            word = None
        else:
            word, quote = word or "", character
    return words + ([] if word is None else [word])


def _unescaped(escape: re.Match[str]) -> str:
    hexadecimal = escape[1] or escape[2] or escape[3]
    if hexadecimal or escape[4]:
        code = int(hexadecimal, 16) if hexadecimal else int(escape[4], 8)
        return chr(code) if code <= 0x10FFFF else ""
    return SIMPLE.get(escape[5], escape[5])


def _no_specifiers(word: str) -> str:
    """`%%` as systemd reads it; other specifiers stay."""
    return word.replace("%%", "%")


def _expanded(word: str, env: Mapping[str, str]) -> list[str]:
    """`${NAME}` inside a word; `$NAME` alone stands for as many words as it holds; `$$` is a dollar sign."""
    alone = re.fullmatch(r"\$(\w+)", word)
    if alone:
        return env.get(alone[1], "").split()
    return [_VARIABLE.sub(lambda found: env.get(found[1], "") if found[1] else "$", word)]
