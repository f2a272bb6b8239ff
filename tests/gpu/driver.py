"""What the NVIDIA driver says one process holds on the first card."""

from splitter.plan.plan import Plan


class Driver:
    """NVML's view of GPU 0; needs nvidia-ml-py and a driver."""

    def __init__(self) -> None:
        import pynvml

        pynvml.nvmlInit()
        self._nvml = pynvml
        self._card = pynvml.nvmlDeviceGetHandleByIndex(0)

    def used_bytes(self) -> int:
        """Memory in use on the card, by everybody."""
        return int(self._nvml.nvmlDeviceGetMemoryInfo(self._card).used)

    def free_bytes(self) -> int:
        """Memory of the card that nobody uses."""
        return int(self._nvml.nvmlDeviceGetMemoryInfo(self._card).free)

    def process_bytes(self, pid: int, before: int) -> int:
        """Memory of process `pid`; where containers hide processes, what the card gained since `before`."""
        for process in self._nvml.nvmlDeviceGetComputeRunningProcesses(self._card):
            if process.pid == pid and process.usedGpuMemory:
                return int(process.usedGpuMemory)
        return self.used_bytes() - before

    @staticmethod
    def context_bytes(plan: Plan) -> int:
        """The driver's context as estimated per device: virtual devices share one."""
        return dict(plan.footprint.devices[0].overhead).get("CUDA context", 0)
