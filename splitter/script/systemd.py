"""The systemd user unit of a plan. Pure.

Quoting: systemd.syntax(7), systemd.service(5) "Command lines": items in double quotes with C escapes, % doubled
everywhere (specifiers), $ doubled in arguments (variables) but not in the program's path.
"""

import re

from splitter.engine.command import EngineCommand
from splitter.errors import UsageError
from splitter.plan.plan import Plan
from splitter.printable import printable
from splitter.script.download import is_reference
from splitter.script.header import header_lines
from splitter.script.located import named_paths

PLAIN = re.compile(r"[A-Za-z0-9_./:=,@+-]+")
ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}
# What systemd refuses in the path of a program, though not in an argument.
UNSAFE = re.compile(r"[\x00-\x1f\x7f\"'\\]")
# Reads a secret's first line into a variable and becomes the engine.
FROM_FILE = 'IFS= read -r {0} < "$1" || [ -n "${0}" ] || exit 1; export {0}; shift; exec "$@"'


def render_unit(plan: Plan, command: EngineCommand, name: str, remake: str) -> bytes:
    """The unit `name`.service. UsageError where the engine or a file is not known by its full path on this system."""
    _check_paths(plan, command)
    about = f"{plan.facts.name} on {plan.rig.name} ({command.engine.kind})"
    lines = [
        *(f"# {line}".rstrip("\\") for line in header_lines(plan, command, remake)),
        f"# Install:  put it into ~/.config/systemd/user, then: systemctl --user enable --now {name}",
        "[Unit]",
        f"Description={_one_line(about)}",
        "StartLimitIntervalSec=600",
        "StartLimitBurst=5",
        "",
        "[Service]",
        *(f"Environment={unit_word(f'{key}={value}')}" for key, value in command.env.items()),
        "WorkingDirectory=~",
        f"ExecStart={_command(command)}",
        "Restart=on-failure",
        "RestartSec=5",
        "TimeoutStopSec=30",
        "",
        "[Install]",
        "WantedBy=default.target",
    ]
    return "".join(f"{line}\n" for line in lines).encode()


def unit_word(text: str) -> str:
    """`text` as one item of a unit's list, such as Environment=."""
    if PLAIN.fullmatch(text):
        return text
    escaped = "".join(ESCAPES.get(c) or (c if c.isprintable() else _code(c)) for c in text)
    return '"' + escaped.replace("%", "%%") + '"'


def _code(character: str) -> str:
    """A control or format character in C's spelling. A lone surrogate is a byte of a name that is no text."""
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 128 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _command(command: EngineCommand) -> str:
    argv = command.argv
    if UNSAFE.search(argv[0]):
        argv = ("/bin/sh", "-c", 'exec "$@"', "sh", *argv)
    for variable, path in command.env_files.items():
        argv = ("/bin/sh", "-c", FROM_FILE.format(variable), "sh", path, *argv)
    return " ".join((unit_word(argv[0]), *(unit_word(word.replace("$", "$$")) for word in argv[1:])))


def _one_line(text: str) -> str:
    """`text` as a unit's free text; a backslash at its end would join the next line."""
    return printable(text, 200).replace("%", "%%").rstrip("\\")


def _check_paths(plan: Plan, command: EngineCommand) -> None:
    if not (command.engine.path or "").startswith("/"):
        raise UsageError(
            f"a systemd unit needs the full path of {command.engine.kind}", "install it, or name it with --engine-path"
        )
    for path in named_paths(plan, command):
        if is_reference(path):
            raise UsageError(f"a systemd unit needs {path} on this machine", "download it and name the file")
        if not path.startswith("/"):
            raise UsageError(f"a systemd unit needs the full path of {path}", "name a file that is here")
