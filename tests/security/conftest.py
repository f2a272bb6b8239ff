"""The stand-in engine under wine, as the tests of scripts have it."""

from tests.script.conftest import wine

__all__ = ["wine"]
