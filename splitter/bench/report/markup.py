"""HTML and SVG elements as text: every text and every attribute is escaped here and nowhere else."""

from html import escape


def text(words: str) -> str:
    """`words` from a model or a record, safe inside an element or a quoted attribute: nothing steers, nothing runs."""
    return escape("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in words), quote=True)


def element(name: str, *content: str, **attributes: str | float) -> str:
    """`content` is markup. An attribute's underscores are hyphens, `class_` is class, numbers are shortened."""
    given = "".join(f' {key.rstrip("_").replace("_", "-")}="{_value(value)}"' for key, value in attributes.items())
    return f"<{name}{given}>{''.join(content)}</{name}>"


def void(name: str, **attributes: str | float) -> str:
    """An SVG shape without content."""
    return element(name, **attributes)[: -len(f"></{name}>")] + "/>"


def _value(value: str | float) -> str:
    return text(value) if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")


def percent(share: float) -> str:
    """A share of the plot's width as an SVG length: charts keep their letters' size at every width."""
    return f"{share * 100:.2f}".rstrip("0").rstrip(".") + "%"
