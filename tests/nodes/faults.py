"""Issue 17, Show 4: what goes wrong on a machine, on the way to it and here, and how the launch comes back.

    python -m tests.nodes.faults [--times 10] [CASE...]

Each line: the case, how often it went as it must, the longest time until the server answered again (or the launch was
refused), and what was said. Nothing may be left over, and nothing may hang for more than LIMIT_S.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.nodes.group import FAR, HERE, Launched, launched, left_over, small_model
from tests.nodes.lab import Lab, Machine, lab

LIMIT_S = 90.0  # of one recovery on a machine under load; a hang is seen after 12 s
Case = Callable[[Lab, Path], tuple[float, str]]


def last_words(text: str, *signs: str) -> str:
    """The last line that has one of the signs."""
    lines = [line for line in text.splitlines() if any(sign in line for sign in signs)]
    return re.sub(r"\x1b\[[\d;]*m", "", lines[-1]).strip()[:160] if lines else ""


def comes_back(made: Lab, model: Path, hurt: Callable[[Launched], None], *signs: str) -> tuple[float, str]:
    """A ready group, hurt; seconds until its second start answers."""
    with launched(made, model) as group:
        group.wait_ready()
        assert group.answers() is not None
        began = time.monotonic()
        hurt(group)
        group.wait_ready(starts=2, timeout_s=LIMIT_S)
        assert group.answers() is not None, group.words[-2000:]
        took = time.monotonic() - began
        said = last_words(group.words, *signs)
        assert said, group.words[-2000:]
    return took, said


def refused(made: Lab, model: Path, *signs: str) -> tuple[float, str]:
    """A launch that must be refused with exit code 4 and a sentence."""
    began = time.monotonic()
    group = Launched(made, model)
    code = group.process.wait(LIMIT_S)
    took = time.monotonic() - began
    group.stop()
    assert code in {1, 4}, (code, group.words[-2000:])
    assert "Traceback" not in group.words
    said = last_words(group.words, *signs)
    assert said, group.words[-3000:]
    return took, f"exit {code}: {said}"


def killed_idle(made: Lab, model: Path) -> tuple[float, str]:
    return comes_back(made, model, lambda _: made.machines["cellar"].signal_workers(signal.SIGKILL), "is gone", "died")


def killed_generating(made: Lab, model: Path) -> tuple[float, str]:
    def hurt(group: Launched) -> None:
        asked = threading.Thread(target=group.answers, args=(400,), daemon=True)
        asked.start()
        time.sleep(0.2)
        made.machines["attic"].signal_workers(signal.SIGKILL)
        asked.join(30)
        assert not asked.is_alive(), "the stream hangs"

    return comes_back(made, model, hurt, "is gone", "died")


def stopped_generating(made: Lab, model: Path) -> tuple[float, str]:
    """SIGSTOP: nothing ends, tokens stop coming."""

    def hurt(group: Launched) -> None:
        made.machines["attic"].signal_workers(signal.SIGSTOP)
        threading.Thread(target=group.answers, args=(400,), daemon=True).start()

    try:
        return comes_back(made, model, hurt, "no answer and no token", "is gone")
    finally:
        made.machines["attic"].signal_workers(signal.SIGKILL)


def link_down_generating(made: Lab, model: Path) -> tuple[float, str]:
    """A pulled cable, plugged in again when the hang has been seen."""

    def hurt(group: Launched) -> None:
        made.machines["cellar"].proxy.stop()
        threading.Thread(target=group.answers, args=(400,), daemon=True).start()
        with suppress(AssertionError):
            group.wait_said("start again", 40)
        made.machines["cellar"].proxy.cut()
        made.machines["cellar"].proxy.go()

    try:
        return comes_back(made, model, hurt, "no answer and no token", "is gone")
    finally:
        made.machines["cellar"].proxy.go()


def tunnel_cut(made: Lab, model: Path) -> tuple[float, str]:
    return comes_back(made, model, lambda _: made.machines["attic"].proxy.cut(), "is gone", "died")


def server_killed(made: Lab, model: Path) -> tuple[float, str]:
    def hurt(group: Launched) -> None:
        entry = group.entry()
        assert entry is not None
        os.kill(int(entry["engine_pid"]), signal.SIGKILL)

    return comes_back(made, model, hurt, "died", "ended")


def supervisor_killed(made: Lab, model: Path) -> tuple[float, str]:
    """The launch vanishes without a word: server, ssh and workers end."""
    with launched(made, model) as group:
        group.wait_ready()
        began = time.monotonic()
        group.process.kill()
        while left_over(made):
            assert time.monotonic() - began < LIMIT_S, left_over(made)
        return time.monotonic() - began, "nothing left"


def client_vanishes(made: Lab, model: Path) -> tuple[float, str]:
    """This machine is switched off: no packet comes from it any more, and the workers over there end by themselves."""
    with launched(made, model) as group:
        group.wait_ready()
        for machine in made.machines.values():
            machine.proxy.stop()
        began = time.monotonic()
        while any(machine.workers() for machine in made.machines.values()):
            assert time.monotonic() - began < LIMIT_S
            time.sleep(0.2)
        took = time.monotonic() - began
        for machine in made.machines.values():
            machine.proxy.cut()
            machine.proxy.go()
    return took, "the workers ended"


def port_taken(made: Lab, model: Path) -> tuple[float, str]:
    """Another service on the worker's port over there: the next one is taken."""
    import socket

    port = node_port(made, "attic")
    began = time.monotonic()
    with socket.create_server(("127.0.0.1", port)), launched(made, model) as group:
        group.wait_ready()
        assert group.answers() is not None
        assert f"port {port + 1}, build" in group.words or f"port {port + 2}, build" in group.words, group.words[-2000:]
        return time.monotonic() - began, last_words(group.words, "attic: worker ready")


def no_worker(made: Lab, model: Path) -> tuple[float, str]:
    with patched(made.machines["attic"], "exec", "exec /nonexistent/python; exec"):
        return refused(made, model, "attic")


def other_build(made: Lab, model: Path) -> tuple[float, str]:
    """The worker says another build than ours: refused, with the command that installs it."""
    home = made.machines["attic"].home
    fake = home / "bin"
    fake.mkdir(exist_ok=True)
    real = shutil.which("llama-server", path=made.env["PATH"])
    (fake / "llama-server").write_text(
        f'#!/bin/sh\ncase "$1" in --version) echo "version: 10000 (abcdef12)";; *) exec {real} "$@";; esac\n'
    )
    (fake / "llama-server").chmod(0o755)
    worker = fake / "ggml-rpc-server"
    with suppress(FileExistsError):
        worker.symlink_to(str(shutil.which("ggml-rpc-server", path=made.env["PATH"])))
    with patched(made.machines["attic"], "export PATH='", f"export PATH='{fake}:"):
        return refused(made, model, "same build")


def ssh_refused(made: Lab, model: Path) -> tuple[float, str]:
    with patched(made.machines["attic"], "", "", config=("Port ", "Port 1\n  #")):
        return refused(made, model, "attic")


def host_key_changed(made: Lab, model: Path) -> tuple[float, str]:
    known = made.folder / "known_hosts"
    text = known.read_text()
    keys = [line.split(" ", 1)[1] for line in text.splitlines()]
    known.write_text(f"attic {keys[1]}\ncellar {keys[0]}\n")
    try:
        return refused(made, model, "host key")
    finally:
        known.write_text(text)


def disk_full(made: Lab, model: Path) -> tuple[float, str]:
    """The worker's cache finds no room: it serves without one."""
    with (
        patched(made.machines["attic"], "exec", "export LLAMA_CACHE=/dev/full/rpc; exec"),
        launched(made, model) as group,
    ):
        began = time.monotonic()
        group.wait_ready()
        assert group.answers() is not None
        return time.monotonic() - began, "serves without its cache"


def clock_off(made: Lab, model: Path) -> tuple[float, str]:
    """The node's clock is ten years ahead: nothing compares it with ours."""
    home = made.machines["cellar"].home
    (home / "sitecustomize.py").write_text("import time\n_now = time.time\ntime.time = lambda: _now() + 315360000\n")
    with patched(made.machines["cellar"], "exec", f"export PYTHONPATH={home}; exec"), launched(made, model) as group:
        began = time.monotonic()
        group.wait_ready()
        assert group.answers() is not None
        return time.monotonic() - began, "serves"


def gone_and_back(made: Lab, model: Path) -> tuple[float, str]:
    """A machine is switched off: planned around; switched on: taken back when idle. Layers may go to RAM here."""
    with launched(made, model, nodes="attic,cellar", layers="13") as group:
        group.wait_ready()
        used = [name for name in made.machines if made.machines[name].workers()]
        name = used[0]
        config = made.folder / "ssh_config"
        text = config.read_text()
        port = made.machines[name].proxy.port
        config.write_text(text.replace(f"Port {port}\n", "Port 1\n"))
        began = time.monotonic()
        try:
            made.machines[name].proxy.cut()
            group.wait_said(f"{name} is gone (", LIMIT_S)
            group.wait_ready(starts=2, timeout_s=LIMIT_S)
        finally:
            config.write_text(text)
        took = time.monotonic() - began
        assert group.answers() is not None
        group.wait_said(f"{name} answers again", 120)
        group.wait_ready(starts=3, timeout_s=LIMIT_S)
        assert group.answers() is not None
        return took, last_words(group.words, "is gone (")


CASES: dict[str, Case] = {
    "worker killed while idle": killed_idle,
    "worker killed while generating": killed_generating,
    "worker stopped": stopped_generating,
    "link down": link_down_generating,
    "tunnel cut": tunnel_cut,
    "server killed": server_killed,
    "launch killed": supervisor_killed,
    "client host vanishes": client_vanishes,
    "port taken by another service": port_taken,
    "worker absent": no_worker,
    "another build": other_build,
    "ssh refused": ssh_refused,
    "host key changed": host_key_changed,
    "node's disk full": disk_full,
    "node's clock off": clock_off,
    "machine gone and back": gone_and_back,
}


def node_port(made: Lab, name: str) -> int:
    listed = made.splitter("node", "list", "--json").stdout
    import json

    return int(next(node["port"] for node in json.loads(listed)["data"]["nodes"] if node["name"] == name))


@contextmanager
def patched(machine: Machine, old: str, new: str, *, config: tuple[str, str] | None = None) -> Iterator[None]:
    """The machine's `splitter` with something else in it; or ssh's config of it."""
    path = machine.home / "splitter" if config is None else machine.home.parent / "ssh_config"
    text = path.read_text()
    old, new = config or (old, new)
    head, found, tail = text.partition(f"Host {machine.name}\n") if config else ("", "", text)
    assert old in tail
    path.write_text(head + found + tail.replace(old, new, 1))
    try:
        yield
    finally:
        path.write_text(text)


def run(times: int, chosen: list[str]) -> int:
    """Prints the table; how many runs went wrong."""
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        model = small_model(Path(folder) / "model")
        with lab(Path(folder) / "lab", FAR, HERE, rtt_s=0.0005, bytes_per_s=117e6) as made:
            made.add_all()
            for name, case in CASES.items():
                if chosen and name not in chosen:
                    continue
                failures += _repeat(name, case, times, made, model)
    return failures


def _repeat(name: str, case: Case, times: int, made: Lab, model: Path) -> int:
    longest, said, wrong = 0.0, "", []
    for _ in range(times):
        try:
            took, said = case(made, model)
            longest = max(longest, took)
            rest = left_over(made)
            if rest:
                wrong.append(f"left over: {rest}")
        except (AssertionError, subprocess.TimeoutExpired) as error:
            wrong.append(str(error)[-600:])
    sys.stdout.write(f"{name:32} {times - len(wrong)} of {times}, longest {longest:5.1f} s: {said}\n")
    for text in wrong[:2]:
        sys.stdout.write(f"    {text}\n")
    sys.stdout.flush()
    return len(wrong)


if __name__ == "__main__":
    words = sys.argv[1:]
    count = int(words[words.index("--times") + 1]) if "--times" in words else 1
    wanted = [word for word in words if word in CASES]
    raise SystemExit(1 if run(count, wanted) else 0)
