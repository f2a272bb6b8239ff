"""The embedded engine: llama.cpp's own server from the wheel xllamacpp, as a child process with llama-server's flags.

    python -m splitter.engine.embedded.server -m model.gguf -c 4096 --port 8080

The wheel listens on HTTP itself, with llama-server's interface (/health, /props, /completion, /v1/...); this module
only reads the flags, waits for a signal and ends. Exit codes: 0 stopped by SIGINT, SIGTERM or Ctrl-Break (while it
loads it dies of the signal instead); 1 the model could not be loaded or served; 2 a flag that cannot be obeyed.
"""

import signal
import sys
import threading
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Any

from splitter.engine.embedded.flags import read_flags
from splitter.errors import EngineError, EngineNotFoundError, SplitterError, UsageError

POLL_S = 0.2  # on Windows a wait without a timeout keeps signal handlers from running


def load_wheel() -> Any:
    """The module xllamacpp; EngineNotFoundError when it is not installed."""
    try:
        import xllamacpp
    except ImportError as error:
        message = f"the embedded engine needs the Python package xllamacpp, which cannot be imported: {error}"
        raise EngineNotFoundError(message, "pip install 'tensor-splitter[embedded]'") from None
    return xllamacpp


def serve(argv: Sequence[str]) -> None:
    """Loads the model, serves it, and returns after a signal."""
    wheel = load_wheel()
    params = read_flags(argv, wheel.CommonParams())
    if not Path(params.model.path).is_file():
        raise EngineError(f"there is no model file {params.model.path}", "check the path after -m")
    stop = threading.Event()
    # The wheel holds the interpreter while it loads: only a signal's default action, to end the process, is heard.
    on_stop_signals(signal.SIG_DFL)
    try:
        server = wheel.Server(params)
    except RuntimeError as error:
        message = f"the embedded engine could not serve {params.model.path}: {error}"
        raise EngineError(message, "the lines above say why") from None
    on_stop_signals(lambda _number, _frame: stop.set())
    while not stop.wait(POLL_S):
        pass
    del server


def on_stop_signals(handler: signal.Handlers | Callable[[int, FrameType | None], None]) -> None:
    """Gives SIGINT, SIGTERM and, on Windows, Ctrl-Break the `handler`."""
    for name in ("SIGINT", "SIGTERM", "SIGBREAK"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), handler)


def main(argv: Sequence[str] | None = None) -> int:
    """The process's exit code."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        if list(argv) == ["--version"]:
            load_wheel()
            sys.stdout.write(f"xllamacpp {version('xllamacpp')}\n")
            return 0
        serve(argv)
    except SplitterError as error:
        sys.stderr.write(f"error: {error.message}\nhint: {error.hint}\n")
        return 2 if isinstance(error, UsageError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
