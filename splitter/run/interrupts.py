"""Who is to hear that this process shall stop: however many instances it supervises, each hears it. What the process
takes for such a wish (signals, for a terminal) is not known here: `splitter/cli/signals.py` calls `interrupt`."""

import threading
from collections.abc import Callable

Listener = Callable[[], bool]  # called in the main thread; True: what that does is to be interrupted

_listeners: list[Listener] = []


def listen(listener: Listener) -> None:
    """`listener` hears of every interrupt until it leaves. Only what works in the main thread can be interrupted:
    others change nothing."""
    if threading.current_thread() is threading.main_thread():
        _listeners.append(listener)


def leave(listener: Listener) -> None:
    """`listener` hears no more; twice is fine."""
    if listener in _listeners:
        _listeners.remove(listener)


def heard() -> bool:
    """Whether anybody listens."""
    return bool(_listeners)


def interrupt() -> bool:
    """Tells every listener; whether one of them wants the main thread's work interrupted."""
    return any([listener() for listener in tuple(_listeners)])  # noqa: C419 - every one of them must hear it
