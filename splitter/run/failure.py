"""Why a supervised engine failed, in one sentence for the user."""

from collections.abc import Sequence

from splitter.engine.command import EngineCommand
from splitter.engine.engines import ENGINES
from splitter.engine.log.last_words import last_words
from splitter.engine.supervision import Supervision
from splitter.errors import EngineError
from splitter.printable import printable
from splitter.run.exit_code import exit_hint, exit_words
from splitter.run.lifecycle import State

LAST_LINES = 10
LONGEST_QUOTED = 400  # characters of one line of the log in an error
START_ONLY = ("port_taken", "invalid_argument")  # what ended an engine that was ready is none of these
BLAMED_LINES = 50  # an old complaint that the engine survived is not what killed it


def describe(command: EngineCommand, state: State, supervision: Supervision, lines: Sequence[str]) -> EngineError:
    """The error for a failed `state`; `lines` are the end of the engine's log.

    What the last BLAMED_LINES lines blame is the sentence; lines that blame nothing known are quoted.
    """
    kind = command.engine.kind
    own = _own_reason(kind, command.server.port, state, supervision, lines)
    if own:
        return EngineError(*own)
    loading = state.failure == "died_loading"
    when = "while it loaded" if loading else "while it ran"
    blamed = last_words(lines[-BLAMED_LINES:], ENGINES[kind].names_in_log(command))
    if blamed and (loading or blamed.kind not in START_ONLY):
        return EngineError(f"{kind} ended {when}{again(state)}: {blamed.sentence}", blamed.hint)
    how = exit_words(state.exit_code)
    return EngineError(f"{kind} ended {when}{again(state)} ({how}){quoted(lines)}", exit_hint(state.exit_code))


def _own_reason(
    kind: str, port: int, state: State, supervision: Supervision, lines: Sequence[str]
) -> tuple[str, str] | None:
    """Message and hint where the supervisor, not the engine, saw the failure."""
    said = quoted(lines)
    reasons = {
        "not_ours": (f"another program answers on port {port}, which {kind} was to use", "use another --port"),
        "no_model": (
            f"{kind} serves no model: it started without one{said}",
            "read its log; check the path of the model",
        ),
        "start_timeout": (
            f"{kind} was not ready after {supervision.ready_timeout_s:g} s and was stopped{said}",
            "give it more time with a longer start timeout, or read its log",
        ),
        "unkillable": (
            f"{kind} did not end even when it was killed; it is probably stuck in the graphics driver",
            "wait a minute; if it stays, restart the machine",
        ),
        "unresponsive": (
            f"{kind} failed {supervision.health_failures} health probes in a row{again(state)} and was stopped{said}",
            "read its log; if it happens again, update the graphics driver",
        ),
    }
    return reasons.get(state.failure or "")


def again(state: State) -> str:
    """How many restarts did not help."""
    return f" after {state.in_row} restart{'s' if state.in_row > 1 else ''} in a row" if state.in_row else ""


def quoted(lines: Sequence[str]) -> str:
    """The last lines of the log, after a colon: foreign text, so nothing in them may steer a terminal."""
    said = [line for line in (printable(line, LONGEST_QUOTED) for line in lines[-BLAMED_LINES:]) if line][-LAST_LINES:]
    return ":\n" + "\n".join(f"  {line}" for line in said) if said else ""
