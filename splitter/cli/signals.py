"""The signals that stop a command, and with it what it supervises."""

import os
import signal
from types import FrameType
from typing import Any

from splitter.run.interrupts import heard, interrupt

STOP_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
_before: dict[int, Any] = {}


def take_signals() -> None:
    """From now on a stop signal is told to what this process supervises, if anything; the main thread alone may."""
    for name in STOP_SIGNALS:
        number = getattr(signal, name, None)
        if number is not None and number not in _before:
            _before[number] = signal.signal(number, _tell)


def give_signals_back() -> None:
    """They do what they did before."""
    while _before:
        number, before = _before.popitem()
        signal.signal(number, before if before is not None else signal.SIG_DFL)


def _tell(number: int, frame: FrameType | None) -> None:
    if heard():
        if interrupt():
            raise KeyboardInterrupt
        return
    before = _before[number]
    if callable(before):
        before(number, frame)
    elif before != signal.SIG_IGN:  # what the system does is done by the system
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
