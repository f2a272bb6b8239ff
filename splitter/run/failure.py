"""Why a supervised engine failed, in one sentence for the user."""

from collections.abc import Sequence

from splitter.engine.command import EngineCommand
from splitter.engine.koboldcpp_devices import names_in_log
from splitter.engine.last_words import last_words
from splitter.errors import EngineError
from splitter.printable import printable
from splitter.run.lifecycle import Limits, State

LAST_LINES = 10
LONGEST_QUOTED = 400  # characters of one line of the log in an error
BLAMED_LINES = 50  # an old complaint that the engine survived is not what killed it


def describe(command: EngineCommand, state: State, limits: Limits, how: str, lines: Sequence[str]) -> EngineError:
    """The error for a failed `state`; `how` is its exit code in words, `lines` the end of the engine's log.

    What the last BLAMED_LINES lines blame is the sentence; lines that blame nothing known are quoted.
    """
    kind, port = command.engine.kind, command.server.port
    match state.failure:
        case "not_ours":
            message = f"another program answers on port {port}, which {kind} was to use"
            return EngineError(message, "use another --port")
        case "no_model":
            message = f"{kind} serves no model: it started without one{quoted(lines)}"
            return EngineError(message, "read its log; check the path of the model")
        case "start_timeout":
            message = f"{kind} was not ready after {limits.start_timeout_s:g} s and was stopped{quoted(lines)}"
            return EngineError(message, "give it more time with a longer start timeout, or read its log")
        case "unkillable":
            message = f"{kind} did not end even when it was killed; it is probably stuck in the graphics driver"
            return EngineError(message, "wait a minute; if it stays, restart the machine")
    when = "while it loaded" if state.failure == "died_loading" else "while it ran"
    blamed = last_words(lines[-BLAMED_LINES:], names_in_log(command.env))
    if blamed:
        return EngineError(f"{kind} ended {when}: {blamed.sentence}", blamed.hint)
    return EngineError(f"{kind} ended {when} ({how}){quoted(lines)}", "read its log")


def quoted(lines: Sequence[str]) -> str:
    """The last lines of the log, after a colon: foreign text, so nothing in them may steer a terminal."""
    said = [line for line in (printable(line, LONGEST_QUOTED) for line in lines[-BLAMED_LINES:]) if line][-LAST_LINES:]
    return ":\n" + "\n".join(f"  {line}" for line in said) if said else ""
