"""Launching, waiting and stopping real processes that misbehave on purpose."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from splitter.cli.signals import give_signals_back, take_signals
from splitter.engine.command import EngineCommand, EngineRef, Server
from splitter.engine.supervision import UNSUPERVISED
from splitter.errors import EngineError, EngineNotFoundError
from splitter.run.endpoint import any_free_port
from splitter.run.exit_code import exit_words
from splitter.run.log_file import LogFile
from splitter.run.supervisor import launch

FAKE = Path(__file__).parent / "fake_engine.py"
QUICK = replace(UNSUPERVISED, ready_timeout_s=20, terminate_after_s=0.3, stop_timeout_s=0.6, kill_timeout_s=5)
posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")


def fake(*behaviours: str, kind: str = "llama-server", env: dict[str, str] | None = None) -> EngineCommand:
    port = any_free_port()
    argv = (sys.executable, str(FAKE), str(port), *behaviours)
    return EngineCommand(EngineRef(kind), argv, env or {}, Server(port=port))


pytestmark = pytest.mark.usefixtures("no_process_left")


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Every test leaves the signal handlers as it found them."""
    handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    yield
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == handlers


@contextmanager
def signals_taken() -> Iterator[None]:
    """As the command line takes them."""
    take_signals()
    try:
        yield
    finally:
        give_signals_back()


def gone(pid: int) -> bool:
    """Killed, or a zombie that nobody above us has reaped yet."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False


def child_pid(lines: tuple[str, ...]) -> int:
    return int(next(line for line in lines if line.startswith("child ")).split()[1])


def test_ready_and_stopped() -> None:
    with launch(fake("slow", env={"FAKE": "from the command"})) as instance:
        assert instance.wait_ready().phase == "ready"
        assert instance.ready_s is not None
        assert instance.ready_s >= 0.3
        assert instance.lines[0] == "fake engine: from the command"
        assert instance.url == f"http://127.0.0.1:{instance.command.server.port}"
        assert instance.wait(0.05) is None
    assert (instance.phase, instance.exit_code) == ("exited", 0)
    assert instance.stop() == 0


def test_koboldcpp_is_ready_when_it_names_itself_and_a_model() -> None:
    with launch(fake("kobold", kind="koboldcpp")) as instance:
        instance.wait_ready()


def test_koboldcpp_without_a_model_is_not_waited_for() -> None:
    with pytest.raises(EngineError, match="koboldcpp serves no model"):
        launch(fake("kobold-no-model", kind="koboldcpp"), supervision=QUICK).wait_ready()


def test_death_while_loading_quotes_a_log_that_blames_nothing_known() -> None:
    with launch(fake("dies")) as instance, pytest.raises(EngineError, match="exit code 7") as caught:
        instance.wait_ready()
    assert "the fake is not in the mood" in caught.value.message
    assert (instance.phase, instance.exit_code) == ("failed", 7)


def test_death_after_ready() -> None:
    with launch(fake("dies-later")) as instance:
        instance.wait_ready()
        with pytest.raises(EngineError, match=r"ended while it ran \(exit code 9\)"):
            instance.wait(20)


def test_too_slow() -> None:
    with pytest.raises(EngineError, match=r"not ready after 0\.4 s and was stopped"):
        launch(fake("silent"), start_timeout_s=0.4, supervision=QUICK).wait_ready()


@posix
@pytest.mark.parametrize(("behaviour", "code"), [("deaf", -signal.SIGTERM), ("stubborn", -signal.SIGKILL)])
def test_the_ladder_ends_what_does_not_listen(behaviour: str, code: int) -> None:
    with launch(fake(behaviour), supervision=QUICK) as instance:
        instance.wait_ready()
    assert (instance.phase, instance.exit_code) == ("exited", code)


@pytest.mark.parametrize("behaviour", ["parent", "leaver"])
def test_what_the_engine_started_dies_with_it(behaviour: str) -> None:
    with launch(fake(behaviour), supervision=QUICK) as instance:
        if behaviour == "parent":
            instance.wait_ready()
        else:
            with pytest.raises(EngineError, match="exit code 7"):
                instance.wait_ready()
        child = child_pid(instance.lines)
    assert gone(child)


def test_a_taken_port_is_refused_before_anything_starts() -> None:
    command = fake()
    with launch(command) as first:
        first.wait_ready()
        with pytest.raises(
            EngineError, match=rf"port {command.server.port} .* is already used by .*pid {first.pid}"
        ) as caught:
            launch(command)
        assert "--port" in caught.value.hint


def test_another_program_that_answers_on_the_port_is_not_ours() -> None:
    command = fake("silent")
    ours = launch(command, supervision=QUICK)
    with subprocess.Popen([sys.executable, str(FAKE), str(command.server.port)], stdout=subprocess.DEVNULL) as other:
        try:
            with ours, pytest.raises(EngineError, match="another program answers"):
                ours.wait_ready()
        finally:
            other.kill()


def test_a_missing_program() -> None:
    with pytest.raises(EngineNotFoundError, match="the program /nowhere/llama-server was not found"):
        launch(EngineCommand(EngineRef("llama-server"), ("/nowhere/llama-server",), {}, Server(port=any_free_port())))


@posix
def test_a_file_that_is_no_program(tmp_path: Path) -> None:
    (tmp_path / "engine").write_text("no program", encoding="utf-8")
    (tmp_path / "engine").chmod(0o755)
    command = EngineCommand(EngineRef("llama-server"), (str(tmp_path / "engine"),), {}, Server(port=any_free_port()))
    with pytest.raises(EngineError, match="cannot be started"):
        launch(command)


def test_a_flood_of_output_is_bounded_and_the_end_is_kept(tmp_path: Path) -> None:
    seen: list[str] = []
    log = tmp_path / "logs" / "engine.log"
    written = LogFile(log)

    def both(line: str) -> None:
        seen.append(line)
        written.write(line)

    with launch(fake("chatty"), on_log=both) as instance:
        instance.wait_ready()
    assert len(instance.lines) == 2000
    assert instance.lines[-1] == "last"
    assert len(seen) == 20_003
    assert log.read_text(encoding="utf-8").splitlines() == seen


def test_bytes_that_are_not_utf8() -> None:
    with launch(fake("garbage")) as instance:
        instance.wait_ready()
    assert "caf� �" in instance.lines


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_does_not_take_the_engine_down() -> None:
    with launch(fake("chatty"), on_log=LogFile(Path("/dev/full")).write) as instance:
        instance.wait_ready()
    assert instance.exit_code == 0


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_listener_that_fails_does_not_block_the_engine() -> None:
    def broken(line: str) -> None:
        raise ValueError(line)

    with launch(fake("chatty"), on_log=broken) as instance:
        instance.wait_ready()


def test_it_can_be_launched_from_a_thread() -> None:
    codes: list[int | None] = []

    def work() -> None:
        with launch(fake()) as instance:
            instance.wait_ready()
        codes.append(instance.exit_code)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(20)
    assert codes == [0]


SUPERVISE = """
import sys
from splitter.cli.signals import give_signals_back, take_signals
from splitter.engine.command import EngineCommand, EngineRef, Server
from splitter.engine.supervision import Supervision
from splitter.cli.signals import take_signals
from splitter.run.supervisor import launch
take_signals()
port = int(sys.argv[2])
command = EngineCommand(EngineRef("llama-server"), (sys.executable, *sys.argv[1:]), {}, Server(port=port))
try:
    patient = Supervision(restart="never", oom_replans=0, terminate_after_s=1e9, stop_timeout_s=2e9)
    with launch(command, supervision=patient) as instance:
        instance.wait_ready()
        print("engine", instance.pid, flush=True)
        instance.wait()
except KeyboardInterrupt:
    print("interrupted", instance.exit_code, flush=True)
    sys.exit(130)
"""


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_the_supervisor_stops_the_engine(number: signal.Signals) -> None:
    argv = [sys.executable, "-c", SUPERVISE, str(FAKE), str(any_free_port())]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        engine = int(supervisor.stdout.readline().split()[1])
        supervisor.send_signal(number)
        assert supervisor.stdout.readline() == "interrupted 0\n"
        assert supervisor.wait(20) == 130
    assert gone(engine)


@posix
def test_ctrl_c_that_python_drops_stops_the_engine_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal may come while a finalizer runs: exceptions are printed there and forgotten."""

    class Dropping:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGINT)

    dropped: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda seen: dropped.append(seen.exc_type))
    with signals_taken(), launch(fake()) as instance:
        instance.wait_ready()
        Dropping()
        assert dropped == [KeyboardInterrupt]
        with pytest.raises(KeyboardInterrupt):
            instance.wait(10)
    assert gone(instance.pid)


def test_an_instance_touches_no_signal() -> None:
    """They belong to the command line: a program that launches has its own."""
    numbers = [signal.SIGINT, signal.SIGTERM]
    before = [signal.getsignal(number) for number in numbers]
    with launch(fake()) as instance:
        assert [signal.getsignal(number) for number in numbers] == before
        instance.wait_ready()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert gone(instance.pid)


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_nobody_listens_to_does_what_it_always_does(number: signal.Signals) -> None:
    taken = "import signal; from splitter.cli.signals import take_signals; take_signals()"
    program = f"{taken}; signal.raise_signal({int(number)})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == -number
    assert ("KeyboardInterrupt" in done.stderr) == (number == signal.SIGINT)


def test_ctrl_c_again_and_again_climbs_the_ladder() -> None:
    argv = [sys.executable, "-c", SUPERVISE, str(FAKE), str(any_free_port()), "stubborn"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        engine = int(supervisor.stdout.readline().split()[1])
        for _ in range(3):
            os.kill(supervisor.pid, signal.SIGINT)
            time.sleep(0.2)
        assert supervisor.stdout.readline() == f"interrupted {-signal.SIGKILL}\n"
        assert supervisor.wait(20) == 130
    assert gone(engine)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (1, "exit code 1"),
        (-11, "killed by SIGSEGV"),
        (-99, "killed by signal 99"),
        (139, "exit code 139: killed by SIGSEGV"),
        (0xC0000005, "exit code 0xc0000005: access violation"),
        (0xC0FFEE00, "exit code 0xc0ffee00"),
    ],
)
def test_exit_codes_in_words(code: int, words: str) -> None:
    assert exit_words(code) == words
