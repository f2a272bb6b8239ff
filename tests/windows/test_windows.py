"""Our own tests, and the whole way, in a real Windows Python under wine."""

import re

import pytest

from tests.windows.conftest import WindowsPython

pytestmark = pytest.mark.wine
# What means the same on both systems and needs neither POSIX tools nor a compiled engine.
FIT = ("tests/windows/inside", "tests/profile", "tests/rig/test_card_names.py", "tests/rig/test_backends.py")


def test_the_part_of_the_suite_that_fits_windows(windows: WindowsPython) -> None:
    done = windows.run("-m", "pytest", "-q", "-p", "no:cacheprovider", "--durations=5", *FIT, timeout_s=900)
    text = done.stdout.decode("utf-8", "replace")
    print(text[-3000:])
    assert done.returncode == 0, text[-6000:]
    passed = re.search(r"(\d+) passed", text)
    assert passed is not None
    assert int(passed[1]) >= 150
