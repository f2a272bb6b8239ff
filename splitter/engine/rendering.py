"""EngineCommand as a line that people paste into a shell, and as a line for logs."""

import sys

from splitter.engine.command import EngineCommand
from splitter.engine.quoting import posix_argument, windows_argument


def command_line(command: EngineCommand, system: str | None = None) -> str:
    """The command as one line for a shell of `system` ("linux", "windows"; None: this machine's), environment included.

    UsageError for what cmd.exe cannot carry.
    """
    windows = sys.platform == "win32" if system is None else system == "windows"
    return cmd_line(command) if windows else posix_line(command)


def posix_line(command: EngineCommand) -> str:
    """One line for sh, bash or zsh; files with secrets are read when the line runs."""
    values = [f"{name}={posix_argument(value)}" for name, value in command.env.items()]
    files = [f'{name}="$(head -n 1 {posix_argument(path)})"' for name, path in command.env_files.items()]
    return " ".join((*values, *files, *(posix_argument(part) for part in command.argv)))


def cmd_line(command: EngineCommand) -> str:
    """One line for cmd.exe at its prompt. UsageError for what cmd.exe cannot carry."""
    values = [f"set {_quoted(f'{name}={value}')}" for name, value in command.env.items()]
    files = [f"set /p {name}=<{_quoted(path)}" for name, path in command.env_files.items()]
    program = " ".join(windows_argument(part) for part in command.argv)
    return " && ".join((*values, *files, program))


def _quoted(text: str) -> str:
    """`text` between double quotes, as `set` and redirections of cmd.exe want it."""
    argument = windows_argument(text)
    return argument if argument.startswith('"') else f'"{argument}"'
