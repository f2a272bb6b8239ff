"""The signals that stop what this process supervises: however many instances there are, each hears them, and what the
signals did before comes back when the last one has left."""

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

STOP_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
Listener = Callable[[], bool]  # called in the main thread; True: what it does is to be interrupted

_listeners: list[Listener] = []
_before: dict[int, Any] = {}


def listen(listener: Listener) -> None:
    """`listener` hears of every stop signal until it leaves. Only the main thread may: others change nothing."""
    if threading.current_thread() is not threading.main_thread():
        return
    if not _listeners:
        numbers = [getattr(signal, name) for name in STOP_SIGNALS if hasattr(signal, name)]
        _before.update({number: signal.signal(number, _tell) for number in numbers})
    _listeners.append(listener)


def leave(listener: Listener) -> None:
    """`listener` hears no more; twice is fine."""
    if listener not in _listeners:
        return
    _listeners.remove(listener)
    if not _listeners:
        for number, before in _before.items():
            signal.signal(number, before if before is not None else signal.SIG_DFL)
        _before.clear()


def _tell(_number: int, _frame: FrameType | None) -> None:
    if any([listener() for listener in tuple(_listeners)]):  # noqa: C419 - every one of them must hear it
        raise KeyboardInterrupt
