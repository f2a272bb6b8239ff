"""Every case of the fault table once; `python -m tests.run.faults` runs each 20 times."""

import sys

import pytest

if sys.platform != "linux":
    pytest.skip("signals, a terminal and the emulated rig", allow_module_level=True)

from tests.run.faults import FAULTS, Fault, run

pytestmark = pytest.mark.engine


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_nothing_is_lost(fault: Fault) -> None:
    assert run(fault).wrong == ()
