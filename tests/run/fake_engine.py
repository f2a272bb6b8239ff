"""An engine that misbehaves on purpose. `fake_engine.py PORT [BEHAVIOUR...]`; kobold answers as koboldcpp does.

Behaviours: silent (never ready), slow (ready after 0.3 s), dies (exit 7 while loading), deaf (ignores SIGINT), stubborn
(ignores SIGINT and SIGTERM), parent (starts a child that ignores both), leaver (leaves such a child behind and exits),
chatty (2 MB of output), garbage (bytes that are not UTF-8), dies-later (exit 9 half a second after ready), kobold,
kobold-no-model, errs (500 from 1.5 s on), lacks (no memory on CUDA0, in llama.cpp's words, a second after ready).
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BORN_S = time.monotonic()
PORT, BEHAVIOURS = int(sys.argv[1]), set(sys.argv[2:])
SLEEPER = (
    "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "time.sleep(600)"
)


class Page(BaseHTTPRequestHandler):
    """/health for llama-server's way, /api/... for koboldcpp's."""

    def do_GET(self) -> None:
        pages: dict[str, object] = {"/health": {"status": "ok"}}
        if BEHAVIOURS & {"kobold", "kobold-no-model"}:
            model = "inactive" if "kobold-no-model" in BEHAVIOURS else "koboldcpp/tiny"
            pages = {
                "/api/extra/version": {"result": "KoboldCpp", "version": "1.123"},
                "/api/v1/model": {"result": model},
            }
        if "errs" in BEHAVIOURS and time.monotonic() - BORN_S > 1.5:
            self.send_error(500)
            return
        known = self.path in pages
        self.send_response(200 if known else 404)
        self.end_headers()
        self.wfile.write(json.dumps(pages.get(self.path)).encode())

    def log_message(self, *_: object) -> None:
        """Says nothing."""


def ignore(*numbers: int) -> None:
    for number in numbers:
        signal.signal(number, signal.SIG_IGN)


def lack_memory() -> None:
    """What ggml_cuda_error of b11434 prints, and its abort."""
    print("CUDA error: out of memory", file=sys.stderr)
    print("  current device: 0, in function alloc at ggml/src/ggml-cuda/ggml-cuda.cu:421", file=sys.stderr)
    print("  cuMemCreate(&handle, reserve_size, &prop, 0)", file=sys.stderr, flush=True)
    os.abort()


def end_later() -> None:
    """The ends that come after it was ready."""
    if "dies-later" in BEHAVIOURS:
        threading.Timer(0.5, lambda: os._exit(9)).start()
    if "lacks" in BEHAVIOURS:
        threading.Timer(1, lack_memory).start()


def main() -> None:
    print("fake engine:", os.environ.get("FAKE", ""), flush=True)
    if "chatty" in BEHAVIOURS:
        sys.stdout.write("x" * 99 + "\n" * 1)
        sys.stdout.write(("y" * 99 + "\n") * 20_000)
        print("last", flush=True)
    if "garbage" in BEHAVIOURS:
        sys.stdout.buffer.write(b"caf\xe9 \xff\n")
        sys.stdout.flush()
    if BEHAVIOURS & {"parent", "leaver"}:
        child = subprocess.Popen([sys.executable, "-c", SLEEPER])
        print(f"child {child.pid}", flush=True)
    if BEHAVIOURS & {"dies", "leaver"}:
        print("the fake is not in the mood", file=sys.stderr, flush=True)
        sys.exit(7)
    if BEHAVIOURS & {"deaf", "stubborn"}:
        ignore(signal.SIGINT)
    if "stubborn" in BEHAVIOURS:
        ignore(signal.SIGTERM)
    if "silent" in BEHAVIOURS:
        time.sleep(600)
    if "slow" in BEHAVIOURS:
        time.sleep(0.3)
    end_later()
    ThreadingHTTPServer(("127.0.0.1", PORT), Page).serve_forever()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(0)
