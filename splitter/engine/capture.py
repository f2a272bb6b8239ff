"""Runs one of an engine's short-lived tools to its end and hands back what it said."""

import os
import subprocess
from collections.abc import Mapping, Sequence


def captured(
    argv: Sequence[str], timeout_s: float, env: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """The finished process, whatever its exit code; `env` is added to our environment, bytes that are not UTF-8 become
    U+FFFD. OSError when it cannot be started, subprocess.TimeoutExpired when it was killed after `timeout_s`."""
    return subprocess.run(
        argv,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        timeout=timeout_s,
        check=False,
    )
