"""Which file of a release fits a machine, and why. Pure.

Names as the projects publish them: llama.cpp's .github/workflows/release-publish.yml of build 11434 (CUDA 12 and 13
for Windows and Ubuntu, Vulkan, ROCm, SYCL, CPU, macOS), koboldcpp's build scripts of 1.93 to 1.123. CUDA 13 needs
driver 580 and a card of compute capability 7.5, CUDA 12 driver 525 and 5.0, CUDA 11 driver 450 and 3.5 (NVIDIA's
release notes).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from splitter.errors import EngineError

REPOSITORIES = {"llama-server": "ggml-org/llama.cpp", "koboldcpp": "LostRuins/koboldcpp"}
# CUDA's major version -> (oldest driver, oldest compute capability, newest).
CUDA_NEEDS = {13: (580, 7.5), 12: (525, 5.0), 11: (450, 3.5)}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file of a release; `sha256` as the release API tells it (None before 2025)."""

    name: str
    url: str
    size_bytes: int
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Release:
    """A release: its tag and its files."""

    tag: str
    assets: tuple[Asset, ...]


@dataclass(frozen=True, slots=True)
class Machine:
    """What decides: `os` "linux", "windows" or "macos", `arch` "x64" or "arm64", the cards' makers ("nvidia", "amd",
    "intel", "apple"), NVIDIA's compute capabilities and driver."""

    os: str
    arch: str = "x64"
    makers: tuple[str, ...] = ()
    capabilities: tuple[float, ...] = ()
    driver: str | None = None

    def cuda(self) -> int | None:
        """The newest CUDA that driver and every card take: 13, 12, 11 or None. An unknown driver counts as 12's."""
        if set(self.makers) != {"nvidia"}:
            return None
        driver = int(re.split(r"\D", self.driver)[0] or 0) if self.driver else CUDA_NEEDS[12][0]
        oldest = min(self.capabilities, default=5.0)
        return next((v for v, (least, card) in CUDA_NEEDS.items() if driver >= least and oldest >= card), None)


@dataclass(frozen=True, slots=True)
class BuildChoice:
    """The files to install together, the backend they bring, and the reason in words."""

    assets: tuple[Asset, ...]
    backend: str
    reason: str


def parse_release(data: Any) -> Release:
    """A release of GitHub's REST API (GET /repos/OWNER/REPO/releases/latest). EngineError for anything else."""
    try:
        assets = tuple(_asset(item) for item in data["assets"])
        return Release(str(data["tag_name"]), assets)
    except (TypeError, KeyError, ValueError, AttributeError):
        raise EngineError("the release list is not what GitHub's API answers", "try again later") from None


def _asset(item: Mapping[str, Any]) -> Asset:
    digest = item.get("digest")
    sha256 = str(digest).removeprefix("sha256:").lower() if str(digest).startswith("sha256:") else None
    return Asset(str(item["name"]), str(item["browser_download_url"]), int(item["size"]), sha256)


def choose(kind: str, release: Release, machine: Machine, backend: str | None = None) -> BuildChoice:
    """The files of `release` for `machine`, or for the `backend` that the user names. EngineError when none fits."""
    if kind not in REPOSITORIES:
        raise EngineError(f"{kind} has no releases to install from", "install llama-server or koboldcpp")
    wanted = _wishes(kind, machine, backend)
    for name, why, pattern in wanted:
        found = _newest(release, pattern)
        if found:
            return BuildChoice((*found, *_beside(release, found[0])), name, why)
    tried = ", ".join(name for name, _, _ in wanted)
    raise EngineError(
        f"release {release.tag} of {kind} has no file for {machine.os} {machine.arch} ({tried})",
        f"build it from source: https://github.com/{REPOSITORIES[kind]}",
    )


Wish = tuple[str, str, str]  # backend, reason, pattern of the file's name


def _wishes(kind: str, machine: Machine, backend: str | None) -> list[Wish]:
    """What would do, best first."""
    order = [(backend, "you asked for it")] if backend else _order(kind, machine)
    patterns = _llama_pattern if kind == "llama-server" else _kobold_pattern
    wishes = [(name, why, pattern) for name, why in order if (pattern := patterns(name, machine)) is not None]
    if backend and not wishes:
        raise EngineError(f"{kind} is not released for {backend} on {machine.os} {machine.arch}", "leave --backend out")
    return wishes


def _order(kind: str, machine: Machine) -> list[tuple[str, str]]:
    makers = set(machine.makers)
    if machine.os == "macos":
        return [("metal", "Apple's GPUs are driven by Metal")]
    if not makers:
        return [("cpu", "no graphics card was found"), ("vulkan", "no graphics card was found")]
    if makers == {"nvidia"}:
        return _for_nvidia(kind, machine)
    if len(makers) > 1:
        why = f"one build must serve cards of {' and '.join(sorted(makers))}, which only Vulkan does"
        return [("vulkan", why), ("cpu", "there is no Vulkan build")]
    reasons = {
        "amd": "Vulkan needs no ROCm and generates faster on most Radeons",
        "intel": "Vulkan serves Intel's cards",
    }
    reason = reasons.get(makers.pop(), "Vulkan serves every maker")
    return [("vulkan", reason), ("cpu", "there is no Vulkan build")]


def _for_nvidia(kind: str, machine: Machine) -> list[tuple[str, str]]:
    newest, driver = machine.cuda(), machine.driver or "unknown"
    oldest = min(machine.capabilities, default=0.0)
    known = f"driver {driver}" + (f", oldest card of compute capability {oldest}" if oldest else "")
    fitting = [major for major in CUDA_NEEDS if newest is not None and major <= newest]
    order = [(f"cuda-{major}", f"CUDA {major} is the newest that fits: {known}") for major in fitting]
    none = "" if order else f"no CUDA build fits ({known}); "
    fallback = "no CUDA build is published for this system; Vulkan serves NVIDIA's cards too"
    vulkan = ("vulkan", f"{none}Vulkan serves NVIDIA's cards too" if none else fallback)
    return [*order, vulkan, ("cpu", "nothing else fits")] if kind == "llama-server" else [*order, vulkan]


def _llama_pattern(backend: str, machine: Machine) -> str | None:
    arch = machine.arch
    if machine.os == "macos":
        return rf"llama-b\d+-bin-macos-{arch}\.(tar\.gz|zip)" if backend in {"metal", "cpu"} else None
    if machine.os == "windows":
        names = {"cpu": "win-cpu", "vulkan": "win-vulkan", "sycl": "win-sycl", "rocm": r"win-(rocm-[\d.]+|hip-radeon)"}
        system = names.get(backend) or _cuda_name("win", backend)
        return system and rf"llama-b\d+-bin-{system}-{arch}\.zip"
    names = {"cpu": "ubuntu", "vulkan": "ubuntu-vulkan", "sycl": "ubuntu-sycl-fp16", "rocm": r"ubuntu-rocm-[\d.]+"}
    system = names.get(backend) or _cuda_name("ubuntu", backend)
    return system and rf"llama-b\d+-bin-{system}-{arch}\.(tar\.gz|zip)"


def _cuda_name(system: str, backend: str) -> str | None:
    major = backend.removeprefix("cuda").removeprefix("-")
    return (
        rf"{system}-cuda-{major or '[0-9]+'}\.[\d.]+"
        if backend.startswith("cuda") and (major or "1").isdigit()
        else None
    )


def _kobold_pattern(backend: str, machine: Machine) -> str | None:
    windows: dict[str, str] = {
        "cuda-12": r"koboldcpp\.exe", "cuda": r"koboldcpp\.exe", "cuda-11": r"koboldcpp[-_](oldpc|oldcpu)\.exe",
        "vulkan": r"koboldcpp[-_]nocuda\.exe", "cpu": r"koboldcpp[-_]nocuda\.exe", "rocm": r"koboldcpp_rocm\.exe",
    }  # fmt: skip
    linux: dict[str, str] = {
        "cuda-13": "koboldcpp-linux-x64-cuda1300", "cuda-12": "koboldcpp-linux-x64(-cuda1210)?",
        "cuda": "koboldcpp-linux-x64(-cuda1210)?", "cuda-11": "koboldcpp-linux-x64-(oldpc|cuda1150)",
        "vulkan": "koboldcpp-linux-x64-nocuda", "cpu": "koboldcpp-linux-x64-nocuda", "rocm": "koboldcpp-linux-x64-rocm",
    }  # fmt: skip
    if machine.os == "macos":
        return "koboldcpp-mac-arm64" if machine.arch == "arm64" else None
    if machine.arch != "x64":
        return None
    return (windows if machine.os == "windows" else linux).get(backend)


def _newest(release: Release, pattern: str) -> tuple[Asset, ...]:
    fitting = [asset for asset in release.assets if re.fullmatch(pattern, asset.name)]
    return (max(fitting, key=lambda asset: _numbers(asset.name)),) if fitting else ()


def _numbers(name: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", name)))


def _beside(release: Release, chosen: Asset) -> tuple[Asset, ...]:
    """CUDA's runtime for a CUDA build: a card's driver does not bring it."""
    if "-cuda-" not in chosen.name:
        return ()
    rest = chosen.name.partition("-bin-")[2]
    return tuple(a for a in release.assets if a.name.startswith("cudart-") and a.name.endswith(f"-bin-{rest}"))[:1]


def cpu_asset(release: Release, machine: Machine) -> Asset | None:
    """The build that holds the programs, where a backend's own file holds that backend's library alone."""
    pattern = _llama_pattern("cpu", machine)
    found = _newest(release, pattern) if pattern else ()
    return found[0] if found else None


def machine_of(os: str, machine: str, cards: Sequence[Any], driver: str | None, maker: Callable[[Any], str]) -> Machine:
    """The machine of `platform.machine()`'s word and a rig's devices."""
    arch = "arm64" if machine.lower() in {"arm64", "aarch64"} else "x64"
    makers = tuple(dict.fromkeys(maker(card) for card in cards))
    known = tuple(float(card.compute_capability) for card in cards if card.compute_capability)
    return Machine(os, arch, makers, known, driver)
