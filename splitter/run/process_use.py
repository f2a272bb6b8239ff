"""Asks the system what a process and its children use."""

import time

import psutil

from splitter.run.reading import ProcessUse

FAMILY_READS = 30  # finding children looks at every process of the system: done at every so many readings


class ProcessMeter:
    """Reads one process (without `pid` this one alone) again and again."""

    def __init__(self, pid: int | None = None) -> None:
        self._pid = pid
        self._family: list[psutil.Process] = []
        self._reads = 0
        self._before: tuple[float, float] | None = None

    def read(self) -> ProcessUse | None:
        """None when the process is gone or the system will not tell."""
        if self._reads % FAMILY_READS == 0:
            self._family = self._find()
        self._reads += 1
        resident_bytes, cpu_s, seen = 0, 0.0, False
        for process in self._family:
            try:
                with process.oneshot():
                    times = process.cpu_times()
                    resident_bytes += process.memory_info().rss
                    cpu_s += times.user + times.system
                seen = True
            except psutil.Error:
                continue
        return ProcessUse(resident_bytes, cpu_s, self._cpus(cpu_s)) if seen else None

    def _find(self) -> list[psutil.Process]:
        try:
            root = psutil.Process(self._pid)
            return [root] if self._pid is None else [root, *root.children(recursive=True)]
        except psutil.Error:
            return []

    def _cpus(self, cpu_s: float) -> float | None:
        """CPUs used since the last reading; None when there is none, or a child has gone with its seconds."""
        now_s = time.monotonic()
        before, self._before = self._before, (now_s, cpu_s)
        if before is None or now_s <= before[0] or cpu_s < before[1]:
            return None
        return (cpu_s - before[1]) / (now_s - before[0])
