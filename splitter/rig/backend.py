"""What each backend of llama.cpp calls its devices, and which variables hide and reorder them: said in this place only.

Sources: ggml/src/ggml-{cuda,vulkan,sycl}/ of llama.cpp build 11434; the CUDA, ROCm and oneAPI programming guides; the
NVIDIA container runtime (NVIDIA_VISIBLE_DEVICES, in front of CUDA's own variable).
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backend:
    """`prefix` begins its devices' ids (`CUDA` in `CUDA0`); `variables` apply one after the other, each numbering what
    the one before it left; the last one is the one to name to people."""

    prefix: str
    variables: tuple[str, ...] = ()

    @property
    def variable(self) -> str | None:
        """The variable with which a person hides this backend's devices, None where there is none."""
        return self.variables[-1] if self.variables else None


BACKENDS: tuple[Backend, ...] = (
    Backend("CUDA", ("NVIDIA_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES")),
    Backend("ROCm", ("ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")),
    Backend("Vulkan", ("GGML_VK_VISIBLE_DEVICES",)),
    Backend("SYCL", ("ONEAPI_DEVICE_SELECTOR",)),
    Backend("MUSA", ("MUSA_VISIBLE_DEVICES",)),
    Backend("MTL"),
)


def prefix_of(device_id: str) -> str:
    """`CUDA1` -> `CUDA`, `RPC[host:port]` -> `RPC`"""
    return re.sub(r"\d*(\[.*)?$", "", device_id)


def backend_of_id(device_id: str) -> Backend:
    """The backend of a device's id; one that nobody knows has no variables."""
    prefix = prefix_of(device_id)
    return next((backend for backend in BACKENDS if backend.prefix == prefix), Backend(prefix))
