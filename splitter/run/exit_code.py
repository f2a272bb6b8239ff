"""How an engine's process ended, in words, and what that usually means."""

import signal
import sys
from collections.abc import Mapping

SHELL_SIGNAL = 128  # a shell, docker and PyInstaller's bootloader add it to the signal that ended their child
LARGEST_SIGNAL = 64
LARGEST_PLAIN = 0xFFFF  # Windows' status codes are larger
MISSING_BUILD = "it needs instructions that this CPU lacks: take a build for older CPUs (koboldcpp: -oldpc)"
CRASHED = "the engine crashed: a damaged or unknown model, the graphics driver or a bug; read its log"
# https://man7.org/linux/man-pages/man7/signal.7.html
SIGNAL_HINTS: Mapping[str, str] = {
    "SIGKILL": "it was killed by somebody, or by Linux because RAM ran out: `dmesg | grep -i kill` tells",
    "SIGTERM": "it was asked to end, by somebody or by the system",
    "SIGHUP": "its terminal was closed",
    "SIGSEGV": CRASHED,
    "SIGBUS": CRASHED,
    "SIGABRT": CRASHED,
    "SIGFPE": CRASHED,
    "SIGILL": MISSING_BUILD,
}
# NTSTATUS: https://learn.microsoft.com/openspecs/windows_protocols/ms-erref (2.3.1)
STATUS_NAMES: Mapping[int, tuple[str, str]] = {
    0xC0000005: ("access violation", CRASHED),
    0xC000001D: ("illegal instruction", MISSING_BUILD),
    0xC0000135: ("a DLL is missing", "install what the engine's release page asks for (CUDA runtime, VC++ runtime)"),
    0xC000013A: ("ended by Ctrl-C", "it was asked to end"),
    0xC00000FD: ("stack overflow", CRASHED),
    0xC0000409: ("stack damaged or abort()", CRASHED),
}


def exit_words(exit_code: int | None) -> str:
    """An exit code for people: signals by name, Windows' status codes in hexadecimal with their meaning."""
    if exit_code is None:
        return "no exit code"
    name = signal_of(exit_code)
    if exit_code < 0:
        return f"killed by {name or f'signal {-exit_code}'}"
    if exit_code > LARGEST_PLAIN:
        status = STATUS_NAMES.get(exit_code)
        return f"exit code {exit_code:#x}" + (f": {status[0]}" if status else "")
    return f"exit code {exit_code}" + (f": killed by {name}" if name else "")


def exit_hint(exit_code: int | None) -> str:
    """What to do about a process that ended so and said nothing."""
    if (status := STATUS_NAMES.get(exit_code or 0)) is not None:
        return status[1]
    return SIGNAL_HINTS.get(signal_of(exit_code or 0) or "", "read its log")


def signal_of(exit_code: int) -> str | None:
    """The signal that ended the process or its child: -11 and 139 are SIGSEGV. None for an exit of its own."""
    number = -exit_code if exit_code < 0 else exit_code - SHELL_SIGNAL if sys.platform != "win32" else 0
    if not 0 < number <= LARGEST_SIGNAL:
        return None
    return next((each.name for each in signal.Signals if each.value == number), None)
