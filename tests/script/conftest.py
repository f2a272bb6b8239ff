"""One wine prefix for all tests of the session."""

from collections.abc import Iterator

import pytest

from tests.script.wine import Wine


@pytest.fixture(scope="session")
def wine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wine]:
    made = Wine.make(tmp_path_factory.mktemp("wine"))
    yield made
    made.stop()
