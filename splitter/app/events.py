"""Events: how a use case tells whoever asked what it is doing. The terminal shows it."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

Tell = Callable[[str], None]
Progress = Callable[[int, int], None]  # bytes here, bytes in all


class Events(Protocol):
    """What a use case may tell."""

    def say(self, text: str) -> None:
        """A remark that a person should read."""

    def step(self, text: str) -> AbstractContextManager[Tell]:
        """Work of some seconds goes on while the block runs; the block may tell how far it is."""

    def transfer(self) -> AbstractContextManager[Progress | None]:
        """Bytes arrive while the block runs; None where nobody wants to know."""


class Silent:
    """Events that nobody watches; the remarks are kept."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    @contextmanager
    def step(self, text: str) -> Iterator[Tell]:  # noqa: ARG002 - Events' signature
        yield lambda _text: None

    @contextmanager
    def transfer(self) -> Iterator[Progress | None]:
        yield None
