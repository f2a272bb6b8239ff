"""The RAM of the real server stays below what is said of it; `host_ram` measures five settings and more prompts."""

from pathlib import Path

import pytest

from tests.engine.host_ram import SETTINGS, main_model, measured

pytestmark = pytest.mark.engine


def test_the_most_that_is_said_is_not_exceeded(tmp_path: Path) -> None:
    model = main_model(tmp_path)
    for name in ("--cache-ram 0", "--cache-ram 64"):
        seen = measured(model, name, SETTINGS[name], prompts=15)
        assert seen.said < seen.loaded < seen.after <= seen.most, name
