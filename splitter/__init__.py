"""splitter: the biggest local GGUF model, fast, on mismatched GPUs.

The Python API is these functions, each imported when it is first used; docs/python.md shows them.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from splitter.app.api import bench, check, launch, plan, rank
    from splitter.app.events import Events
    from splitter.client import Client
    from splitter.errors import SplitterError

__version__ = "0.1.0"
__all__ = ["Client", "Events", "SplitterError", "__version__", "bench", "check", "launch", "plan", "rank"]

_HOMES = {
    **dict.fromkeys(("check", "launch", "rank"), "splitter.app.api"),
    "Client": "splitter.client",
    "Events": "splitter.app.events",
    "SplitterError": "splitter.errors",
}
_ROOMS = ("bench", "plan")  # a use case and a room of one name


class _Room(ModuleType):
    """A room that is called as the use case of its name: `splitter.plan(...)` beside `splitter.plan.solve`."""

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        return self._use_case(*args, **keywords)

    @property
    def __signature__(self) -> Any:
        from inspect import signature

        return signature(self._use_case)

    @property
    def _use_case(self) -> Any:
        return getattr(import_module("splitter.app.api"), self.__name__.rpartition(".")[2])


class _Package(ModuleType):
    def __setattr__(self, name: str, value: Any) -> None:
        """Importing a module puts it here."""
        if name in _ROOMS and isinstance(value, ModuleType):
            value.__class__ = _Room
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    """PEP 562: nothing is imported before it is used."""
    if name in _ROOMS:
        return import_module(f"splitter.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'splitter' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
