"""A few of the random plans of `launched_plans`: what a plan says of a card is what the server then holds there."""

import pytest

from splitter.units import MIB
from tests.engine.launched_plans import KINDS, run, show

pytestmark = pytest.mark.engine
ENCODER_SHARE = 1.25  # a projector's buffers are a bound (tests/engine/test_extra_models.py)


def test_what_the_plan_says_is_what_the_server_holds() -> None:
    rows = list(run(len(KINDS), "test"))
    show(rows)
    for row in rows:
        for name, gap in row.differences().items():
            above = row.held[name] * (ENCODER_SHARE - 1) if row.kind == "projector" else 0
            assert -MIB < gap < MIB + above, (row.kind, name, row.plan.settings)
