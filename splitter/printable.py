"""Words from a file, a server or an engine, made safe for a terminal: no control, format (bidi, zero width)
or surrogate characters. `str.isprintable` is False for all of them and for every space but the plain one."""

SENTENCE = 600  # characters of a reason or a warning: our own words around a foreign name, never cut in practice


def printable(text: str, limit: int = 96) -> str:
    """`text` on one line without such characters, at most `limit` characters long."""
    kept = "".join(c if c.isprintable() else " " for c in text[: limit * 4])
    line = " ".join(kept.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def printable_lines(text: str) -> str:
    """`text` with its lines and tabs; every other such character becomes U+FFFD."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)
