"""The context overhead against what was published for real cards."""

import pytest

from splitter.memory.overhead import device_overhead
from splitter.units import GIB, MIB

# card, SMs, compute capability, GiB, published MiB (highest)
PUBLISHED = (
    ("RTX 3060", 28, "8.6", 12, 136),
    ("RTX 4070", 46, "8.9", 12, 169),
    ("Tesla P40", 30, "6.1", 24, 148),
    ("RTX 3090", 82, "8.6", 24, 291),
    ("RTX 4090", 128, "8.9", 24, 472),
    ("RTX PRO 6000", 188, "12.0", 96, 561),
    ("Tesla P100", 56, "6.0", 16, 294),
)


@pytest.mark.parametrize(("name", "sms", "capability", "gib", "published"), PUBLISHED)
def test_context_is_not_below_what_was_published(
    name: str, sms: int, capability: str, gib: int, published: int
) -> None:
    parts = dict(device_overhead(gib * GIB, sm_count=sms, compute_capability=capability))
    off = parts["CUDA context"] / MIB - published
    print(f"{name:14s} ours {parts['CUDA context'] / MIB:5.0f} published {published:4d} difference {off:+5.0f} MiB")
    assert -8 <= off <= 120


def test_a_small_card_keeps_its_memory() -> None:
    parts = device_overhead(4 * GIB, sm_count=6, compute_capability="6.1", display=True)
    assert sum(size for _, size in parts) < 180 * MIB


def test_each_part_is_named_and_appears_only_where_it_applies() -> None:
    plain = device_overhead(8 * GIB)
    assert [name for name, _ in plain] == ["CUDA context", "growth while running"]
    desktop = device_overhead(8 * GIB, os="windows", display=True)
    assert [name for name, _ in desktop][2:] == ["Windows reserve", "display reserve"]
    assert dict(device_overhead(24 * GIB, os="windows"))["Windows reserve"] > 1200 * MIB


def test_an_h200_holds_less_than_is_kept_for_it() -> None:
    """596 MiB beside the buffers when it had loaded, 650 after a prompt of 8000 tokens (tests/gpu/real_loads.py)."""
    kept = sum(size for _, size in device_overhead(143155 * MIB, sm_count=132, compute_capability="9.0"))
    assert 650 * MIB <= kept < 800 * MIB
