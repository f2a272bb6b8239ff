"""What may name another machine and its programs: nothing that a shell or ssh could take for more. Pure."""

import re

from splitter.errors import UsageError
from splitter.printable import printable

NODE_NAME_WORDS = "1-32 small letters, digits and dashes, the first one a letter"
_NAME = re.compile(r"[a-z](?:[a-z0-9-]{0,30}[a-z0-9])?", re.ASCII)
# [user@]host[:port] or a Host of ssh's own config; an IPv6 address belongs into that config (llama.cpp takes none).
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,252}[A-Za-z0-9])?", re.ASCII)
# What neither sh nor cmd.exe reads as more than a word; no blank, so that nothing has to be quoted for either.
_PATH = re.compile(r"(?:~/|[A-Za-z]:[\\/]|/)?[A-Za-z0-9_](?:[A-Za-z0-9_.+/\\:-]{0,253})", re.ASCII)
MAX_PORT = 65535


def is_node_name(text: str) -> bool:
    """Whether `text` may name a node: it stands in ids, files and log lines."""
    return _NAME.fullmatch(text) is not None


def node_name(text: str) -> str:
    """`text`, if it may name a node; UsageError otherwise."""
    if not is_node_name(text):
        raise UsageError(f"'{printable(text, 40)}' cannot name a node", f"use {NODE_NAME_WORDS}")
    return text


def destination(text: str) -> str:
    """`text` as ssh's destination; UsageError for anything but [user@]host[:port]."""
    user, at, rest = text.rpartition("@")
    host, colon, port = rest.partition(":")
    sound = _HOST.fullmatch(host) is not None and (not at or _USER.fullmatch(user) is not None)
    if sound and (not colon or _is_port(port)):
        return text
    hint = "write [user@]host[:port], or the name of a Host in ~/.ssh/config for everything else"
    raise UsageError(f"'{printable(text, 60)}' is no ssh destination", hint)


def split_destination(text: str) -> tuple[str, int | None]:
    """The destination without its port, and the port."""
    host, colon, port = destination(text).partition(":")
    return host, int(port) if colon else None


def _is_port(text: str) -> bool:
    return re.fullmatch(r"[1-9]\d{0,4}", text, re.ASCII) is not None and int(text) <= MAX_PORT


def remote_path(text: str) -> str:
    """`text` as a program's name or path on a node; UsageError for anything that a shell there could read otherwise."""
    if _PATH.fullmatch(text) is None or ".." in text:
        hint = "use letters, digits and . _ - + / \\ : without blanks; make a link where the path has others"
        raise UsageError(f"'{printable(text, 60)}' cannot be a program's path on a node", hint)
    return text
