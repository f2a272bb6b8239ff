"""Names that people and drivers write, 199 collected and more of the same kinds: each its card, or the choices."""

import time
from pathlib import Path

import pytest

from splitter.errors import RigError
from splitter.rig.card_name import split_list
from splitter.rig.catalog import find, resolve
from splitter.rig.files import known_cards, load_catalog, rig_from_gpus
from splitter.units import GIB, MIB

CATALOG = load_catalog()
NAMES = Path(__file__).with_name("card_names.txt").read_text(encoding="utf-8").splitlines()
# Sold with several sizes: without one the user is asked, for the plan differs.
AMBIGUOUS = {
    "5060ti": ("5060 Ti 8GB", "5060 Ti 16GB"),
    "4060ti": ("4060 Ti 8GB", "4060 Ti 16GB"),
    "A100": ("A100-PCIE-40GB", "A100 80GB PCIe", "A100-SXM4-80GB"),
    "V100": ("V100-PCIE-16GB", "V100-PCIE-32GB", "V100-SXM2-32GB"),
}


def test_every_collected_name_is_a_card_or_names_the_choices() -> None:
    asked = {}
    for text in NAMES:
        try:
            assert all(resolve(CATALOG, name) for name in split_list(text))
        except RigError as error:
            asked[text] = error.hint
    assert asked.keys() == AMBIGUOUS.keys()
    for text, choices in AMBIGUOUS.items():
        assert all(choice in asked[text] for choice in choices)


@pytest.mark.parametrize(
    ("text", "name", "gib"),
    [
        # mining, old, datacentre
        ("K80", "Tesla K80", 11.2),
        ("K40", "Tesla K40m", 12),
        ("M4000", "Quadro M4000", 8),
        ("750 Ti", "NVIDIA GeForce GTX 750 Ti", 2),
        ("P102-100 10GB", "NVIDIA P102-100 10GB", 10),
        ("CMP 170HX", "NVIDIA CMP 170HX", 8),
        ("CMP 100-210", "NVIDIA CMP 100-210", 16),
        ("MI300X", "AMD Instinct MI300X", 192),
        ("MI355X", "AMD Instinct MI355X", 288),
        ("GH200", "NVIDIA GH200 96GB", 95.6),
        ("NVIDIA GH200 480GB", "NVIDIA GH200 96GB", 95.6),
        ("B200", "NVIDIA B200", 180),
        ("H20", "NVIDIA H20", 95.6),
        ("L20", "NVIDIA L20", 45),
        ("RTX 6000 Pro", "NVIDIA RTX PRO 6000 Blackwell Workstation Edition", 95.6),
        # laptops
        ("RTX 3060 6GB", "NVIDIA GeForce RTX 3060 Laptop GPU", 6),
        ("RTX 4090 16GB", "NVIDIA GeForce RTX 4090 Laptop GPU", 16),
        ("RTX 3080 Max-Q", "NVIDIA GeForce RTX 3080 8GB Laptop GPU", 8),
        ("RTX 2070 mobile", "NVIDIA GeForce RTX 2070 Laptop GPU", 8),
        ("RTX PRO 4000 laptop", "NVIDIA RTX PRO 4000 Blackwell Generation Laptop GPU", 16),
        # modified memory
        ("2080ti 22g", "NVIDIA GeForce RTX 2080 Ti", 22),
        ("RTX 3080 20GB", "NVIDIA GeForce RTX 3080 10GB", 20),
        ("4090 48GB", "NVIDIA GeForce RTX 4090", 48),
        ("3070 16GB", "NVIDIA GeForce RTX 3070", 16),
        # board makers
        ("MSI GeForce RTX 3060 Ventus 2X 12G OC", "NVIDIA GeForce RTX 3060 12GB", 12),
        ("ASUS ROG Strix RTX 4090 OC", "NVIDIA GeForce RTX 4090", 24),
        ("Sapphire Nitro+ RX 6800 XT", "AMD Radeon RX 6800 XT", 16),
        ("EVGA RTX 3080 FTW3 10GB", "NVIDIA GeForce RTX 3080 10GB", 10),
        # what drivers print
        ("AMD Radeon RX 7900 XTX (RADV NAVI31)", "AMD Radeon RX 7900 XTX", 24),
        ("Intel(R) Arc(TM) A770 Graphics (DG2)", "Intel Arc A770 16GB", 16),
        ("Intel(R) Arc(tm) 140V GPU (16GB)", "Intel Arc 140V GPU", None),
        ("Intel(R) Arc(tm) Graphics", "Intel Arc Graphics", None),
        ("AMD Radeon Graphics (RADV GFX1151)", "AMD Radeon 8060S", 128),
        ("AMD Radeon 780M Graphics (RADV PHOENIX)", "AMD Radeon 780M", None),
        ("AMD RYZEN AI MAX+ 395 w/ Radeon 8060S", "AMD Radeon 8060S", 128),
        ("NVIDIA Thor", "NVIDIA Jetson AGX Thor", 123),
        # integrated
        ("8060S", "AMD Radeon 8060S", 128),
        ("680M", "AMD Radeon 680M", None),
        ("Vega 8", "AMD Radeon Vega 8 Graphics", None),
        ("UHD 770", "Intel UHD Graphics 770", None),
        ("M3 Max 128GB", "Apple M3 Max", 128),
        ("M4", "Apple M4", 16),
        ("Apple M1", "Apple M1", 16),
        ("DGX Spark", "NVIDIA GB10", 120),
        ("Jetson Orin Nano", "NVIDIA Jetson Orin Nano 8GB", 7.4),
    ],
)
def test_more_names_of_the_same_kinds(text: str, name: str, gib: float | None) -> None:
    card = resolve(CATALOG, text)
    assert card.name == name
    assert (card.total_bytes is None) == (gib is None)
    assert card.total_bytes is None or card.total_bytes == pytest.approx((gib or 0) * GIB, rel=0.03)


@pytest.mark.parametrize(
    ("text", "near", "never"),
    [
        ("K90", "Tesla K80", "Arc"),
        ("8070S", "Radeon 8060S", "RTX"),
        ("M6 Max", "Apple M3 Max", "Tesla"),
        ("RX 7950 XTX", "RX 7900 XTX", "GeForce"),
        ("RTX 4095", "RTX 4090", "Radeon"),
        ("CMP 60HX", "CMP 50HX", "Tesla"),
    ],
)
def test_an_unknown_name_names_cards_of_its_kind(text: str, near: str, never: str) -> None:
    with pytest.raises(RigError) as caught:
        resolve(CATALOG, text)
    assert near in caught.value.hint
    assert never not in caught.value.hint


def test_a_jetson_is_told_by_the_memory_that_its_driver_shows() -> None:
    card = find(CATALOG, "Orin", 62841 * MIB)
    assert card is not None
    assert card.name == "NVIDIA Jetson AGX Orin 64GB"


def test_ryzen_ai_max_plus_is_one_card_and_a_plus_divides_others() -> None:
    assert split_list("Ryzen AI Max+ 395, rtx 3090") == ("Ryzen AI Max+ 395", "rtx 3090")
    assert split_list("3090+3060") == ("3090", "3060")


def test_cards_are_listed_by_any_words_of_their_names() -> None:
    assert {card.name for card in known_cards("radeon 7900")} >= {"AMD Radeon RX 7900 XT", "AMD Radeon RX 7900 XTX"}
    assert [card.name for card in known_cards("dgx spark")] == ["NVIDIA GB10"]
    assert known_cards() == CATALOG.cards
    assert known_cards("zzz") == ()


def test_every_figure_has_a_source_and_the_rates_belong_to_the_chip() -> None:
    by_name = {card.name: card for card in CATALOG.cards}
    assert len(by_name) > 600
    assert all(card.source.startswith("https://") for card in CATALOG.cards)
    assert by_name["NVIDIA GeForce RTX 3090"].int8_ops == pytest.approx(284e12, rel=0.01)  # NVIDIA's GA102 white paper
    assert by_name["NVIDIA A100-SXM4-80GB"].int8_ops == pytest.approx(624e12, rel=0.01)
    assert by_name["Tesla P40"].int8_ops == pytest.approx(47e12, rel=0.02)
    assert by_name["NVIDIA H100 80GB HBM3"].int8_ops == pytest.approx(1979e12, rel=0.01)
    assert by_name["AMD Instinct MI300X"].int8_ops == pytest.approx(2614.9e12, rel=0.01)
    assert by_name["AMD Radeon RX 9070 XT"].int8_ops == pytest.approx(389e12, rel=0.01)


def test_a_name_is_found_in_a_few_milliseconds() -> None:
    start = time.perf_counter()
    rig_from_gpus("1050ti,2080,1060-6gb,k80,8x3090")
    assert time.perf_counter() - start < 0.5
