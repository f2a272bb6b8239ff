"""Asks the NVIDIA driver through NVML (`import pynvml`, the module of nvidia-ml-py).

No driver, a broken one, a lost GPU, no GPU: each is a normal outcome with words of its own, never an exception.
"""

import os
from typing import Any

from splitter.rig.catalog import Catalog
from splitter.rig.host import host_memory
from splitter.rig.nvml_devices import Detection, GpuReading, build_devices

NO_DRIVER = "no NVIDIA driver was found; if this machine has an NVIDIA card, install its driver"
# NVML's error names (nvml.h, nvmlReturn_t) -> what happened and what to do.
WORDS = {
    "NVMLError_LibraryNotFound": NO_DRIVER,
    "NVMLError_DriverNotLoaded": "the NVIDIA driver is installed but not loaded: restart, or `sudo modprobe nvidia`",
    "NVMLError_LibRmVersionMismatch": "the NVIDIA driver was updated while in use (its library and its kernel module "
    "differ): restart the machine",
    "NVMLError_NoPermission": "the NVIDIA driver refuses this user: check the permissions of /dev/nvidia*",
    "NVMLError_GpuIsLost": "a GPU has fallen off the bus: check its power and riser cables, then restart",
    "NVMLError_InsufficientPower": "a GPU's power cables are not attached properly",
    "NVMLError_FunctionNotFound": "the NVIDIA driver is too old for NVML: update it",
}


def detect(catalog: Catalog, nvml: Any = None, visible: str | None = None) -> Detection:
    """The NVIDIA GPUs that CUDA will show, and why there are none if there are none.

    `nvml` replaces pynvml; `visible` the environment's CUDA_VISIBLE_DEVICES.
    """
    if nvml is None:
        try:
            import pynvml
        except ImportError:
            return Detection(notes=("the Python package nvidia-ml-py is missing: NVIDIA GPUs cannot be found",))
        nvml = pynvml
    if visible is None:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        return Detection(notes=(in_words(error),))
    try:
        return _read_all(nvml, visible, catalog)
    except nvml.NVMLError as error:
        return Detection(notes=(in_words(error),))
    finally:
        shut_down(nvml)


def driver_version(nvml: Any = None) -> str | None:
    """The NVIDIA driver's version; None where there is no driver that answers. `nvml` replaces pynvml."""
    if nvml is None:
        import pynvml

        nvml = pynvml
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        return None
    try:
        return read_driver_version(nvml)
    finally:
        shut_down(nvml)


def read_driver_version(nvml: Any) -> str | None:
    """The version, of a driver that is open already; None where it does not say."""
    try:
        return _optional_text(ask(nvml, "nvmlSystemGetDriverVersion"))
    except nvml.NVMLError:
        return None


def shut_down(nvml: Any) -> None:
    """Gives NVML back; a driver that fails here too is fine."""
    try:
        nvml.nvmlShutdown()
    except nvml.NVMLError:
        return  # a lost GPU fails here too; what was read stays read


def _read_all(nvml: Any, visible: str | None, catalog: Catalog) -> Detection:
    readings = []
    notes = []
    for index in range(nvml.nvmlDeviceGetCount()):
        try:
            readings.append(read_gpu(nvml, nvml.nvmlDeviceGetHandleByIndex(index)))
        except nvml.NVMLError as error:
            notes.append(f"GPU {index}: {in_words(error)}")
    if not readings and not notes:
        return Detection(notes=("the NVIDIA driver runs but sees no GPU",))
    found = build_devices(readings, visible, catalog, host_memory())
    return Detection(found.devices, (*notes, *found.notes))


def in_words(error: Exception) -> str:
    """What an NVML error means for the user."""
    return WORDS.get(type(error).__name__, f"the NVIDIA driver reports '{error}': see what nvidia-smi says")


def read_gpu(nvml: Any, handle: Any) -> GpuReading:
    """What the driver says of one GPU. NVMLError when it tells not even its name and slot."""
    memory = ask(nvml, "nvmlDeviceGetMemoryInfo", handle)
    mig = ask(nvml, "nvmlDeviceGetMigMode", handle)
    return GpuReading(
        name=text(nvml.nvmlDeviceGetName(handle)),
        pci_bus_id=text(nvml.nvmlDeviceGetPciInfo(handle).busId),
        total_bytes=None if memory is None else int(memory.total),
        free_bytes=None if memory is None else int(memory.free),
        uuid=_optional_text(ask(nvml, "nvmlDeviceGetUUID", handle)),
        memory_clock_mhz=ask(nvml, "nvmlDeviceGetMaxClockInfo", handle, nvml.NVML_CLOCK_MEM),
        bus_bits=ask(nvml, "nvmlDeviceGetMemoryBusWidth", handle),
        capability=_capability(ask(nvml, "nvmlDeviceGetCudaComputeCapability", handle)),
        cores=ask(nvml, "nvmlDeviceGetNumGpuCores", handle),
        display=_display(nvml, handle),
        # The current generation falls to 1 on an idle card, the width (x1 on a riser) does not.
        pcie_generation=ask(nvml, "nvmlDeviceGetMaxPcieLinkGeneration", handle),
        pcie_lanes=ask(nvml, "nvmlDeviceGetCurrPcieLinkWidth", handle),
        mig=bool(mig and mig[0]),
    )


def ask(nvml: Any, function: str, *arguments: Any) -> Any:
    """The answer, or None if this driver, this GPU or this pynvml does not give it. A lost GPU still raises."""
    question = getattr(nvml, function, None)
    if question is None:
        return None
    try:
        return question(*arguments)
    except nvml.NVMLError_GpuIsLost:
        raise
    except nvml.NVMLError:
        return None


def _display(nvml: Any, handle: Any) -> bool | None:
    """DisplayActive, which is about memory; DisplayMode only where that is silent: seen enabled on a headless H200
    (driver 580.159)."""
    active = ask(nvml, "nvmlDeviceGetDisplayActive", handle)
    answer = ask(nvml, "nvmlDeviceGetDisplayMode", handle) if active is None else active
    return None if answer is None else bool(answer)


def _capability(answer: Any) -> tuple[int, int] | None:
    return None if answer is None else (int(answer[0]), int(answer[1]))


def text(value: Any) -> str:
    """Older versions of pynvml answer bytes."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _optional_text(value: Any) -> str | None:
    return None if value is None else text(value)
