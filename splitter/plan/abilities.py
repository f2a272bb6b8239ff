"""What an engine's version cannot be told, so that no plan asks for it. Unknown versions get the newest rules.

Build numbers of llama.cpp: the first build that knows a flag; where a change's own build is not known, one of the days
after its merge. The engine room's versions.py holds the rules that only concern how a flag is written.
"""

import re
from collections.abc import Mapping
from typing import Any

from splitter.plan.request import EngineKind
from splitter.rig.backend import backend_of_id

KV_UNIFIED_BUILD = 5913  # -kvu: #14363 (2025-07); before, slots always shared one cache
DEVICE_BUILD = 4200  # --device: #10497 (2024-11); draft models in the server: #10455 (2024-11)
OVERRIDE_TENSOR_BUILD = 5036  # -ot: #11397 (2025-04)
CPU_MOE_BUILD = 6096  # -ncmoe, -cmoe: #15077 (2025-08)
# koboldcpp's own: --overridetensors and --moecpu (reference: its argparse, release by release).
OVERRIDE_TENSORS_RELEASE, MOECPU_RELEASE = (1, 89), (1, 97)

NEWEST = 10**9


def llama_build(version: str | None) -> int:
    """The build number in a llama.cpp version: "11434", "b6327", "2026.10.11549"; the newest when it holds none."""
    numbers = re.findall(r"(?:^|[b.])(\d{4,})$", version or "")
    return int(numbers[0]) if numbers else NEWEST


def koboldcpp_release(version: str | None) -> tuple[int, ...]:
    """A koboldcpp version as a tuple: "1.115.1" -> (1, 115, 1); the newest when it holds none."""
    match = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", version or "")
    return tuple(int(part) for part in match.groups(default="0")) if match else (NEWEST, 0, 0)


def beyond(engine: EngineKind, version: str | None) -> dict[str, Any]:
    """Fields of Settings that this version cannot be told, with the values that say nothing."""
    if engine == "koboldcpp":
        release = koboldcpp_release(version)
        no_override, no_experts = release < OVERRIDE_TENSORS_RELEASE, release < MOECPU_RELEASE
    else:
        build = llama_build(version)
        no_override, no_experts = build < OVERRIDE_TENSOR_BUILD, build < CPU_MOE_BUILD
    return {**({"override_tensors": ()} if no_override else {}), **({"n_cpu_moe": 0} if no_experts else {})}


def names_devices(engine: EngineKind, version: str | None) -> bool:
    """Whether the engine can be told which devices to use, and in which order."""
    return engine == "koboldcpp" or llama_build(version) >= DEVICE_BUILD


def how_to_hide(engine: EngineKind, version: str | None, device_id: str) -> str:
    """What to write so that the engine leaves this device alone: a flag where it has one, else the backend's variable."""
    if engine != "koboldcpp" and names_devices(engine, version):
        return "leave it out of --device"
    variable = backend_of_id(device_id).variable
    return f"hide it with {variable}" if variable else "hide it from the engine"


def slots_share(engine: EngineKind, version: str | None, fixed: Mapping[str, Any]) -> bool:
    """Whether the slots of a given -np share one cache: llama-server gives each its own, unless told -kvu."""
    if engine == "koboldcpp" or llama_build(version) < KV_UNIFIED_BUILD:
        return True
    return bool(fixed.get("parallel", 1) == 1)
