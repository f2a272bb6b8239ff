"""Words from a file or a server, made safe for a terminal."""


def printable(text: str, limit: int = 96) -> str:
    """`text` on one line without control, format or surrogate characters, at most `limit` characters long."""
    kept = "".join(c if c.isprintable() else " " for c in text[: limit * 4])
    line = " ".join(kept.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
