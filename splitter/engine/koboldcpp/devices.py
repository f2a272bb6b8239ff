"""How koboldcpp is shown its devices: the backend flag, and the environment that hides the other cards."""

from collections.abc import Sequence

from splitter.engine.koboldcpp.versions import BACKENDS, LOWVRAM, USECPU, backend_flag
from splitter.errors import UsageError
from splitter.plan.plan import Plan
from splitter.rig.backend import backend_of_id, prefix_of
from splitter.rig.device import Device

# The backends that koboldcpp is built with, and the variable that hides the cards of each.
VARIABLES = {prefix: str(backend_of_id(prefix).variable) for prefix in BACKENDS}


def backend_of(plan: Plan) -> str | None:
    """The backend of the plan's devices ("CUDA", "ROCm", "Vulkan"), None for the CPU alone."""
    names = {prefix_of(device) for device in plan.settings.device_order}
    if not names:
        return None
    if len(names) > 1 or not names <= set(BACKENDS):
        raise UsageError(
            f"koboldcpp cannot be told to use {', '.join(plan.settings.device_order)}",
            "plan with devices of one backend (CUDA, ROCm or Vulkan), or with --engine llama-server",
        )
    return names.pop()


def backend_args(plan: Plan, release: tuple[int, ...]) -> tuple[str, ...]:
    """The backend flag, without device ids: they would hide cards or not depending on the other flags."""
    backend = backend_of(plan)
    if backend is None:
        return ("--usecpu",) if release >= USECPU else ()
    if backend == "Vulkan":
        return ("--usevulkan",)
    flag = backend_flag(release)
    hidden = () if plan.settings.kv_offload or release >= LOWVRAM else ("lowvram",)
    return (flag, "normal", *hidden)


def device_env(plan: Plan) -> dict[str, str]:
    """The variables that show koboldcpp the plan's devices in the plan's order, and no others."""
    backend = backend_of(plan)
    if backend is None:
        return {}
    order = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"} if backend == "CUDA" else {}
    numbers = [_number(plan.rig.device(name), backend) for name in plan.settings.device_order]
    return {**order, VARIABLES[backend]: ",".join(numbers)}


def _number(device: Device, backend: str) -> str:
    """The driver's number of the card: the plan's, unless the planner itself was shown some cards only."""
    return device.id.removeprefix(backend) if device.driver_index is None else str(device.driver_index)


def names_in_log(devices: Sequence[str]) -> dict[str, str]:
    """What an engine that is shown `devices`, the plan's, calls each -> what the plan calls it.

    It counts within the visible ones: "CUDA0" is CUDA2 where the plan's order is CUDA2, CUDA0. ROCm builds call their
    devices ROCm0 in some lines, CUDA's way in others.
    """
    names: dict[str, str] = {}
    for index, device in enumerate(devices):
        backend = prefix_of(device)
        for called in (backend, *(("CUDA",) if backend == "ROCm" else ())):
            names[f"{called}{index}"] = device
    return names
