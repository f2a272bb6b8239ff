"""One server, and one browser, for each module."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.web.served import Served, models

HEADERS = ("qwen2.5-32b-q4_k_m", "qwen3-30b-a3b-q4_k_m")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ui")


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[Served]:
    """With the models of `folder`/models in reach."""
    server = Served(folder, (str(models(folder / "models", *HEADERS)),))
    yield server
    server.close()
