"""Our own tests, and the whole way, in a real Windows Python under wine."""

import re
from pathlib import Path

import pytest

from tests.windows.conftest import WindowsPython

pytestmark = pytest.mark.wine
# What means the same on both systems and needs neither POSIX tools nor a compiled engine.
FIT = ("tests/windows/inside", "tests/profile", "tests/rig/test_card_names.py", "tests/rig/test_backends.py")


def test_the_part_of_the_suite_that_fits_windows(windows: WindowsPython, tmp_path: Path) -> None:
    share = windows.prefix / "dosdevices" / "unc" / "box" / "models"  # where wine looks for \\box\models
    share.parent.mkdir(parents=True, exist_ok=True)
    share.symlink_to(tmp_path)
    words = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "--durations=5", *FIT)
    done = windows.run(*words, timeout_s=900, SPLITTER_SHARE="\\\\box\\models")
    text = done.stdout.decode("utf-8", "replace")
    print(text[-3000:])
    assert done.returncode == 0, text[-6000:]
    passed = re.search(r"(\d+) passed", text)
    assert passed is not None
    assert int(passed[1]) >= 150
