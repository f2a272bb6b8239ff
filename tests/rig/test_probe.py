"""The engine's listing and what is made of it."""

import stat
from pathlib import Path

import pytest

from splitter.errors import EngineError
from splitter.rig.backend import prefix_of
from splitter.rig.combine import combine, is_integrated
from splitter.rig.device import Device
from splitter.rig.files import load_catalog
from splitter.rig.listed import ListedDevice, parse_listing
from splitter.rig.listing import list_devices
from splitter.rig.nvml_devices import Detection
from splitter.rig.probe import probe_rig
from splitter.units import MIB
from tests.engine.oracle import RIGS, engine_dir

CATALOG = load_catalog()


def listed(*lines: str) -> tuple[ListedDevice, ...]:
    rows = parse_listing("Available devices:\n" + "\n".join(f"  {line}" for line in lines))
    assert rows is not None
    return rows


def test_lines_as_engines_print_them() -> None:
    # the second and third block: ggml-org/llama.cpp issues 16659 and 10929
    text = """ggml_cuda_init: found 1 CUDA devices (Total VRAM: 2002 MiB):
  Device 0: NVIDIA GeForce 940MX, compute capability 5.0, VMM: yes, VRAM: 2002 MiB
Available devices:
  CUDA0: NVIDIA GeForce 940MX (2002 MiB, 1974 MiB free)
  Vulkan0: AMD Radeon RX 6700 XT (RADV NAVI22) (12272 MiB, 11000 MiB free)
  SYCL0: Intel(R) HD Graphics 620 (29588 MiB, 29588 MiB free)
  ROCm1: AMD Radeon Graphics (512 MiB, 400 MiB free)
  Metal: Apple M2 Max (21845 MiB, 21845 MiB free)
  RPC[192.168.1.2:50052]: RPC[192.168.1.2:50052] (8192 MiB, 8000 MiB free)
  BLAS: OpenBLAS (0 MiB, 0 MiB free)
"""
    rows = parse_listing(text.replace("\n", "\r\n"))
    assert rows is not None
    assert [row.id for row in rows] == ["CUDA0", "Vulkan0", "SYCL0", "ROCm1", "Metal", "RPC[192.168.1.2:50052]"]
    assert rows[0] == ListedDevice("CUDA0", "NVIDIA GeForce 940MX", 2002 * MIB, 1974 * MIB)
    assert rows[1].name == "AMD Radeon RX 6700 XT (RADV NAVI22)"
    assert [prefix_of(row.id) for row in rows] == ["CUDA", "Vulkan", "SYCL", "ROCm", "Metal", "RPC"]


def test_an_empty_listing_is_not_a_missing_one() -> None:
    assert parse_listing("Available devices:\n  (none)\n") == ()
    assert parse_listing("error: invalid argument: --list-devices") is None


def test_the_drivers_facts_go_to_the_same_card() -> None:
    driver = tuple(
        Device(f"CUDA{i}", name, 24576 * MIB, 24000 * MIB, 930e9, uuid=uuid, display=i == 0,
               sources={"bandwidth_bytes_per_s": "nvml", "uuid": "nvml", "display": "nvml"})
        for i, (name, uuid) in enumerate((("NVIDIA GeForce RTX 3090", "GPU-a"), ("Tesla P40", "GPU-p"),
                                          ("NVIDIA GeForce RTX 3090", "GPU-b")))
    )  # fmt: skip
    rows = listed("CUDA0: NVIDIA GeForce RTX 3090 (24135 MiB, 23000 MiB free)",
                  "CUDA1: Tesla P40 (24445 MiB, 24200 MiB free)",
                  "CUDA2: NVIDIA GeForce RTX 3090 (24135 MiB, 23800 MiB free)")  # fmt: skip
    found = combine(rows, driver, CATALOG).devices
    assert [(d.id, d.uuid, d.display) for d in found] == [
        ("CUDA0", "GPU-a", True), ("CUDA1", "GPU-p", False), ("CUDA2", "GPU-b", False)]  # fmt: skip
    assert (found[2].total_bytes, found[2].free_bytes) == (24135 * MIB, 24000 * MIB)
    assert found[0].bandwidth_bytes_per_s == 930e9
    assert found[0].sources["free_bytes"] == "engine"
    assert found[0].sources["bandwidth_bytes_per_s"] == "nvml"
    assert found[0].sources["compute_capability"] == "catalog"


@pytest.mark.parametrize(
    ("listed_mib", "driver_mib", "free_mib", "source"),
    [
        (142629, 143156, 143155, "nvml"),
        (140000, 140500, 140500, "nvml"),
        (142629, 142000, 142629, "engine"),
        (141000, 143156, 141000, "engine"),
    ],
)
def test_free_memory_is_told_before_the_engine_opens_its_context(
    listed_mib: int, driver_mib: int, free_mib: int, source: str
) -> None:
    """The first are an H200's; a driver that sees far more, or less, does not speak of the same moment."""
    card = Device("CUDA0", "NVIDIA H200", 143771 * MIB, driver_mib * MIB, sources={"free_bytes": "nvml"})
    (found,) = combine(listed(f"CUDA0: NVIDIA H200 (143155 MiB, {listed_mib} MiB free)"), (card,), CATALOG).devices
    assert (found.free_bytes, found.sources["free_bytes"]) == (free_mib * MIB, source)


def test_a_card_shown_by_two_backends_counts_once() -> None:
    rows = listed("CUDA0: NVIDIA GeForce RTX 3090 (24135 MiB, 23000 MiB free)",
                  "CUDA1: NVIDIA GeForce RTX 3090 (24135 MiB, 23000 MiB free)",
                  "Vulkan0: NVIDIA GeForce RTX 3090 (24576 MiB, 23000 MiB free)",
                  "Vulkan1: AMD Radeon RX 6800 (RADV NAVI21) (16368 MiB, 16000 MiB free)")  # fmt: skip
    found = combine(rows, (), CATALOG)
    assert [d.id for d in found.devices] == ["CUDA0", "CUDA1", "Vulkan1"]
    assert found.devices[2].bandwidth_bytes_per_s == 512e9
    assert len(found.notes) == 1
    assert "Vulkan0" in found.notes[0]


def test_an_integrated_gpu_counts_only_when_alone() -> None:
    card = "CUDA0: NVIDIA GeForce 940MX (2002 MiB, 1974 MiB free)"
    shared = "SYCL0: Intel(R) HD Graphics 620 (29588 MiB, 29588 MiB free)"
    found = combine(listed(card, shared), (), CATALOG)
    assert [d.id for d in found.devices] == ["CUDA0"]
    assert "shares the host's RAM" in found.notes[0]
    assert [d.id for d in combine(listed(shared), (), CATALOG).devices] == ["SYCL0"]


@pytest.mark.parametrize(
    ("name", "integrated"),
    [
        ("Intel(R) UHD Graphics 770", True), ("Intel(R) Iris(R) Xe Graphics", True), ("Intel(R) Graphics", True),
        ("Intel(R) Arc(TM) Graphics", True), ("Intel(R) Arc(TM) 140V GPU (16GB)", True),
        ("AMD Radeon Graphics (RADV GFX1151)", True), ("AMD Radeon(TM) Graphics", True), ("AMD Radeon 780M", True),
        ("AMD Radeon RX Vega 10 Graphics", True), ("AMD Radeon RX Vega 64", False), ("AMD Radeon RX 6800", False),
        ("Intel(R) Arc(TM) A770 Graphics", False), ("Intel(R) Arc(TM) Pro B60 Graphics", False),
        ("NVIDIA GeForce RTX 3060", False), ("AMD Radeon Pro VII", False),
    ],
)  # fmt: skip
def test_integrated_by_name(name: str, integrated: bool) -> None:
    assert is_integrated(name) is integrated


def script(path: Path, body: str) -> str:
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_the_engine_is_asked_in_pci_order(tmp_path: Path) -> None:
    engine = script(
        tmp_path / "an engine", 'echo "Available devices:"; echo "  CUDA0: $CUDA_DEVICE_ORDER $1 (1 MiB, 1 MiB free)"'
    )
    assert list_devices(engine)[0].name == "PCI_BUS_ID --list-devices"


@pytest.mark.parametrize(
    ("body", "said"),
    [("echo 'error: invalid argument: --list-devices' >&2; exit 1", "invalid argument"),
     ("echo Available devices:; kill -SEGV $$", "failed (exit -11)"), ("exit 0", "failed (exit 0)")],
)  # fmt: skip
def test_an_engine_that_fails_is_said_and_the_driver_asked(tmp_path: Path, body: str, said: str) -> None:
    engine = script(tmp_path / "engine", body)
    with pytest.raises(EngineError) as caught:
        list_devices(engine)
    assert said in caught.value.message
    assert any(said in note for note in probe_rig(engine).notes)


def test_an_engine_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="No such file"):
        list_devices(str(tmp_path / "none"))
    with pytest.raises(EngineError, match="ermission"):
        list_devices(str(tmp_path))


def test_a_host_without_engine_is_probed() -> None:
    rig = probe_rig()
    assert rig.name
    assert rig.host.ram_total_bytes
    assert rig.devices or rig.notes


def test_an_engine_that_sees_nothing_gives_a_rig_without_devices(tmp_path: Path) -> None:
    rig = probe_rig(script(tmp_path / "engine", "echo Available devices:; echo '  (none)'"))
    assert rig.devices == ()
    assert "sees no GPU" in rig.notes[0]


@pytest.mark.engine
@pytest.mark.parametrize("name", ["phoenix", "ampere-mix"])
def test_the_real_engine_lists_the_emulated_rig(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_dir()
    for key, value in engine.env(RIGS[name]).items():
        monkeypatch.setenv(key, value)
    rig = probe_rig(str(engine.binary("llama-server")))
    told = tuple((d.name, d.total_bytes // MIB, d.free_bytes // MIB) for d in rig.devices)
    assert told == tuple(row[:3] for row in RIGS[name])
    assert [d.id for d in rig.devices] == [f"CUDA{i}" for i in range(len(told))]
    speeds = [(d.bandwidth_bytes_per_s or 0) / 1e9 for d in rig.devices]
    assert speeds == pytest.approx([row[3] for row in RIGS[name]], rel=0.005)
    assert all(d.sources["bandwidth_bytes_per_s"] == "catalog" for d in rig.devices)


def test_a_cpu_build_on_a_host_with_cards_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = Device("CUDA0", "NVIDIA GeForce RTX 3060", 12288 * MIB, 12000 * MIB)
    monkeypatch.setattr("splitter.rig.probe.detect", lambda catalog: Detection((card,)))
    rig = probe_rig(script(tmp_path / "engine", "echo Available devices:; echo '  (none)'"))
    assert rig.devices == ()
    assert "although the driver shows NVIDIA GeForce RTX 3060" in rig.notes[0]


def test_an_engine_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("splitter.rig.listing.TIMEOUT_S", 0.2)
    with pytest.raises(EngineError, match="no answer in"):
        list_devices(script(tmp_path / "engine", "exec sleep 30"))
