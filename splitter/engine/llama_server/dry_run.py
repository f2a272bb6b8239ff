"""Runs llama-fit-params, llama.cpp's own dry run: what each device would hold, without allocating it."""

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from splitter.engine.capture import captured
from splitter.engine.command import EngineRef
from splitter.engine.engines import ENGINES
from splitter.engine.llama_server.command import device_env, load_args
from splitter.engine.llama_server.dry_run_rows import (
    DryRunRow,
    beside_server,
    compare,
    corrected,
    dry_settings,
    parse_rows,
)
from splitter.engine.log.last_words import last_words
from splitter.errors import EngineError, EngineNotFoundError
from splitter.plan.plan import Notice, Plan

TOOL = "llama-fit-params"
TIMEOUT_S = 120.0
HINT = "plan without --verify; the estimate then stands"
UNPROVEN = Notice(
    "not_verified", f"{TOOL} cannot measure -sm tensor: the memory is estimated", "keep a larger --margin"
)


def find_dry_run(engine: EngineRef) -> str | None:
    """The llama-fit-params that belongs to `engine`: beside its llama-server; None for other engines or none there."""
    if engine.path is None or not ENGINES[engine.kind].tools_beside:
        return None
    named = Path(engine.path)
    for folder in (named.parent, named.resolve().parent):
        tool = shutil.which(str(folder / TOOL))
        if tool:
            return tool
    return None


def verify(plan: Plan, engine: EngineRef) -> Plan:
    """`plan` with the engine's figures in place of estimates, and `verified` set.

    A device that does not fit after all shows negative headroom. In `-sm tensor` the tool names no device: the plan
    then comes back with a warning and without proof. Raises EngineNotFoundError when `engine` has no dry run,
    EngineError with its last words when it fails.
    """
    if plan.settings.split_mode == "tensor":
        return replace(plan, warnings=(*plan.warnings, UNPROVEN))
    rows = dry_run(plan, engine)
    unseen = [d.device.id for d in plan.devices if d.layers and d.device.id not in {row.device for row in rows}]
    if unseen:
        raise EngineError(f"{TOOL} says nothing about {', '.join(unseen)}", HINT)
    beside = beside_server(plan)
    said = replace(plan, reasons=(*plan.reasons, beside)) if beside else plan
    return corrected(said, compare(plan, rows), engine.version or "unknown")


def dry_run(plan: Plan, engine: EngineRef) -> tuple[DryRunRow, ...]:
    """What the engine says each device would hold under the plan's own flags."""
    tool = find_dry_run(engine)
    if tool is None:
        raise EngineNotFoundError(
            f"there is no {TOOL} beside {engine.path or engine.kind}", f"use llama-server of a full release, or {HINT}"
        )
    if not Path(plan.facts.path).is_file():
        raise EngineError(f"the dry run needs the model, and {plan.facts.path} is not here", f"download it, or {HINT}")
    told = replace(plan, settings=dry_settings(plan.settings))
    slots = ("-np", str(told.settings.parallel))
    return _run([tool, *load_args(told, engine.version), *slots, "--fit-print", "on"], device_env(told))


def _run(argv: Sequence[str], env: Mapping[str, str]) -> tuple[DryRunRow, ...]:
    try:
        done = captured(argv, TIMEOUT_S, env)
    except subprocess.TimeoutExpired:
        raise EngineError(f"{TOOL} gave no answer in {TIMEOUT_S:.0f} s", HINT) from None
    except OSError as error:
        raise EngineError(f"{TOOL} cannot be started: {error.strerror}", HINT) from error
    rows = parse_rows(done.stdout)
    if done.returncode or not rows:
        raise _failure(done.returncode, done.stdout + done.stderr)
    return rows


def _failure(code: int, text: str) -> EngineError:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    blamed = last_words(lines)
    if blamed:
        return EngineError(f"{TOOL} failed: {blamed.sentence}", blamed.hint)
    said = f": {lines[-1][:300]}" if lines else ""
    return EngineError(f"{TOOL} failed (exit {code}){said}", HINT)
