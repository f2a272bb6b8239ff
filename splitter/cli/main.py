"""The one error boundary: verbs raise, this turns the error into a sentence (or JSON) and the exit code."""

import gc
import os
import re
import signal
import sys
import tempfile
import traceback
from collections.abc import Sequence
from contextlib import suppress
from errno import EIO, ENOSPC
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import typer

from splitter.app.wire import envelope, error_item, status_of
from splitter.cli.app import app
from splitter.cli.output import print_error, print_json, reported
from splitter.cli.signals import take_signals
from splitter.errors import EXIT_BUG, EXIT_INTERRUPTED, SplitterError, UsageError, refused_by_system
from splitter.masking import without_secrets

# Typer's own usage errors; its copy of click is private, its BadParameter is not.
_ClickUsageError: Any = typer.BadParameter.__mro__[1]
_ClickException: Any = typer.BadParameter.__mro__[2]


def main(argv: Sequence[str] | None = None) -> None:
    """Runs `splitter` and exits with its code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    gc.set_threshold(100_000, 50, 50)  # planning makes many small values and no cycles: collecting costs a tenth
    _replace_unprintable()
    take_signals()
    try:
        code = run(arguments)
    except KeyboardInterrupt:  # once more, while the first was answered
        code = EXIT_INTERRUPTED
    if code == EXIT_INTERRUPTED:  # a Ctrl-C from here on would end Python by the signal, not with the code
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Runs one command line; returns the exit code."""
    reported.set(False)
    try:
        code = app(arguments, prog_name="splitter", standalone_mode=False, obj=arguments)
    except SplitterError as error:
        return _report(error, arguments)
    except (_ClickUsageError, _ClickException) as error:
        return _report(_usage_error(error), arguments)
    except (KeyboardInterrupt, typer.Abort):
        return _report_interrupt(arguments)
    except BrokenPipeError:
        sys.stderr = None  # the reader is gone: nothing more can be said
        return 1
    except Exception as error:  # noqa: BLE001  the boundary: whatever is left is our bug, and it is kept for the report
        return _report_unforeseen(error, arguments)
    if code == EXIT_INTERRUPTED:  # typer's answer to Ctrl-C
        _report_interrupt(arguments)
    return code if isinstance(code, int) else 0


def _report_unforeseen(error: Exception, arguments: list[str]) -> int:
    if _terminal_closed(error):
        return _report_interrupt(arguments)
    refused = _refused(error)
    return _report(refused, arguments) if refused else _report_bug(arguments)


def _terminal_closed(error: BaseException) -> bool:
    """After SIGHUP the terminal is gone, and the next word to it fails (EIO)."""
    cause = error.__context__
    return isinstance(error, OSError) and error.errno == EIO and isinstance(cause, KeyboardInterrupt)


def _usage_error(error: Any) -> UsageError:
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "splitter"
    if type(error).__name__ == "NoArgsIsHelpError":  # its message is the whole help
        return UsageError(f"{path} needs a command", f"see `{path} --help`")
    message = _plainer(error.format_message())
    meant = MEANT.get(unknown[1]) if (unknown := UNKNOWN_VERB.match(message)) and path == "splitter" else None
    return UsageError(message, f"you may mean `splitter {meant}`" if meant else f"see `{path} --help`")


UNKNOWN_VERB = re.compile(r"no such command '([^']*)'")
# What other programs call our verbs.
MEANT = {
    word: verb
    for verb, words in {
        "launch": "serve server run start up load chat",
        "engine install": "install setup",
        "engine update": "update upgrade self-update",
        "engine list": "engines backends",
        "pull": "download get fetch add",
        "models": "list ls search",
        "rig": "gpus gpu devices cards hardware",
        "inspect": "show info model",
        "plan": "fit split solve estimate offload",
        "script": "bat generate export write",
        "check": "validate lint verify explain",
        "stop": "kill down rm quit shutdown",
        "logs": "log tail",
        "ps": "status top",
        "bench": "benchmark speed measure",
        "doctor": "diagnose health",
        "profile": "profiles preset presets",
        "calibrate": "calibration",
        "tune": "optimize optimise",
        "ui": "gui web browser dashboard",
        "node": "nodes machine machines host hosts",
        "worker": "workers rpc rpc-server",
        "gateway": "proxy router api",
    }.items()
    for word in words.split()
}


# Typer's and pydantic's words, and ours for them.
PLAINER = (
    (r"Value error, ", ""),
    (r"Input should be ", "it must be "),
    (r", unable to parse string as .*", ""),
    (r"Got unexpected extra arguments? ?(?:\(s\) )?\((.*)\)", r"unexpected: \1"),
    (r"^Missing argument '(.*)'\.$", r"\1 is missing"),
    (r"^Invalid value for ", "wrong value for "),
    (r"^No such ", "no such "),
)


def _plainer(message: str) -> str:
    for pattern, words in PLAINER:
        message = re.sub(pattern, words, message)
    return message


def _verb(arguments: list[str]) -> str:
    return next((word for word in arguments if not word.startswith("-")), "splitter")


def _report(error: SplitterError, arguments: list[str]) -> int:
    from splitter.app.background import leave_word

    leave_word(error)
    if "--json" in arguments and not reported.get():
        print_json(envelope(_verb(arguments), status_of(error), None, [error_item(error)]))
    else:
        print_error(error)
    return error.exit_code


def _report_interrupt(arguments: list[str]) -> int:
    if "--json" in arguments and not reported.get():
        item = {"code": "interrupted", "message": "interrupted", "hint": ""}
        print_json(envelope(_verb(arguments), "error", None, [item]))
    elif sys.stderr is not None:
        with suppress(OSError):  # the terminal was closed: that was the interruption
            sys.stderr.write("interrupted\n")
            sys.stderr.flush()
    return EXIT_INTERRUPTED


def _refused(error: Exception) -> SplitterError | None:
    """What the system refused; after a full disk nothing more is written."""
    if isinstance(error, OSError) and error.errno == ENOSPC:
        sys.stdout = None  # else its rest is written once more at exit
        reported.set(True)
    return refused_by_system(error)


def _report_bug(arguments: list[str]) -> int:
    with tempfile.NamedTemporaryFile(
        "w", prefix="splitter-bug-", suffix=".txt", delete=False, encoding="utf-8"
    ) as report:
        report.write(without_secrets(f"arguments: {arguments}\n\n{traceback.format_exc()}", arguments))
    error = SplitterError("splitter itself failed", f"report this bug with {Path(report.name)}")
    error.code = "bug"
    _report(error, arguments)
    return EXIT_BUG


def _replace_unprintable() -> None:
    """A terminal that is not UTF-8 gets '?' for what it cannot show, never a traceback. What goes into a pipe or a file
    on Windows is UTF-8: in its code page a path of the printed command would be another path."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            with suppress(ValueError):
                piped = sys.platform == "win32" and not stream.isatty() and "PYTHONIOENCODING" not in os.environ
                stream.reconfigure(errors="replace", encoding="utf-8" if piped else stream.encoding)


if __name__ == "__main__":
    main()
