"""Windows: a job object that ends the engine and all it started when its last handle closes, however we die.

Microsoft Learn, "Job Objects" and JOBOBJECT_EXTENDED_LIMIT_INFORMATION. The engine is created suspended, put into the
job, then resumed: nothing it starts can escape. The handle is not inheritable, so only the supervisor holds it.
"""

import ctypes
import sys
from ctypes import wintypes
from typing import Any

from splitter.errors import EngineError

CREATE_SUSPENDED = 0x00000004
CREATE_NEW_PROCESS_GROUP = 0x00000200
EXTENDED_LIMIT_INFORMATION = 9  # JobObjectExtendedLimitInformation
LIMIT_KILL_ON_JOB_CLOSE = 0x00002000


class BasicLimits(ctypes.Structure):
    """JOBOBJECT_BASIC_LIMIT_INFORMATION."""

    _fields_ = (
        ("PerProcessUserTimeLimit", ctypes.c_int64),
        ("PerJobUserTimeLimit", ctypes.c_int64),
        ("LimitFlags", ctypes.c_uint32),
        ("MinimumWorkingSetSize", ctypes.c_size_t),
        ("MaximumWorkingSetSize", ctypes.c_size_t),
        ("ActiveProcessLimit", ctypes.c_uint32),
        ("Affinity", ctypes.c_size_t),
        ("PriorityClass", ctypes.c_uint32),
        ("SchedulingClass", ctypes.c_uint32),
    )


class ExtendedLimits(ctypes.Structure):
    """JOBOBJECT_EXTENDED_LIMIT_INFORMATION."""

    _fields_ = (
        ("BasicLimitInformation", BasicLimits),
        ("IoInfo", ctypes.c_uint64 * 6),
        ("ProcessMemoryLimit", ctypes.c_size_t),
        ("JobMemoryLimit", ctypes.c_size_t),
        ("PeakProcessMemoryUsed", ctypes.c_size_t),
        ("PeakJobMemoryUsed", ctypes.c_size_t),
    )


def windows_kernel() -> Any:
    """kernel32 with the types of the functions used here; OSError elsewhere than on Windows."""
    if sys.platform != "win32":
        raise OSError("job objects exist only on Windows")
    kernel = ctypes.WinDLL("kernel32", use_last_error=True)
    kernel.CreateJobObjectW.restype = wintypes.HANDLE
    kernel.CreateJobObjectW.argtypes = (ctypes.c_void_p, wintypes.LPCWSTR)
    kernel.SetInformationJobObject.argtypes = (wintypes.HANDLE, ctypes.c_int, ctypes.c_void_p, ctypes.c_uint32)
    kernel.AssignProcessToJobObject.argtypes = (wintypes.HANDLE, wintypes.HANDLE)
    kernel.CloseHandle.argtypes = (wintypes.HANDLE,)
    return kernel


class JobObject:
    """One engine's job. OSError when the system gives none."""

    def __init__(self, kernel: Any = None) -> None:
        self._kernel = kernel or windows_kernel()
        self._handle = self._kernel.CreateJobObjectW(None, None)
        if not self._handle:
            raise last_error("a job object cannot be made")
        limits = ExtendedLimits()
        limits.BasicLimitInformation.LimitFlags = LIMIT_KILL_ON_JOB_CLOSE
        size = ctypes.sizeof(limits)
        if not self._kernel.SetInformationJobObject(
            self._handle, EXTENDED_LIMIT_INFORMATION, ctypes.byref(limits), size
        ):
            error = last_error("a job object cannot be set up")
            self.end()
            raise error

    def popen_options(self) -> dict[str, Any]:
        """How `subprocess.Popen` starts the engine: alone in its console group, and not yet running."""
        return {"creationflags": CREATE_NEW_PROCESS_GROUP | CREATE_SUSPENDED}

    def adopt(self, popen: Any) -> None:
        """Puts the suspended engine into the job and lets it run; EngineError, and no engine, when that fails."""
        import psutil

        try:
            if not self._kernel.AssignProcessToJobObject(self._handle, int(popen._handle)):
                raise last_error("the engine cannot be put into a job object")
            psutil.Process(popen.pid).resume()
        except (OSError, psutil.Error) as error:
            popen.kill()
            popen.wait()
            raise EngineError(f"the engine cannot be started: {error}", "report this bug") from None

    def signal(self, number: int) -> None:
        """Nothing: Windows has no signals for groups; `Process` sends Ctrl-Break to the console group itself."""

    def end(self) -> None:
        """Kills what is left of the job."""
        handle, self._handle = self._handle, None
        if handle:
            self._kernel.CloseHandle(handle)


def last_error(what: str) -> OSError:
    """The system's last error, with its number."""
    number = 0
    if sys.platform == "win32":
        number = ctypes.get_last_error()
    return OSError(number, f"{what} (Windows error {number})")
