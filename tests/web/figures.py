"""What the page costs: a slider's round trip, the first paint, the start, and memory while somebody watches.

python -m tests.web.figures slider
python -m tests.web.figures start
python -m tests.web.figures watch --minutes 60
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

import psutil

from splitter.run.endpoint import any_free_port
from tests.web.browser import Browser
from tests.web.served import TINY, Served, models

LARGE = "llama-3.3-70b-q4_k_m"  # 80 layers
EIGHT = "3090,3060,1080-ti,2080,1070,1060-6gb,1050ti,3070"
MOVES = 40
ROUND = """
const [value, done] = arguments, slider = document.getElementById('w-context_size');
const begun = performance.now();
document.addEventListener('htmx:afterSwap', () => requestAnimationFrame(() => done(performance.now() - begun)),
                          {once: true});
slider.value = value;
slider.dispatchEvent(new Event('input', {bubbles: true}));
"""


def told(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def slider() -> None:
    """Milliseconds from a slider's move till the new plan is drawn."""
    folder = Path(tempfile.mkdtemp())
    served = Served(folder, (str(models(folder / "models", LARGE)),), engine=False)
    browser = Browser(served.base, folder)
    try:
        browser.open(f"/?token={served.key}")
        paints = []
        for _ in range(5):
            browser.open(f"/plan?model=models/{LARGE}.gguf&gpus={EIGHT}")
            browser.solved()
            paints.append(browser.script("return performance.getEntriesByName('first-contentful-paint')[0].startTime"))
        told(f"first paint: {statistics.median(paints):.0f} ms (middle of {len(paints)})")
        spent = []
        for move in range(MOVES):
            spent.append(browser.driver.execute_async_script(ROUND, str(4096 + 512 * (move * 7 % 50))))
            browser.solved()
        told(f"a slider's round trip, 80 layers on 8 cards, {MOVES} moves: "
             f"p50 {quantile(spent, 0.5):.0f} ms, p95 {quantile(spent, 0.95):.0f} ms, largest {max(spent):.0f} ms; "
             f"load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")  # fmt: skip
    finally:
        browser.close()
        served.close()


def start() -> None:
    """Seconds from the command to the first answer; memory then; what `splitter --help` takes."""
    folder = Path(tempfile.mkdtemp())
    spent = []
    for _ in range(5):
        begun = time.perf_counter()
        served = Served(folder, engine=False)
        assert served.ask("/api/v1/ps").status == 200
        spent.append(time.perf_counter() - begun)
        resident = psutil.Process(served.process.pid).memory_info().rss
        served.close()
    told(f"start to first answer: {statistics.median(spent):.2f} s; then {resident / 1e6:.0f} MB")
    helped = []
    for _ in range(15):
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-m", "splitter", "--help"], stdout=subprocess.DEVNULL, check=True)
        helped.append(time.perf_counter() - begun)
    told(f"splitter --help: {min(helped):.3f} s at best, {statistics.median(helped):.3f} s in the middle")


def watch(minutes: float) -> None:
    """The server's memory while three streams of a running instance are read."""
    folder = Path(tempfile.mkdtemp())
    (folder / "tiny.gguf").write_bytes(TINY.read_bytes())
    served = Served(folder, (str(folder),), engine=False)
    try:
        words = ("launch", "tiny.gguf", "--engine", "embedded", "--detach", "-c", "512", "--port", str(any_free_port()))
        assert served.splitter(*words).returncode == 0
        for path in ("/run/tiny/events", "/run/tiny/events", "/run/events"):
            threading.Thread(target=read_on, args=(served, path), daemon=True).start()
        process, until = psutil.Process(served.process.pid), time.monotonic() + 60 * minutes
        seen: list[float] = []
        while time.monotonic() < until:
            time.sleep(30)
            seen.append(process.memory_info().rss / 1e6)
            told(f"{len(seen) / 2:5.1f} min {seen[-1]:7.1f} MB, {process.num_threads()} threads, "
                 f"{process.num_fds()} files, {sum(process.cpu_times()[:2]):.0f} s of CPU")  # fmt: skip
        half = len(seen) // 2
        told(f"middle of the first half {statistics.median(seen[:half]):.1f} MB, "
             f"of the second {statistics.median(seen[half:]):.1f} MB")  # fmt: skip
    finally:
        served.close()


def read_on(served: Served, path: str) -> None:
    request = urllib.request.Request(served.base + path, headers={"Authorization": f"Bearer {served.key}"})
    with urllib.request.urlopen(request) as stream:
        while stream.readline():
            pass


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["slider", "start", "watch"])
    parser.add_argument("--minutes", type=float, default=60)
    given = parser.parse_args()
    if given.what == "watch":
        watch(given.minutes)
    else:
        {"slider": slider, "start": start}[given.what]()


if __name__ == "__main__":
    main()
