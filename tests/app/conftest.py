"""The use cases' tests run verbs as the terminal's do, and see nobody's files."""

from pathlib import Path

import pytest

from tests.cli.conftest import splitter

__all__ = ["splitter"]


@pytest.fixture(autouse=True)
def nobodys_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("CONFIG", "CACHE", "DATA", "STATE"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(tmp_path / kind.lower()))
    monkeypatch.chdir(tmp_path)
