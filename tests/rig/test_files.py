"""Rig files: what is written is obeyed, what is missing is filled and named, what is wrong is refused with a hint."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from splitter.errors import RigError
from splitter.rig.defaults import default_free_bytes
from splitter.rig.device import Device, Host, Rig
from splitter.rig.files import dump_rig, load_catalog, load_rig, rig_from_gpus, shipped_rigs
from splitter.rig.rig_file import parse_rig
from splitter.units import GIB, MIB
from tests.engine.oracle import RIGS


def parse(text: str, system: str = "linux") -> Rig:
    return parse_rig(text, "rig.yaml", "rig", load_catalog(), system)


def refusal(text: str) -> str:
    with pytest.raises(RigError) as caught:
        parse(text)
    return f"{caught.value.message} | {caught.value.hint}"


@pytest.mark.parametrize("name", sorted(RIGS))
def test_the_shipped_rigs_are_the_oracles(name: str) -> None:
    rig = load_rig(name)
    told = tuple(
        (d.name, d.total_bytes // MIB, d.free_bytes // MIB, (d.bandwidth_bytes_per_s or 0) / 1e9) for d in rig.devices
    )
    assert told == RIGS[name]
    assert rig.name == name
    assert [d.id for d in rig.devices] == [f"CUDA{i}" for i in range(len(told))]
    assert rig.host.ram_total_bytes is not None
    assert rig.host.ram_free_bytes is not None
    assert all(d.compute_capability and d.sm_count and d.fp16_flops for d in rig.devices)


def test_phoenix_is_the_designs() -> None:
    rig = load_rig("phoenix")
    assert rig.host == Host(65536 * MIB, 60000 * MIB, 60e9, 12, "windows")
    assert [d.display for d in rig.devices] == [True, None, None]
    assert rig.devices[0].sources["compute_capability"] == "rig file"
    assert rig.devices[1].compute_capability == "7.5"
    assert rig.devices[1].sources["compute_capability"] == "catalog"


def test_there_are_at_least_seven_shipped_rigs() -> None:
    assert set(RIGS) <= set(shipped_rigs())


def test_a_rig_needs_no_more_than_names_and_sizes() -> None:
    rig = parse("devices: [{name: RTX 3060, total_mib: 12288}, {name: RX 580, total_mib: 8192}]", "windows")
    nvidia, amd = rig.devices
    assert (nvidia.id, amd.id) == ("Vulkan0", "Vulkan1")  # one build of llama-server serves one backend
    assert nvidia.bandwidth_bytes_per_s == 360e9
    assert nvidia.sources == {
        "name": "rig file", "total_bytes": "rig file", "id": "default", "free_bytes": "default",
        "bandwidth_bytes_per_s": "catalog", "compute_capability": "catalog", "sm_count": "catalog",
        "fp16_flops": "catalog", "link_bytes_per_s": "catalog"}  # fmt: skip
    assert nvidia.free_bytes == default_free_bytes(12 * GIB, None, "windows")
    assert (rig.host.os, rig.host.ram_total_bytes, rig.host.ram_bandwidth_bytes_per_s) == ("windows", None, 40e9)
    assert rig.host.sources == {"os": "default", "ram_bandwidth_bytes_per_s": "default"}


def test_a_card_nobody_knows_stays_unknown() -> None:
    (device,) = parse("devices: [{name: Voodoo 9, total_mib: 4096}]").devices
    assert (device.id, device.bandwidth_bytes_per_s, device.compute_capability) == ("CUDA0", None, None)


def test_what_the_file_says_beats_the_catalog() -> None:
    (device,) = parse("devices: [{name: RTX 3060, total_mib: 12288, gb_per_s: 300, free_mib: 0}]").devices
    assert (device.bandwidth_bytes_per_s, device.free_bytes) == (300e9, 0)


def test_default_free_memory_leaves_room_for_driver_and_desktop() -> None:
    assert default_free_bytes(12 * GIB, None, "linux") == 12042 * MIB
    assert default_free_bytes(12 * GIB, True, "linux") == 11642 * MIB
    assert default_free_bytes(12 * GIB, True, "windows") == 11342 * MIB
    assert default_free_bytes(256 * MIB, True, "windows") == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no list of devices"),
        ("[]", "no list of devices"),
        ("devices: 3", "no list of devices"),
        ("nme: x\ndevices: []", "'nme' is not a key | did you mean 'name'?"),
        ("host: {ram_mb: 1}\ndevices: []", "'ram_mb' is not a key | did you mean 'ram_mib'?"),
        ("host: [1]\ndevices: []", "host must hold keys"),
        ("devices: [{total_mib: 1}]", "device 1 has no name"),
        ("devices: [{name: RTX 3060}]", "device 1 has no total_mib"),
        ("devices: [RTX 3060]", "device 1 must hold keys"),
        ("devices: [{name: a, total_mib: 1, free_mb: 1}]", "did you mean 'free_mib'?"),
        ("devices: [{name: a, total_mib: '4 GB'}]", "total_mib must be a number, not '4 GB'"),
        ("devices: [{name: a, total_mib: .nan}]", "total_mib must lie between"),
        ("devices: [{name: a, total_mib: -1}]", "total_mib must lie between"),
        ("devices: [{name: a, total_mib: true}]", "total_mib must be a number"),
        ("devices: [{name: 1060, total_mib: 6144}]", "name must be a text, not 1060"),
        ("devices: [{name: a, total_mib: 100, free_mib: 101}]", "free_mib is more than total_mib"),
        ("devices: [{name: a, total_mib: 1, id: CUDA1}, {name: b, total_mib: 1}]", "the id CUDA1 is taken"),
        ("devices: [{name: a, total_mib: 1, id: 'CUDA0,CUDA1'}]", "id must be the engine's name"),
        ("devices: [{name: a, total_mib: 1, compute_capability: new}]", 'must look like "8.6"'),
        ("devices: [{name: a, total_mib: 1, display: 1}]", "display must be true or false"),
        ("devices: [{name: a, total_mib: 1, sm_count: 2.5}]", "sm_count must be a whole number"),
        ("host: {os: plan9}\ndevices: []", "os must be one of linux, windows, macos"),
        ("host: {ram_mib: 1, ram_free_mib: 2}\ndevices: []", "ram_free_mib is more"),
        ("name: [a]\ndevices: []", "name must be a text"),
        ("name: a\nname: b\ndevices: []", "line 2: 'name' is given twice"),
        ("1: a\ndevices: []", "'1' is not a key"),
        ("devices: [&a {name: x, total_mib: 1}, *a]", "anchors and aliases are not allowed"),
        ("devices: [{name: x", "is not valid YAML"),
        (
            "name: !!python/name:os.system\ndevices: []",
            "the tag tag:yaml.org,2002:python/name:os.system is not allowed",
        ),
        (
            "name: !!python/object/apply:os.system ['true']\ndevices: []",
            "the tag tag:yaml.org,2002:python/object/apply:os.system",
        ),
        ("name: \x00", "is not valid YAML"),
        ("devices: " + "[" * 60000, "nested deeper than 8 levels"),
        ("#" * 70000, "larger than 65536 bytes"),
        ("devices:\n" + "- {name: a, total_mib: 1}\n" * 65, "lists 65 devices"),
    ],
)
def test_what_is_wrong_is_said(text: str, said: str) -> None:
    assert said in refusal(text)


def test_a_repeated_id_among_defaults_is_refused_not_shuffled() -> None:
    assert "taken" in refusal("devices: [{name: a, total_mib: 1, id: CUDA1}, {name: b, total_mib: 1, id: CUDA1}]")


def test_files_by_path_and_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mein rig ü.yaml"
    path.write_text("\ufeffdevices: [{name: RTX 3090, total_mib: 24576}]\n", encoding="utf-8")
    assert load_rig(str(path)).name == "mein rig ü"
    for name, said in (("phenix", "'phoenix'"), ("./phoenix.yaml", "--save"), ("zzz", "mining-four")):
        with pytest.raises(RigError) as caught:
            load_rig(name)
        assert said in caught.value.hint
    binary = tmp_path / "model.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RigError, match="not UTF-8"):
        load_rig(str(binary))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "phoenix").mkdir()
    assert load_rig("phoenix").devices, "a folder of that name does not hide the shipped rig"


def test_gpus_make_a_rig_on_this_host() -> None:
    rig = rig_from_gpus("1050ti,2080,1060-6gb")
    assert [(d.id, d.name, d.total_bytes // MIB) for d in rig.devices] == [
        ("CUDA0", "NVIDIA GeForce GTX 1050 Ti", 4096),
        ("CUDA1", "NVIDIA GeForce RTX 2080", 8192),
        ("CUDA2", "NVIDIA GeForce GTX 1060 6GB", 6144),
    ]
    assert [d.sources["total_bytes"] for d in rig.devices] == ["catalog", "catalog", "given"]
    assert all(d.bandwidth_bytes_per_s and d.free_bytes < d.total_bytes for d in rig.devices)
    assert rig.host.ram_total_bytes
    assert [d.id for d in rig_from_gpus("2x3090,rx580,a770,p40").devices] == [
        "Vulkan0", "Vulkan1", "Vulkan2", "Vulkan3", "Vulkan4"]  # fmt: skip


@pytest.mark.parametrize("name", sorted(RIGS))
def test_a_saved_rig_loads_back(name: str) -> None:
    rig = load_rig(name)
    assert parse(dump_rig(rig)) == rig


def test_a_saved_file_tells_what_was_assumed() -> None:
    text = dump_rig(rig_from_gpus("3060:12g"))
    assert "default: free_mib" in text
    assert "catalog: gb_per_s" in text
    assert parse(text).devices[0].sources["free_bytes"] == "rig file"


rates = st.floats(0.5, 9000).map(lambda gb: float(round(gb * 1e9)))
flops = rates.map(lambda rate: rate * 200)
sizes = st.integers(MIB, 200 * GIB)
names = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), min_size=1).filter(
    lambda name: name.isprintable() and name.strip() == name
)


@st.composite
def devices(draw: st.DrawFn) -> Device:
    total = draw(sizes)
    return Device(
        "CUDA0", draw(names), total, draw(st.integers(0, total)), draw(rates),
        draw(st.sampled_from(["6.1", "12.0"])), draw(st.integers(1, 200)), draw(flops), draw(rates),
        draw(st.sampled_from([True, False])), "GPU-1", "00000000:01:00.0")  # fmt: skip


@settings(max_examples=60)
@given(names, st.lists(devices(), max_size=4), st.one_of(st.none(), sizes), st.one_of(st.none(), st.integers(1, 256)))
def test_any_rig_survives_saving(name: str, made: list[Device], ram: int | None, cores: int | None) -> None:
    numbered = tuple(replace(device, id=f"CUDA{i}") for i, device in enumerate(made))
    rig = Rig(name, Host(ram, ram, 40e9, cores, "windows"), numbered)
    assert parse(dump_rig(rig)) == rig
