"""Which release file a machine gets, of the lists that llama.cpp (build 11434) and koboldcpp (1.117) publish."""

from typing import Any

import pytest

from splitter.engine.releases import Asset, Machine, Release, choose, machine_of, parse_release
from splitter.errors import EngineError
from splitter.rig.device import Device

T = "b11434"
# .github/workflows/release-publish.yml of that build, its "assets" block.
LLAMA = Release(
    T,
    tuple(
        Asset(name, f"https://example.org/{name}", 1, None)
        for name in f"""
llama-{T}-bin-macos-arm64.tar.gz llama-{T}-bin-macos-x64.tar.gz llama-{T}-xcframework.zip
llama-{T}-bin-ubuntu-x64.tar.gz
llama-{T}-bin-ubuntu-arm64.tar.gz llama-{T}-bin-ubuntu-s390x.tar.gz llama-{T}-bin-ubuntu-vulkan-x64.tar.gz
llama-{T}-bin-ubuntu-vulkan-arm64.tar.gz llama-{T}-bin-ubuntu-cuda-12.8-x64.tar.gz
cudart-llama-{T}-bin-ubuntu-cuda-12.8-x64.tar.gz llama-{T}-bin-ubuntu-cuda-13.4-x64.tar.gz
cudart-llama-{T}-bin-ubuntu-cuda-13.4-x64.tar.gz llama-{T}-bin-ubuntu-cuda-13.4-arm64.tar.gz
cudart-llama-{T}-bin-ubuntu-cuda-13.4-arm64.tar.gz llama-{T}-bin-ubuntu-rocm-10.0-x64.tar.gz
llama-{T}-bin-ubuntu-openvino-2026.1-x64.tar.gz llama-{T}-bin-ubuntu-sycl-fp32-x64.tar.gz
llama-{T}-bin-ubuntu-sycl-fp16-x64.tar.gz llama-{T}-bin-linux-arm64-snapdragon.tar.gz llama-{T}-bin-android-arm64.tar.gz
llama-{T}-bin-win-cpu-x64.zip llama-{T}-bin-win-cpu-arm64.zip llama-{T}-bin-win-opencl-adreno-arm64.zip
llama-{T}-bin-win-cuda-12.4-x64.zip cudart-llama-bin-win-cuda-12.4-x64.zip llama-{T}-bin-win-cuda-13.4-x64.zip
cudart-llama-bin-win-cuda-13.4-x64.zip llama-{T}-bin-win-cuda-13.4-arm64.zip cudart-llama-bin-win-cuda-13.4-arm64.zip
llama-{T}-bin-win-vulkan-x64.zip llama-{T}-bin-win-vulkan-arm64.zip llama-{T}-bin-win-openvino-2026.1-x64.zip
llama-{T}-bin-win-sycl-x64.zip llama-{T}-bin-win-rocm-10.0-x64.zip""".split()
    ),
)
KOBOLD_EXE = "koboldcpp.exe"
KOBOLD = Release(
    "v1.117",
    tuple(
        Asset(name, f"https://example.org/{name}", 1)
        for name in f"""{KOBOLD_EXE} koboldcpp-nocuda.exe koboldcpp-oldpc.exe koboldcpp-linux-x64
koboldcpp-linux-x64-oldpc koboldcpp-linux-x64-nocuda koboldcpp-linux-x64-rocm koboldcpp-mac-arm64""".split()
    ),
)
NV = ("nvidia",)
# (engine, os, arch, makers, compute capabilities, driver) -> the end of the chosen file's name
MACHINES = [
    # Windows, llama-server
    ("llama-server", "windows", "x64", NV, (8.6,), "591.44", "win-cuda-13.4-x64.zip"),
    ("llama-server", "windows", "x64", NV, (12.0,), "581.15", "win-cuda-13.4-x64.zip"),
    ("llama-server", "windows", "x64", NV, (12.0,), "572.16", "win-cuda-12.4-x64.zip"),
    ("llama-server", "windows", "x64", NV, (7.5, 8.9), "580.88", "win-cuda-13.4-x64.zip"),
    ("llama-server", "windows", "x64", NV, (6.1, 7.5, 6.1), "580.88", "win-cuda-12.4-x64.zip"),  # the seed's rig
    ("llama-server", "windows", "x64", NV, (6.1,), "546.33", "win-cuda-12.4-x64.zip"),
    ("llama-server", "windows", "x64", NV, (8.6,), "531.79", "win-cuda-12.4-x64.zip"),
    ("llama-server", "windows", "x64", NV, (8.6,), "516.94", "win-vulkan-x64.zip"),
    ("llama-server", "windows", "x64", NV, (3.5,), "474.11", "win-vulkan-x64.zip"),
    ("llama-server", "windows", "x64", NV, (8.6,), None, "win-cuda-12.4-x64.zip"),
    ("llama-server", "windows", "x64", NV, (), "591.44", "win-cuda-12.4-x64.zip"),
    ("llama-server", "windows", "x64", ("amd",), (), None, "win-vulkan-x64.zip"),
    ("llama-server", "windows", "x64", ("intel",), (), None, "win-vulkan-x64.zip"),
    ("llama-server", "windows", "x64", ("amd", "nvidia"), (8.6,), "591.44", "win-vulkan-x64.zip"),
    ("llama-server", "windows", "x64", ("intel", "nvidia"), (8.6,), "591.44", "win-vulkan-x64.zip"),
    ("llama-server", "windows", "x64", (), (), None, "win-cpu-x64.zip"),
    ("llama-server", "windows", "arm64", (), (), None, "win-cpu-arm64.zip"),
    ("llama-server", "windows", "arm64", NV, (12.1,), "581.15", "win-cuda-13.4-arm64.zip"),
    # Linux and macOS, llama-server
    ("llama-server", "linux", "x64", NV, (8.6, 8.6), "580.95.05", "ubuntu-cuda-13.4-x64.tar.gz"),
    ("llama-server", "linux", "x64", NV, (6.1, 6.1, 6.1), "580.95.05", "ubuntu-cuda-12.8-x64.tar.gz"),
    ("llama-server", "linux", "x64", NV, (9.0,), "570.133.20", "ubuntu-cuda-12.8-x64.tar.gz"),
    ("llama-server", "linux", "x64", NV, (7.0,), "535.230.02", "ubuntu-cuda-12.8-x64.tar.gz"),
    ("llama-server", "linux", "x64", NV, (7.5,), "470.256.02", "ubuntu-vulkan-x64.tar.gz"),
    ("llama-server", "linux", "x64", NV, (3.7,), "470.256.02", "ubuntu-vulkan-x64.tar.gz"),
    ("llama-server", "linux", "arm64", NV, (12.1,), "580.95.05", "ubuntu-cuda-13.4-arm64.tar.gz"),  # DGX Spark
    ("llama-server", "linux", "arm64", NV, (8.7,), "540.4.0", "ubuntu-vulkan-arm64.tar.gz"),  # Jetson Orin
    ("llama-server", "linux", "x64", ("amd",), (), None, "ubuntu-vulkan-x64.tar.gz"),
    ("llama-server", "linux", "x64", ("intel",), (), None, "ubuntu-vulkan-x64.tar.gz"),
    ("llama-server", "linux", "x64", (), (), None, "ubuntu-x64.tar.gz"),
    ("llama-server", "linux", "arm64", (), (), None, "ubuntu-arm64.tar.gz"),
    ("llama-server", "macos", "arm64", ("apple",), (), None, "macos-arm64.tar.gz"),
    ("llama-server", "macos", "x64", (), (), None, "macos-x64.tar.gz"),
    # koboldcpp
    ("koboldcpp", "windows", "x64", NV, (6.1, 7.5), "580.88", "koboldcpp.exe"),
    ("koboldcpp", "windows", "x64", NV, (8.6,), "516.94", "koboldcpp-oldpc.exe"),
    ("koboldcpp", "windows", "x64", NV, (3.5,), "474.11", "koboldcpp-oldpc.exe"),
    ("koboldcpp", "windows", "x64", ("amd",), (), None, "koboldcpp-nocuda.exe"),
    ("koboldcpp", "windows", "x64", (), (), None, "koboldcpp-nocuda.exe"),
    ("koboldcpp", "linux", "x64", NV, (6.1,), "580.95", "koboldcpp-linux-x64"),
    ("koboldcpp", "linux", "x64", ("amd", "nvidia"), (8.6,), "580.95", "koboldcpp-linux-x64-nocuda"),
    ("koboldcpp", "macos", "arm64", ("apple",), (), None, "koboldcpp-mac-arm64"),
]


@pytest.mark.parametrize("case", MACHINES, ids=lambda case: f"{case[0]} {case[1]} {case[2]} {case[3]} {case[5]}")
def test_forty_machines(case: tuple[str, str, str, tuple[str, ...], tuple[float, ...], str | None, str]) -> None:
    kind, os, arch, makers, capabilities, driver, ending = case
    chosen = choose(kind, LLAMA if kind == "llama-server" else KOBOLD, Machine(os, arch, makers, capabilities, driver))
    assert chosen.assets[0].name.endswith(ending)
    assert chosen.reason
    cuda = "-cuda-" in chosen.assets[0].name
    assert [a.name.startswith("cudart-") for a in chosen.assets] == ([False, True] if cuda else [False])
    assert not cuda or chosen.assets[1].name.endswith(ending)


def test_there_are_forty() -> None:
    assert len(MACHINES) == 40


@pytest.mark.parametrize(
    ("asked", "ending"),
    [
        ("rocm", "ubuntu-rocm-10.0-x64.tar.gz"),
        ("sycl", "ubuntu-sycl-fp16-x64.tar.gz"),
        ("vulkan", "ubuntu-vulkan-x64.tar.gz"),
        ("cuda", "ubuntu-cuda-13.4-x64.tar.gz"),
        ("cuda-12", "ubuntu-cuda-12.8-x64.tar.gz"),
        ("cpu", "ubuntu-x64.tar.gz"),
    ],
)
def test_what_is_asked_for(asked: str, ending: str) -> None:
    assert choose("llama-server", LLAMA, Machine("linux"), asked).assets[0].name.endswith(ending)


def test_what_no_release_has_is_refused() -> None:
    with pytest.raises(EngineError, match="not released for metal"):
        choose("llama-server", LLAMA, Machine("windows"), "metal")
    with pytest.raises(EngineError, match="no file for linux arm64"):
        choose("koboldcpp", KOBOLD, Machine("linux", "arm64"))
    with pytest.raises(EngineError, match="no releases"):
        choose("embedded", LLAMA, Machine("linux"))


def test_the_api_answer_is_read() -> None:
    item = {"name": "a.zip", "browser_download_url": "https://x/a.zip", "size": 5, "digest": "sha256:ABCD"}
    release = parse_release({"tag_name": "b1", "assets": [item, {**item, "digest": None}]})
    assert [asset.sha256 for asset in release.assets] == ["abcd", None]
    answers: list[Any] = [{}, [], {"tag_name": "b1"}, {"tag_name": "b1", "assets": [{}]}]
    for broken in [*answers, {"tag_name": "b1", "assets": [1]}]:
        with pytest.raises(EngineError, match="not what GitHub"):
            parse_release(broken)


def test_a_rig_is_a_machine() -> None:
    cards = [Device("CUDA0", "a", 1, 1, compute_capability="8.6"), Device("CUDA1", "b", 1, 1, compute_capability="6.1")]
    made = machine_of("linux", "aarch64", cards, "580.1", lambda _card: "nvidia")
    assert made == Machine("linux", "arm64", ("nvidia",), (8.6, 6.1), "580.1")
