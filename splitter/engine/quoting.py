"""One argument as each system's shell needs it. Pure; what a shell cannot carry is refused, never bent."""

import re
import shlex

from splitter.errors import UsageError

# Characters that need no quotes in cmd.exe and split no argument in CommandLineToArgvW.
CMD_PLAIN = re.compile(r"[A-Za-z0-9_\-.:\\/@+,=]+")


def posix_argument(text: str) -> str:
    """`text` as one word of a POSIX shell."""
    return shlex.quote(text)


def windows_argument(text: str) -> str:
    """`text` as one argument for CommandLineToArgvW, quoted so that cmd.exe sees no metacharacter in it.

    `%` is left alone: only a batch file can double it. UsageError for a double quote or a line break: inside quotes
    cmd.exe would end the quoting there.
    """
    check_line(text)
    if CMD_PLAIN.fullmatch(text):
        return text
    trailing = len(text) - len(text.rstrip("\\"))
    return '"' + text + "\\" * trailing + '"'


def batch_argument(text: str) -> str:
    """`text` as one argument on a line of a batch file."""
    return windows_argument(text).replace("%", "%%")


def batch_value(text: str) -> str:
    """`text` as the value of `set "NAME=value"` in a batch file."""
    check_line(text)
    return text.replace("%", "%%")


def check_line(text: str) -> None:
    """UsageError when `text` cannot stand between double quotes on one line of cmd.exe."""
    if '"' in text:
        raise UsageError(f"cmd.exe cannot be given {text!r}: it contains a double quote", "rename it without the quote")
    if any(ord(character) < 32 for character in text):
        raise UsageError(f"cmd.exe cannot be given {text!r}: it contains a control character", "rename it without it")
