"""The card table agrees with itself and with known cards; names find the card they mean."""

import time
from collections import Counter
from pathlib import Path

import pytest
import yaml

from splitter.errors import RigError
from splitter.rig import catalog as module
from splitter.rig.card_name import read_name, split_list
from splitter.rig.catalog import Card, find, matches, nearest_names, parse_catalog, resolve
from splitter.rig.files import load_catalog, rig_from_gpus
from splitter.units import GIB, MIB

CATALOG = load_catalog()


def by_name(name: str) -> Card:
    return CATALOG.card(name)


def test_it_holds_many_cards_of_every_maker() -> None:
    makers = Counter(card.vendor for card in CATALOG.cards)
    assert makers["nvidia"] >= 150
    assert makers["amd"] >= 50
    assert makers["intel"] >= 12


def test_bandwidth_is_bus_times_data_rate() -> None:
    ratios = {c.name: c.bandwidth_bytes_per_s / (c.bus_bits * c.data_rate_gbps * 1e9 / 8) for c in CATALOG.cards}
    assert [name for name, ratio in ratios.items() if abs(ratio - 1) > 0.02] == []


def test_rows_are_plausible() -> None:
    assert [card.name for card in CATALOG.cards if not is_plausible(card)] == []


def is_plausible(card: Card) -> bool:
    # FP32 lanes per SM (64 or 128, dual-issue AMD 256) x 2 FLOP x a clock between 0.6 and 3.5 GHz
    per_sm = card.fp32_flops / card.sm_count
    return (
        (card.unified if card.total_bytes is None else GIB <= card.total_bytes <= 288 * GIB)
        and 14e9 <= card.bandwidth_bytes_per_s <= 8e12
        and 0.2e12 <= card.fp32_flops <= 165e12
        and card.fp16_flops >= card.fp32_flops * 0.97
        and card.int8_ops >= card.fp32_flops * 0.97
        and 1 <= card.sm_count <= 304
        and (card.compute_capability is not None) == (card.vendor == "nvidia")
        and card.source.startswith("https://")
        and 0.6e9 * 128 * 0.9 < per_sm < 3.5e9 * 256
    )


def test_names_and_aliases_are_unique_and_aliases_lead_somewhere() -> None:
    names = [card.name for card in CATALOG.cards]
    assert len(names) == len(set(names))
    assert not set(CATALOG.aliases) & set(names)
    assert set(CATALOG.aliases.values()) <= set(names)


def test_every_card_is_found_by_its_own_name_and_size() -> None:
    assert [c.name for c in CATALOG.cards if find(CATALOG, c.name, c.total_bytes) != c] == []
    assert [c.name for c in CATALOG.cards if resolve(CATALOG, c.name) != c] == []


def test_every_alias_names_its_card() -> None:
    for alias, name in CATALOG.aliases.items():
        assert resolve(CATALOG, alias).name == name


@pytest.mark.parametrize(
    ("name", "mib", "gb_per_s", "bus", "sms", "capability"),
    [
        ("NVIDIA GeForce GTX 1050 Ti", 4096, 112, 128, 6, "6.1"),
        ("NVIDIA GeForce GTX 1060 6GB", 6144, 192, 192, 10, "6.1"),
        ("NVIDIA GeForce RTX 2080", 8192, 448, 256, 46, "7.5"),
        ("NVIDIA GeForce GTX 1080 Ti", 11264, 484, 352, 28, "6.1"),
        ("NVIDIA GeForce RTX 3060 12GB", 12288, 360, 192, 28, "8.6"),
        ("NVIDIA GeForce RTX 3090", 24576, 936, 384, 82, "8.6"),
        ("NVIDIA GeForce RTX 4090", 24564, 1008, 384, 128, "8.9"),
        ("NVIDIA GeForce RTX 5090", 32607, 1792, 512, 170, "12.0"),
        ("Tesla P40", 24576, 347, 384, 30, "6.1"),
        ("Tesla P100-PCIE-16GB", 16384, 732, 4096, 56, "6.0"),
        ("NVIDIA H200", 143771, 4890, 6144, 132, "9.0"),
        ("AMD Radeon RX 7900 XTX", 24576, 960, 384, 96, None),
        ("AMD Radeon RX 6700 XT", 12288, 384, 192, 40, None),
        ("Intel Arc A770 16GB", 16384, 560, 256, 32, None),
        ("Intel Arc B580", 12288, 456, 192, 20, None),
    ],
)
def test_known_cards(name: str, mib: int, gb_per_s: float, bus: int, sms: int, capability: str | None) -> None:
    card = by_name(name)
    assert (card.total_bytes, card.bus_bits, card.sm_count) == (mib * MIB, bus, sms)
    assert card.compute_capability == capability
    assert card.bandwidth_bytes_per_s == pytest.approx(gb_per_s * 1e9, rel=0.01)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("1050ti", "NVIDIA GeForce GTX 1050 Ti"),
        ("2080", "NVIDIA GeForce RTX 2080"),
        ("1060-6gb", "NVIDIA GeForce GTX 1060 6GB"),
        ("GTX 1060 6GB", "NVIDIA GeForce GTX 1060 6GB"),
        ("1060:3g", "NVIDIA GeForce GTX 1060 3GB"),
        ("NVIDIA GeForce RTX 3060", "NVIDIA GeForce RTX 3060 12GB"),
        ("3060 8GB", "NVIDIA GeForce RTX 3060 8GB"),
        ("3060 laptop", "NVIDIA GeForce RTX 3060 Laptop GPU"),
        ("rx 6700xt", "AMD Radeon RX 6700 XT"),
        ("AMD Radeon RX 6700 XT (RADV NAVI22)", "AMD Radeon RX 6700 XT"),
        ("AMD Radeon RX 580 Series", "AMD Radeon RX 580 8GB"),
        ("arc a770 16gb", "Intel Arc A770 16GB"),
        ("Intel(R) Arc(TM) A770 Graphics", "Intel Arc A770 16GB"),
        ("P40", "Tesla P40"),
        ("p4", "Tesla P4"),
        ("2080s", "NVIDIA GeForce RTX 2080 SUPER"),
        ("4070 ti super", "NVIDIA GeForce RTX 4070 Ti SUPER"),
        ("4060ti 16gb", "NVIDIA GeForce RTX 4060 Ti 16GB"),
        ("gt1030", "NVIDIA GeForce GT 1030"),
        ("1650", "NVIDIA GeForce GTX 1650"),
        ("a4000", "NVIDIA RTX A4000"),
        ("rtx 6000 ada", "NVIDIA RTX 6000 Ada Generation"),
        ("rtx pro 6000", "NVIDIA RTX PRO 6000 Blackwell Workstation Edition"),
        ("radeon vii", "AMD Radeon VII"),
        ("mi50 32gb", "AMD Radeon Instinct MI50 32GB"),
        ("v100-32gb", "Tesla V100-PCIE-32GB"),
        ("l40s", "NVIDIA L40S"),
    ],
)
def test_what_people_and_drivers_write(text: str, name: str) -> None:
    assert resolve(CATALOG, text).name == name


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("1060", ("1060 3GB", "1060 6GB")),
        ("4060ti", ("4060 Ti 8GB", "4060 Ti 16GB")),
        ("rtx 4000", ("Quadro RTX 4000", "RTX A4000", "RTX 4000 Ada")),
        ("7900", ("7900 XT", "7900 XTX", "7900 GRE")),
        ("v100", ("16GB", "32GB")),
    ],
)
def test_a_name_that_fits_several_cards_names_them(text: str, named: tuple[str, ...]) -> None:
    with pytest.raises(RigError) as caught:
        resolve(CATALOG, text)
    assert all(name in caught.value.hint for name in named)


@pytest.mark.parametrize(
    ("text", "near"), [("gtx 1061", "1060"), ("rtx 3095", "3090"), ("arc b590", "B580"), ("radeon 6700xtx", "6700 XT")]
)
def test_an_unknown_name_names_the_nearest(text: str, near: str) -> None:
    with pytest.raises(RigError) as caught:
        resolve(CATALOG, text)
    assert near in caught.value.hint
    assert "--rig" in caught.value.hint


@pytest.mark.parametrize("text", ["rtx", "geforce", "NVIDIA", "zzz", "!!!", "NVIDIA A100-SXM4-80GB MIG 1g.10gb"])
def test_brands_alone_and_parts_of_cards_are_no_card(text: str) -> None:
    assert matches(CATALOG, text) == ()


def test_a_given_size_makes_a_modified_card() -> None:
    card = resolve(CATALOG, "2080ti:22g")
    assert card.total_bytes == 22 * GIB
    assert card.bandwidth_bytes_per_s == by_name("NVIDIA GeForce RTX 2080 Ti").bandwidth_bytes_per_s


@pytest.mark.parametrize(
    ("name", "mib", "found"),
    [
        ("NVIDIA GeForce RTX 3080", 12288, "NVIDIA GeForce RTX 3080 12GB"),
        ("NVIDIA GeForce RTX 3080", 10240, "NVIDIA GeForce RTX 3080 10GB"),
        ("NVIDIA GeForce RTX 3080 Laptop GPU", 16384, "NVIDIA GeForce RTX 3080 16GB Laptop GPU"),
        ("GTX 1060", 6144, "NVIDIA GeForce GTX 1060 6GB"),
        ("RTX 2080", 11264, "NVIDIA GeForce RTX 2080"),
        ("Tesla P40", 22919, "Tesla P40"),
        ("Tesla T4", 14910, "Tesla T4"),
        ("NVIDIA RTX A2000", 12282, "NVIDIA RTX A2000 12GB"),
    ],
)
def test_the_drivers_total_chooses_the_size(name: str, mib: int, found: str) -> None:
    card = find(CATALOG, name, mib * MIB)
    assert card is not None
    assert card.name == found


def test_lists_unfold_multiplicities() -> None:
    assert split_list("1050ti,2080, 1060-6gb") == ("1050ti", "2080", "1060-6gb")
    assert split_list("2x3090,p40") == ("3090", "3090", "p40")
    assert split_list("3090*2, rx 6700 x2, 4 x rtx 3090") == ("3090",) * 2 + ("rx 6700",) * 2 + ("rtx 3090",) * 4
    assert split_list("rtx 2080,titan x,rx 580") == ("rtx 2080", "titan x", "rx 580")


@pytest.mark.parametrize("text", ["", " ", "3090,,p40", "3090,", "0x3090", "99x3090"])
def test_lists_that_cannot_be_meant(text: str) -> None:
    with pytest.raises(RigError):
        split_list(text)


def test_names_are_read_into_words_and_a_size() -> None:
    assert read_name("NVIDIA GeForce RTX 2070 Super with Max-Q Design").words == (
        "geforce", "rtx", "2070", "super", "max", "q")  # fmt: skip
    assert read_name("1060 6144 MiB").size_bytes == 6 * GIB
    assert read_name("MX150").size_bytes is None
    assert nearest_names(CATALOG, "") == ()


def test_both_yaml_loaders_read_the_same_and_the_fast_one_is_fast() -> None:
    text = Path(module.__file__).with_name("catalog.yaml").read_text(encoding="utf-8")
    assert parse_catalog(yaml.safe_load(text)) == CATALOG
    best = min(_timed(text) for _ in range(5))
    assert best < 0.2  # 10-20 ms on the machine it was written on, where 50 is the budget


def _timed(text: str) -> float:
    start = time.perf_counter()
    parse_catalog(yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    return time.perf_counter() - start


def test_public_measurements_name_known_cards() -> None:
    """The scoreboards' rows, each of a card of the table; a plan finds them on the device."""
    data = yaml.safe_load((Path(module.__file__).with_name("catalog.yaml")).read_text(encoding="utf-8"))
    names = {card.name for card in CATALOG.cards}
    assert [row[0] for board in data["measured"] for row in board["cards"] if row[0] not in names] == []
    device = rig_from_gpus("p40").devices[0]
    assert [(speed.backend, speed.generation_tokens_per_s) for speed in device.measured] == [("CUDA", 53.73)]
    assert device.family is not None
    assert "Pascal" in device.family
    assert device.backend == "CUDA"
