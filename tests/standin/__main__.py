"""The stand-in's program: `python -m tests.standin ARGV...`, as koboldcpp takes them.

KCPP_RELEASE: 1.123 (default), 1.115.1 or 1.76. KCPP_BACKEND: a llama-server, or "embedded" (default). KCPP_FAIL: see
state.Failure. Words, streams, exit codes and the moment of binding are koboldcpp's (its source, 1.60 to 1.123).
"""

import json
import os
import signal
import sys
import time
from argparse import Namespace
from pathlib import Path
from typing import Any, NoReturn

from tests.commands.koboldcpp.parser import RefusedError, parse
from tests.standin.backend import Backend
from tests.standin.pages import Server
from tests.standin.state import Run

MISSING_PAUSE_S = float(os.environ.get("KCPP_PAUSE_S", "3"))
SHORTAGE = {
    "weights": (
        "load_tensors: offloaded 6/6 layers to GPU",
        "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 6462.87 MiB on device 1: cudaMalloc failed: "
        "out of memory",
        "alloc_tensor_range: failed to allocate CUDA1 buffer of size 6776812544",
        "llama_model_load: error loading model: unable to allocate CUDA1 buffer",
        "llama_model_load_from_file_impl: failed to load model",
    ),
    "context": (
        "load_tensors: offloaded 6/6 layers to GPU",
        "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 832.00 MiB on device 0: cudaMalloc failed: "
        "out of memory",
        "alloc_tensor_range: failed to allocate CUDA0 buffer of size 872415232",
        "llama_init_from_model: failed to initialize the context: failed to allocate buffer for kv cache",
    ),
}


def end(code: int, *words: str) -> NoReturn:
    """Its exit messages are flushed; what it printed before may be lost with a crash."""
    for line in words:
        print(line, flush=True)
    os._exit(code)


def read_command(argv: list[str]) -> Run:
    version = os.environ.get("KCPP_RELEASE", "1.123")
    if argv == ["--version"] and version != "1.76":  # since 1.81.1
        print(version, flush=True)
        raise SystemExit(0)
    if set(argv) & {"--help", "-h"}:
        print(f"usage: koboldcpp [-h] [--model [filenames] ...]\n\nKoboldCpp Server - Version {version}", flush=True)
        raise SystemExit(0)
    try:
        values = parse(version, argv)
    except RefusedError as error:
        sys.stderr.write(
            f"usage: koboldcpp [-h] [--model [filenames] ...] [--port [portnumber]]\nkoboldcpp: error: {error}\n"
        )
        raise SystemExit(2) from None
    fail: Any = os.environ.get("KCPP_FAIL", "")
    return Run(version, values, fail, os.environ.get("KCPP_BACKEND", "embedded"))


def crash(run: Run, line: str) -> NoReturn:
    """Weights that cannot be allocated: old releases follow a null pointer, new ones look."""
    if run.release >= (1, 123):
        end(3, line, f"Could not load text model: {run.model}")
    os.kill(os.getpid(), signal.SIGSEGV)
    raise SystemExit(139)


def load(run: Run) -> Backend | None:
    """Returns with everything loaded, or ends the process."""
    if not Path(run.model).is_file():
        print(f"Cannot find text model file: {run.model}", flush=True)
        time.sleep(MISSING_PAUSE_S)
        end(2)
    print("Initializing dynamic library: koboldcpp_cublas.so")
    print(f"==========\nLoading Text Model: {run.model}", flush=True)
    if run.fail == "hang":
        time.sleep(3600)
    if run.fail in {"inactive", "generate"}:
        return None
    if run.fail in SHORTAGE:
        sys.stderr.write("\n".join(SHORTAGE[run.fail]) + "\n")
        sys.stderr.flush()
        failed, in_context = True, run.fail == "context"
        backend = None
    else:
        backend = Backend(run)
        failed = not backend.loaded()
        in_context = failed and backend.context_failed()
    if failed and in_context:
        end(3, "Load Text Model OK: False", f"Could not load text model: {run.model}")
    if failed:
        crash(run, "Load Text Model OK: False")
    if run.values.get("gpulayers") == -1 and run.values["tensor_split"] is None:
        print("Autofit Success: 1, Autofit Result: -c 4224 -ngl 43 -ts 8,22,13", flush=True)
    print("Load Text Model OK: True")
    return backend


def announce(run: Run) -> None:
    """The ready lines, which come before the port is bound."""
    where = f"http://{run.values['host'] or 'localhost'}:{run.port}"
    print(f"Starting Kobold API on port {run.port} at {where}/api/")
    print(f"Starting OpenAI Compatible API on port {run.port} at {where}/v1/")
    print("======")
    print(f"Please connect to custom endpoint at {where}", flush=True)


def serve(run: Run) -> None:
    backend = load(run)
    try:
        announce(run)
        time.sleep(float(os.environ.get("KCPP_BIND_LATE_S", "0.1")))
        try:
            server = Server(run, backend)
        except OSError:
            print(f"Warning: Port {run.port} already appears to be in use by another program.")
            print("IPv4 Socket Failed to Bind.\nIPv6 Socket Failed to Bind.")
            end(0, "ERROR: Both IPv4 and IPv6 cannot bind.")
        print("IPv6 Socket Failed to Bind. IPv6 will be unavailable.", flush=True)
        server.serve_forever(0.05)
    except KeyboardInterrupt:
        pass
    finally:
        if backend:
            backend.kill()


def administered(run: Run) -> NoReturn:
    """--admin: a child serves; its failure is lost, the parent leaves with 0."""
    child = os.fork()
    if child == 0:
        serve(Run(run.version, run.values, "weights", run.backend))
        os._exit(0)
    os.waitpid(child, 0)
    raise SystemExit(0)


def main() -> None:
    run = read_command(sys.argv[1:])
    if run.values.get("exportconfig"):  # since 1.84.2: parses, writes, loads nothing
        told = {**run.values, "password": run.password or None, "istemplate": False}
        Path(run.values["exportconfig"]).write_text(json.dumps(told), encoding="utf-8")
        return
    print(f"***\nWelcome to KoboldCpp - Version {run.version}\n***")
    print(Namespace(**{**run.values, "password": run.password or None}), flush=True)  # the key too
    if run.fail == "admin":
        administered(run)
    serve(run)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(0)
