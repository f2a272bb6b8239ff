"""What an extra brings is imported by name when its verb is called: cli imports neither web nor gateway."""

from importlib import import_module
from types import ModuleType

from splitter.errors import UsageError


def extra(room: str) -> ModuleType:
    """`splitter.web.serve` for `web`, `splitter.gateway.serve` for `gateway`.

    Raises:
        UsageError: the extra's libraries are not installed.
    """
    try:
        return import_module(f"splitter.{room}.serve")
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] == "splitter":
            raise
        hint = f"pip install 'tensor-splitter[{room}]'"
        raise UsageError(f"`{error.name}` is not installed, and the extra `{room}` needs it.", hint) from error
