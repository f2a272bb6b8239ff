"""The engine behind the stand-in: a real llama-server (on an emulated rig) or the embedded one, as a child process."""

import http.client
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from splitter.run.endpoint import any_free_port
from tests.standin.state import Run

QUANTKV = {0: "f16", 1: "q8_0", 2: "q4_0", 3: "bf16"}
HIDDEN = ("srv ", "listening on", "cmn ", "slot ", "eval time", "total time")  # what only llama-server says
CONTEXT_EXTRA = 128


def flags(run: Run) -> list[str]:
    """What koboldcpp would tell llama.cpp, as llama-server's flags."""
    value, cache = run.values, run.get("quantkv")
    kind = QUANTKV[cache] if isinstance(cache, int) else cache or "f16"
    on = not value["noflashattention"] if run.release >= (1, 107) else value["flashattention"]
    batch = run.get("batchsize", "blasbatchsize")
    micro = run.get("ubatchsize")
    slots = run.get("parallelrequests") or 1
    mapped = value.get("usemmap") if run.release >= (1, 82) else not value["nommap"]
    return [
        *("-m", run.model, "-c", str(run.context + CONTEXT_EXTRA), "-fa", "on" if on else "off"),
        *("-ctk", kind, "-ctv", kind, "-b", str(batch), "-ub", str(batch if micro in {None, -1} else micro)),
        *("-np", str(slots), *(("-kvu",) if slots > 1 else ())),
        *(() if mapped else ("--load-mode", "none")),
    ]


def placement(run: Run) -> list[str]:
    """Devices, layers and split; only llama-server takes them."""
    shown, split, experts = run.visible(), run.values["tensor_split"], run.get("moecpu")
    overrides = run.get("overridetensors")
    return [
        *("--fit", "off", "-lv", "4", "-ngl", str(run.values["gpulayers"])),
        *(("--device", ",".join(shown) or "none") if shown or run.values.get("usecpu") else ()),
        *(("-ts", ",".join(map(str, split))) if split and len(shown) > 1 else ()),
        *(("-sm", "tensor") if run.get("splitmode") == "tensor" else ()),
        *(("-ncmoe", str(experts)) if experts else ()),
        *(("-ot", overrides) if overrides else ()),
        *(("-nkvo",) if run.get("lowvram") else ()),
    ]


class Backend:
    """The child; its words go to our stderr, with the devices numbered as a process sees them that shows itself few."""

    def __init__(self, run: Run) -> None:
        self.port = any_free_port()
        self.lines: list[str] = []
        self._names = {real: f"CUDA{index}" for index, real in enumerate(run.visible())}
        listen = ["--host", "127.0.0.1", "--port", str(self.port)]
        embedded = [sys.executable, "-m", "splitter.engine.embedded.server", *flags(run), "-ngl", "0", *listen]
        server = [run.backend, *flags(run), *placement(run), *listen]
        self._child = subprocess.Popen(
            embedded if run.backend == "embedded" else server, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for raw in self._child.stdout or ():
            line = re.sub(r"CUDA\d+", lambda m: self._names.get(m[0], m[0]), raw.decode("utf-8", "replace"))
            line = re.sub(r"^[\d.]+ [A-Z] +(?=\w)", "", line)
            self.lines.append(line)
            if not any(word in line for word in HIDDEN):
                sys.stderr.write(line)
                sys.stderr.flush()

    def loaded(self) -> bool:
        """Waits until it serves; False when it ended instead."""
        while self._child.poll() is None:
            try:
                if self.ask("GET", "/health").status == 200:
                    return True
            except OSError:
                pass
            time.sleep(0.02)
        self._reader.join()
        return False

    def context_failed(self) -> bool:
        """Whether the weights were loaded and the context was not."""
        return any("failed to initialize the context" in line or "kv cache" in line for line in self.lines)

    def kill(self) -> None:
        self._child.kill()
        self._child.wait()

    def ask(self, method: str, path: str, body: Any = None) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        connection.request(method, path, None if body is None else json.dumps(body))
        return connection.getresponse()

    def complete(self, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The events of /completion; the last one holds llama.cpp's timings."""
        with self.ask("POST", "/completion", {**body, "stream": True, "cache_prompt": False}) as answer:
            for line in answer:
                if line.startswith(b"data: "):
                    yield json.loads(line[6:])
