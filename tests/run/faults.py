"""Issue 6, Show 1: the fault table. `splitter launch` as a process, each thing that can go wrong, many times.

    python -m tests.run.faults [--times 20] [--jobs 2] [--only CASE ...]

After every run: the exit code, one sentence and no traceback, no process, no entry in `splitter ps`, the port free, the
engine's log whole to its last words. Linux only (signals, a terminal, the emulated rig).
"""

import argparse
import re
import signal
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from splitter.engine.log.shortage import shortage
from splitter.errors import EXIT_INTERRUPTED
from tests.engine.oracle import CACHE
from tests.run.oom_replan import small_model
from tests.run.scene import GATE, REAL, STAND_IN, Scene, Stage

Act = Callable[[Scene], None]
ONCE = "if [ -e {folder}/again ]; then " + REAL + "; fi; touch {folder}/again; " + STAND_IN
LISTENING, CLEANED = "listening on", "cleaning up before exit"
HEALS = ("--restart", "on-failure", "--max-restarts", "2")
QUICK = ("health_interval_s: 0.2", "health_failures: 2", "restart_degraded_s: 0.2", "stop_timeout_s: 2")
NO_REPLAN = ("oom_replans: 0",)
STOPS = ("stop_timeout_s: 1", "terminate_after_s: 0.5")
EARLY = "interrupted"
# Fits on the card as reported; what it really has ends before, between and behind its weights and its cache (384 MiB).
BIG, BIG_CONTEXT = "small.gguf", 8192

LOST_DRIVER = """
import time
BORN = time.monotonic()
class NVMLError(Exception): pass
class NVMLError_GpuIsLost(NVMLError): pass
NVML_CLOCK_MEM = 2
class Told:
    def __init__(self, **told): self.__dict__.update(told)
def ask(answer):
    def asked(*_):
        import os
        if os.path.exists(os.environ["SPLITTER_FAULT_SCENE"] + "/lost"): raise NVMLError_GpuIsLost("GPU is lost")
        return answer
    return asked
nvmlInit = nvmlShutdown = lambda: None
nvmlDeviceGetCount = ask(1)
nvmlDeviceGetHandleByIndex = ask(0)
nvmlDeviceGetName = ask("NVIDIA GeForce RTX 3070")
nvmlDeviceGetPciInfo = ask(Told(busId="00000000:01:00.0"))
nvmlDeviceGetMemoryInfo = ask(Told(total=8 << 30, free=7 << 30, used=1 << 30))
"""
JUMPING_CLOCK = """
import time
_time, _born = time.time, time.monotonic()
def jumping():
    at = time.monotonic() - _born
    return _time() + (0 if at < 1 else 3 * 86400 if at < 2.5 else -3 * 86400)
time.time = jumping
"""


@dataclass(frozen=True)
class Fault:
    """`act` is what happens to the launch; `code` its exit code; `sentence` what it must have said; `errors` how many
    "error:" lines; `last_words` what the engine's log must hold (every start, up to the end);
    `oom` the step that had no memory."""

    name: str
    stage: Stage
    act: Act
    code: int
    sentence: str
    last_words: str | None = LISTENING
    errors: int = 1
    oom: str | None = None


@dataclass(frozen=True)
class Outcome:
    """One run: what was wrong (nothing: it was ok), how it ended, what it said."""

    wrong: tuple[str, ...]
    code: int | None
    said: str
    left: tuple[str, ...] = field(default=())


def nothing(scene: Scene) -> None:
    """It fails by itself."""


def hit(number: int, scene: Scene) -> None:
    """Somebody kills the engine."""
    scene.ready().send_signal(number)


def ask(scene: Scene, *numbers: int) -> None:
    """The supervisor gets signals, one after the other."""
    for number in numbers:
        scene.supervisor.send_signal(number)
        time.sleep(0.05)


def when_ready(*numbers: int, starts: int = 1) -> Act:
    def act(scene: Scene) -> None:
        scene.ready(starts)
        ask(scene, *numbers)

    return act


def heal(number: int, scene: Scene) -> None:
    hit(number, scene)
    scene.ready(2)
    ask(scene, signal.SIGINT)


def when_loading(do: Act) -> Act:
    def act(scene: Scene) -> None:
        scene.spawned()
        do(scene)
        scene.go()

    return act


def freeze(scene: Scene) -> None:
    scene.spawned()
    scene.engine().suspend()


def truncate(scene: Scene) -> None:
    scene.model.write_bytes(scene.model.read_bytes()[:60_000])


def delete(scene: Scene) -> None:
    scene.model.unlink()


def replace_model(scene: Scene) -> None:
    scene.model.write_bytes(b"no model" * 9999)


def stop_loading(scene: Scene) -> None:
    scene.spawned()
    ask(scene, signal.SIGINT)


def close_loading(scene: Scene) -> None:
    scene.spawned()
    scene.close_terminal()


def take(scene: Scene) -> None:
    scene.take_port()


def run_on(scene: Scene) -> None:
    """Ready, and well a while later."""
    scene.ready()
    time.sleep(3)
    assert len(scene.listed()) == 1, "ps does not list it"
    ask(scene, signal.SIGINT)


def page(scene: Scene) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{scene.metrics_port}/metrics", timeout=5) as answer:
        return str(answer.read().decode())


def lose_driver(scene: Scene) -> None:
    scene.ready()
    used = "splitter_device_memory_used_bytes{"
    scene.until(lambda: used in page(scene), "showing the card")
    (scene.folder / "lost").touch()
    scene.until(lambda: used not in page(scene), "without the card")
    scene.until(lambda: "splitter_engine_up 1.0" in page(scene), "up")
    ask(scene, signal.SIGINT)


def close_window(scene: Scene) -> None:
    scene.ready()
    scene.close_terminal()


def lacking(name: str, true_mib: int, words: str) -> Fault:
    """No memory at one of the steps, on a card that has less than was reported."""
    stage = Stage(true_mib=true_mib, context=BIG_CONTEXT, supervision=NO_REPLAN, model=CACHE / BIG)
    sentence = r"ended while it loaded: CUDA0 had no room for another [\d.]+ [MG]iB"
    return Fault(f"oom-{name}", stage, nothing, 4, sentence, words, oom=name)


def killed(number: signal.Signals) -> tuple[Fault, Fault]:
    name = number.name.removeprefix("SIG").lower()
    return (
        Fault(f"engine-{name}", Stage(), partial(hit, number), 4, rf"ended while it ran \(killed by {number.name}\)"),
        Fault(
            f"engine-{name}-heals", Stage(flags=HEALS), partial(heal, number), EXIT_INTERRUPTED,
            "llama-server died: it will be restarted.*is ready again", f"{LISTENING}.*{LISTENING}.*{CLEANED}", errors=0,
        ),
    )  # fmt: skip


def stopped(name: str, act: Act, code: int = EXIT_INTERRUPTED, words: str = CLEANED, said: str = EARLY) -> Fault:
    return Fault(name, Stage(), act, code, said, words, errors=0)


def while_loading(name: str, do: Act, sentence: str, words: str | None) -> Fault:
    return Fault(name, Stage(serve=GATE), when_loading(do), 4, sentence, words)


FAULTS: tuple[Fault, ...] = (
    lacking("model", 30, "unable to allocate CUDA0 buffer"),
    lacking("context", 200, "failed to allocate buffer for kv cache"),
    lacking("compute", 465, "failed to allocate compute"),
    Fault(
        "oom-context-heals", Stage(true_mib=200, context=BIG_CONTEXT, model=CACHE / BIG), when_ready(signal.SIGINT),
        EXIT_INTERRUPTED, "out of memory: CUDA0 has .* less than reported", CLEANED, errors=0,
    ),
    Fault(
        "oom-running", Stage(serve=STAND_IN, behaviours="lacks", supervision=NO_REPLAN), nothing, 4,
        "ended while it ran: CUDA0 had no room for more memory", "cuMemCreate",
    ),
    Fault(
        "oom-running-heals", Stage(serve=ONCE, behaviours="lacks", flags=HEALS), when_ready(signal.SIGINT, starts=2),
        EXIT_INTERRUPTED, "out of memory: CUDA0 has .* less than reported.*is ready again", CLEANED, errors=0,
    ),
    *killed(signal.SIGKILL),
    *killed(signal.SIGSEGV),
    Fault("engine-term", Stage(), partial(hit, signal.SIGTERM), 0, "the engine ended with exit code 0", CLEANED, 0),
    Fault(
        "engine-hangs-loading", Stage(serve=GATE, supervision=STOPS, flags=("--start-timeout", "2")), freeze, 4,
        "was not ready after 2 s and was stopped", None,
    ),
    Fault(
        "engine-answers-500",
        Stage(serve=STAND_IN, behaviours="errs", supervision=QUICK, flags=("--max-restarts", "1")), nothing, 4,
        "failed 2 health probes in a row after 1 restart in a row", "fake engine",
    ),
    Fault(
        "engine-answers-500-heals", Stage(serve=ONCE, behaviours="errs", supervision=QUICK, flags=HEALS),
        when_ready(signal.SIGINT, starts=2), EXIT_INTERRUPTED, "does not answer its health probes.*is ready again",
        CLEANED, errors=0,
    ),
    Fault("port-taken-before", Stage(port_taken=True), nothing, 4, r"port \d+ on 127.0.0.1 is already used", None),
    while_loading("port-taken-between", take, r"port \d+ is taken by another program", "couldn't bind"),
    while_loading("model-truncated", truncate, "cannot read the model", "exiting due to model loading error"),
    while_loading("model-deleted", delete, "there is no file", "exiting due to model loading error"),
    while_loading(
        "model-replaced", replace_model, "cannot read the model",
        "exiting due to model loading error",
    ),
    Fault(
        "disk-full", Stage(log="/dev/full"), when_ready(signal.SIGINT), EXIT_INTERRUPTED,
        "the log file /dev/full cannot be written .*; the engine runs on", None, errors=0,
    ),
    stopped("supervisor-kill", when_ready(signal.SIGKILL), -signal.SIGKILL, LISTENING, "ready at"),
    stopped("supervisor-term", when_ready(signal.SIGTERM)),
    stopped("ctrl-c", when_ready(signal.SIGINT)),
    stopped("ctrl-c-twice", when_ready(signal.SIGINT, signal.SIGINT), words=f"{CLEANED}|second interrupt, terminating"),
    Fault(
        "ctrl-c-loading", Stage(serve=GATE, supervision=STOPS), stop_loading,
        EXIT_INTERRUPTED, EARLY, None, errors=0,
    ),
    Fault("terminal-closed", Stage(terminal=True), close_window, EXIT_INTERRUPTED, "ready at", CLEANED, 0),
    Fault(
        "terminal-closed-loading",
        Stage(terminal=True, serve=GATE, supervision=STOPS),
        close_loading,
        EXIT_INTERRUPTED,
        "CUDA0",
        None,
        errors=0,
    ),
    Fault(
        "driver-disappears",
        Stage(modules={"pynvml.py": LOST_DRIVER}, flags=("--restart", "never", "--metrics", "{metrics}")),
        lose_driver, EXIT_INTERRUPTED, EARLY, CLEANED, errors=0,
    ),
    Fault(
        "clock-jumps", Stage(modules={"sitecustomize.py": JUMPING_CLOCK}, supervision=QUICK, flags=HEALS), run_on,
        EXIT_INTERRUPTED, EARLY, CLEANED, errors=0,
    ),
)  # fmt: skip


def run(fault: Fault) -> Outcome:
    """One run of one case in a folder of its own."""
    if fault.stage.model.name == BIG and not fault.stage.model.exists():
        small_model(CACHE)
    with tempfile.TemporaryDirectory(prefix="splitter-fault-") as there:
        scene = Scene(fault.stage, Path(there))
        try:
            wrong: list[str] = []
            try:
                fault.act(scene)
                code: int | None = scene.ended()
            except AssertionError as error:
                wrong, code = [str(error)], scene.supervisor.poll()
            left = scene.left()
            return Outcome((*wrong, *judge(fault, scene, code), *left), code, scene.said(), tuple(left))
        finally:
            scene.clean()


def judge(fault: Fault, scene: Scene, code: int | None) -> list[str]:
    """What was not as it should be."""
    said, wrong = scene.said(), []
    if code != fault.code:
        wrong.append(f"exit code {code}, not {fault.code}")
    if not re.search(fault.sentence, said, re.DOTALL):
        wrong.append(f"never said {fault.sentence!r}, but: {said[-800:]}")
    if (errors := len(re.findall("^error: ", said, re.MULTILINE))) != fault.errors:
        wrong.append(f"{errors} errors, not {fault.errors}")
    if "Traceback" in said or "Exception" in said:
        wrong.append("traceback")
    log = scene.log.read_text(errors="replace") if scene.log.is_file() else ""
    if fault.last_words and not re.search(fault.last_words, log, re.DOTALL):
        wrong.append(f"the log lacks {fault.last_words!r}: {log[-800:]}")
    if fault.oom:
        short = shortage(log.splitlines(), loading=True)
        stage = short.stage if short else None
        wrong += [] if stage == fault.oom else [f"no memory for {stage}, not {fault.oom}: {log[-800:]}"]
    return wrong


def main() -> int:
    """The table; 1 when any run was not ok."""
    parser = argparse.ArgumentParser(prog="python -m tests.run.faults", description="The fault table.")
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", nargs="*", default=[], metavar="CASE")
    args = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job passes on a deaf ear
    bad = 0
    sys.stdout.write(f"{'case':26} runs   ok  exit    left     said\n")
    with ThreadPoolExecutor(args.jobs) as pool:
        for fault in [f for f in FAULTS if not args.only or f.name in args.only]:
            outcomes = list(pool.map(run, [fault] * args.times))
            bad += sum(bool(outcome.wrong) for outcome in outcomes)
            sys.stdout.writelines(row(fault, outcomes))
            sys.stdout.flush()
    return int(bool(bad))


def row(fault: Fault, outcomes: list[Outcome]) -> list[str]:
    """A case's line, and what was wrong with its runs."""
    good = sum(not outcome.wrong for outcome in outcomes)
    codes = ",".join(sorted({str(outcome.code) for outcome in outcomes}))
    left = ", ".join({words for outcome in outcomes for words in outcome.left}) or "nothing"
    found = re.search(fault.sentence, outcomes[-1].said, re.DOTALL)
    said = " ".join(found[0].split())[:110] if found else "-"
    lines = [f"{fault.name:26} {len(outcomes):4} {good:4}  {codes:6}  {left:8} {said}\n"]
    return lines + [f"    {wrong}\n" for outcome in outcomes for wrong in outcome.wrong]


if __name__ == "__main__":
    sys.exit(main())
