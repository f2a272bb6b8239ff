"""A GPU that shares the host's memory: counted once, filled first, never beyond what both may have."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from splitter.errors import DoesNotFitError
from splitter.memory.settings import Settings
from splitter.plan.evaluate import evaluate
from splitter.plan.overhead import driver_overhead, no_overhead
from splitter.plan.plan import Plan
from splitter.rig.device import Host, Rig
from splitter.units import MIB
from tests.plan.builders import card, model, plan

MODEL = model(24)  # some 213 MiB of layers


def pooled(free_mib: int, gpu_mib: int | None = None, gb_per_s: float = 273) -> Rig:
    """A machine whose one GPU reads the host's RAM; the driver lets it take `gpu_mib` of it."""
    gpu = replace(card(0, gpu_mib or free_mib, gb_per_s), unified=True)
    total = max(free_mib, gpu.total_bytes // MIB) * MIB
    return Rig("pool", Host(total, free_mib * MIB, gb_per_s * 1e9), (replace(gpu, total_bytes=total),))


def test_the_gpu_wins_the_tie() -> None:
    found = plan(MODEL, pooled(4000), context_size=2048)
    assert (found.settings.gpu_layers, found.settings.device_order) == (25, ("CUDA0",))
    assert found.fits()


@pytest.mark.parametrize("margin_mib", [0, 100])
def test_the_pool_is_counted_once(margin_mib: int) -> None:
    """Whatever the size: host and GPU together stay within what is free, and a little less memory is refused."""

    def found(free_mib: int) -> Plan:
        return plan(MODEL, pooled(free_mib), context_size=2048, margin_mib=margin_mib)

    least = next(free for free in range(700, 100, -20) if refused(found, free - 20))
    assert found(least).pool_used_bytes() + margin_mib * MIB <= least * MIB
    with pytest.raises(DoesNotFitError, match="share one memory"):
        found(least - 20)


def refused(found: Callable[[int], Plan], free_mib: int) -> bool:
    try:
        found(free_mib)
    except DoesNotFitError:
        return True
    return False


def test_what_the_driver_withholds_is_the_hosts() -> None:
    """Metal gives its GPU two thirds: layers beyond them stay on the CPU, in the rest."""
    found = plan(MODEL, pooled(600, gpu_mib=200), context_size=2048)
    assert 0 < (found.settings.gpu_layers or 0) < 25
    assert found.pool_headroom_bytes() is not None
    assert found.fits()


def test_given_settings_that_take_the_memory_twice_do_not_fit() -> None:
    settings = Settings(context_size=2048, gpu_layers=13, device_order=("CUDA0",))
    whole = evaluate(MODEL, pooled(2000), settings, margin_bytes=(0,), overhead=no_overhead)
    assert whole.fits()
    tight = evaluate(
        MODEL, pooled(whole.pool_used_bytes() // MIB - 10), settings, margin_bytes=(0,), overhead=no_overhead
    )
    assert tight.devices[0].headroom_bytes() >= 0  # each alone has room
    assert tight.footprint.host.used_bytes() <= (tight.rig.host.ram_free_bytes or 0)
    assert not tight.fits()
    assert [notice.code for notice in tight.warnings][:1] == ["unified_memory"]


def test_the_context_is_called_by_its_backend() -> None:
    host = Host()
    assert driver_overhead(card(0, 8000), host)[0][0] == "CUDA context"
    assert driver_overhead(replace(card(0, 8000), id="Vulkan0"), host)[0][0] == "Vulkan context"
