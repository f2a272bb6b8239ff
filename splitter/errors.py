"""The exception tree. Every error carries one sentence, the next step, a code for --json and the exit code.

Exit codes: 0 ok, 1 handled error, 2 usage, 3 does not fit, 4 engine failed, 5 no usable device or driver, 70 our bug,
130 interrupted.
"""

from errno import ENAMETOOLONG, ENOSPC

EXIT_BUG = 70
EXIT_INTERRUPTED = 130


class SplitterError(Exception):
    """A failure that the user can do something about: `message` says what, `hint` the next step."""

    code = "error"
    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(SplitterError):
    """The command line, a flag's value or a combination of flags makes no sense."""

    code = "usage"
    exit_code = 2


class ModelError(SplitterError):
    """The model file is missing, truncated, corrupt, hostile or of a kind that cannot be planned."""

    code = "bad_model"


class ModelNotFoundError(ModelError):
    """No file, repository or cached model has the given name."""

    code = "model_not_found"


class RigError(SplitterError):
    """A rig file or a --gpus list that cannot be read."""

    code = "bad_rig"


class NoDeviceError(SplitterError):
    """No usable GPU or driver."""

    code = "no_device"
    exit_code = 5


class DoesNotFitError(SplitterError):
    """No placement obeys the request within the rig's memory."""

    code = "does_not_fit"
    exit_code = 3


class EngineError(SplitterError):
    """The engine could not be started, died, or refused the command."""

    code = "engine_failed"
    exit_code = 4


class EngineNotFoundError(EngineError):
    """No engine binary where one was looked for."""

    code = "engine_not_found"


class ProfileError(SplitterError):
    """A profile that cannot be read or contains an invalid value."""

    code = "bad_profile"


class RecordsError(SplitterError):
    """The file of measurements cannot be read or written."""

    code = "bad_records"


def refused_by_system(error: Exception) -> SplitterError | None:
    """What the system may refuse any program: a full disk, a name that is too long, a home folder of nobody."""
    if isinstance(error, OSError) and error.errno == ENOSPC:
        where = error.filename or "standard output"
        return SplitterError(f"{where} cannot be written: {error.strerror}", "free some space, or write elsewhere")
    if isinstance(error, OSError) and error.errno == ENAMETOOLONG:
        return UsageError(f"{str(error.filename)[:80]}...: {error.strerror}", "check the path")
    if isinstance(error, RuntimeError) and "home directory" in str(error):  # pathlib, for ~nobody/file
        return UsageError("a path begins with ~, and that home folder is not known", "write the path in full")
    return None
