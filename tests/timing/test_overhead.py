"""Show 5: `splitter launch` serves as fast as the bare engine. Its figures: `python -m tests.timing.overhead`."""

import pytest

from tests.timing.overhead import Burst, cpu_ratio, interval, main, speed_ratio


@pytest.mark.bench
@pytest.mark.engine
def test_supervision_does_not_surely_cost_a_hundredth() -> None:
    assert main(["--pairs", "300", "--idle", "5"]) == 0


def test_the_ratios() -> None:
    pairs = [
        (Burst(98, 0.02), Burst(100, 0.01)),
        (Burst(99, 0.0), Burst(100, 0.01)),
        (Burst(10, 0.01), Burst(100, 0.01)),
    ]
    assert speed_ratio(pairs) == 0.98
    assert cpu_ratio(pairs) == pytest.approx(1.0)
    figure, low, high = interval(pairs, speed_ratio)
    assert (figure, low, high) == (0.98, 0.1, 0.99)
