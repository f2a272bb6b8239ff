"""Engines that misbehave in odd ways: each ends as it should, in a sentence, with nothing left behind. POSIX only."""

import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from splitter.engine.command import EngineCommand, EngineRef, Server
from splitter.engine.supervision import UNSUPERVISED
from splitter.errors import EngineError
from splitter.run import endpoint
from splitter.run.endpoint import any_free_port, ask
from splitter.run.log_file import LogFile
from splitter.run.process import LONGEST_LINE
from splitter.run.supervisor import launch

pytestmark = [
    pytest.mark.usefixtures("no_process_left"),
    pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX"),
]
QUICK = replace(
    UNSUPERVISED,
    ready_timeout_s=15, terminate_after_s=0.3, stop_timeout_s=0.6, kill_timeout_s=5, health_interval_s=0.2,
    health_failures=2, restart_degraded_s=0.2, backoff_s=0.2,
)  # fmt: skip
# What each engine has: its port, and a server that answers every path as told.
PRELUDE = """
import os, signal, socket, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
PORT = int(sys.argv[1])
class Page(BaseHTTPRequestHandler):
    status, body, wanted = 200, b"{}", None
    def do_GET(self):
        refused = self.wanted and self.headers.get("Authorization") != "Bearer " + self.wanted
        self.send_response(401 if refused else self.status)
        self.end_headers()
        self.wfile.write(self.body)
    def log_message(self, *_): pass
def serve():
    try: ThreadingHTTPServer(("127.0.0.1", PORT), Page).serve_forever()
    except KeyboardInterrupt: os._exit(0)
def later(seconds, do): threading.Timer(seconds, do).start()
def say(data): sys.stdout.buffer.write(data); sys.stdout.buffer.flush()
"""


def odd(script: str, *, key: Path | None = None, kind: str = "llama-server") -> EngineCommand:
    port = any_free_port()
    server = Server(port=port, api_key_file=str(key) if key else None)
    return EngineCommand(EngineRef(kind), (sys.executable, "-c", PRELUDE + script, str(port)), {}, server)


@dataclass(frozen=True)
class Odd:
    """An engine that serves: `script` says what it does first, `holds` what its log must hold in the end."""

    name: str
    script: str
    holds: Callable[[tuple[str, ...]], bool] = lambda _: True


SERVES = (
    Odd(
        "prints binary",
        "say(bytes(range(256)) * 200 + b'\\nthe end\\n'); serve()",
        lambda lines: lines[-1] == "the end" and all(len(line) <= LONGEST_LINE for line in lines),
    ),
    Odd(
        "prints a line of 1 MB",
        "say(b'x' * 1_000_000 + b'\\nthe end\\n'); serve()",
        lambda lines: sum(map(len, lines)) == 1_000_007 and lines[-1] == "the end",
    ),
    Odd("prints a line that never ends", "say(b'y' * 3_000_000); serve()"),
    Odd(
        "writes 100,000 states over each other",
        "say(b''.join(b'\\r%d of 100000' % n for n in range(100_001)) + b'\\n'); serve()",
        lambda lines: lines[-1] == "100000 of 100000" and len(lines) < 5,
    ),
    Odd(
        "prints 20 MB", "say((b'z' * 199 + b'\\n') * 100_000 + b'the end\\n'); serve()", lambda ls: ls[-1] == "the end"
    ),
    Odd(
        "prints terminal commands and lone surrogates",
        "say(b'\\x1b[2J\\x1b]0;owned\\x07 \\xed\\xa0\\x80 \\x00\\n'); serve()",
        lambda lines: "owned" in lines[0],
    ),
    Odd("closes its output", "os.close(1); os.close(2); serve()", lambda lines: lines == ()),
    Odd("answers a page of 50 MB", "Page.body = b'{' * 50_000_000; serve()"),
    Odd("answers nested nonsense", "Page.body = b'[' * 900_000; serve()"),
    Odd(
        "is loading for a while",
        "Page.status = 503\nlater(0.5, lambda: setattr(Page, 'status', 200)); serve()",
    ),
    Odd(
        "forks a busy child",
        "import subprocess\nsubprocess.Popen([sys.executable, '-c', 'while True: pass']); serve()",
    ),
    Odd("ignores every polite signal", "[signal.signal(s, signal.SIG_IGN) for s in (1, 2, 15)]; serve()"),
)


@pytest.mark.parametrize("engine", SERVES, ids=lambda engine: engine.name)
def test_it_serves_all_the_same(engine: Odd, tmp_path: Path) -> None:
    log = tmp_path / "engine.log"
    with launch(odd(engine.script), supervision=QUICK, on_log=LogFile(log).write) as instance:
        instance.wait_ready()
        assert instance.wait(0.5) is None
    assert instance.phase == "exited"
    assert engine.holds(instance.lines), instance.lines[-3:]
    assert "\r" not in log.read_text(encoding="utf-8", errors="replace")


NO_HTTP = """
server = socket.create_server(("127.0.0.1", PORT))
while True:
    client, _ = server.accept()
    client.sendall(b"\\xff" * 99 + b"\\r\\n\\r\\n")
    client.close()
"""
TRICKLE = """
class Endless(Page):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        while True:
            self.wfile.write(b"x")
            self.wfile.flush()
            time.sleep(0.01)
Page = Endless
serve()
"""
LATE = "was not ready after 2 s"
FAILS = (
    ("ends with 0 while it loads", "sys.exit(0)", "ended while it loaded (exit code 0)"),
    ("ends as a shell says of a crashed child", "sys.exit(139)", "(exit code 139: killed by SIGSEGV)"),
    (
        "dies between the ready line and the first answer",
        "print('server is listening on http://x', flush=True); os._exit(3)",
        "(exit code 3)",
    ),
    ("dies as soon as it is asked", "Page.do_GET = lambda self: os._exit(5)\nserve()", "(exit code 5)"),
    ("crashes", "os.abort()", "(killed by SIGABRT)"),
    ("quotes terminal commands when it dies", "say(b'\\x1b[2Jbye\\n'); sys.exit(9)", "bye"),
    ("speaks no HTTP", NO_HTTP, LATE),
    ("trickles a page that never ends", TRICKLE, LATE),
    ("binds and never accepts", "s = socket.create_server(('127.0.0.1', PORT)); time.sleep(60)", LATE),
    ("is stopped while it loads", "os.kill(os.getpid(), signal.SIGSTOP)", LATE),
)


@pytest.mark.parametrize(("script", "sentence"), [case[1:] for case in FAILS], ids=[case[0] for case in FAILS])
def test_it_fails_in_a_sentence(script: str, sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "PROBE_TIMEOUT_S", 0.5)
    limits = replace(QUICK, ready_timeout_s=2)
    with pytest.raises(EngineError) as caught, launch(odd(script), supervision=limits) as instance:
        instance.wait_ready()
    assert sentence in caught.value.message
    assert "\x1b" not in caught.value.message
    assert caught.value.hint


def test_a_stopped_engine_is_found_silent_killed_and_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGSTOP: it answers no probe, spends no time, and hears neither SIGINT nor SIGTERM."""
    monkeypatch.setattr(endpoint, "PROBE_TIMEOUT_S", 0.5)
    limits = replace(QUICK, restart="on-failure", max_restarts=1)
    with launch(odd("serve()"), supervision=limits) as instance:
        instance.wait_ready()
        psutil.Process(instance.pid).suspend()
        until_s = time.monotonic() + 30
        while (instance.phase, instance.snapshot().restarts) != ("ready", 1):
            assert instance.wait(0.1) is None
            assert time.monotonic() < until_s
        psutil.Process(instance.pid).suspend()
        with pytest.raises(EngineError, match="failed 2 health probes in a row after 1 restart") as caught:
            instance.wait(30)
    assert caught.value.hint


def test_an_engine_that_is_stopped_is_stopped_for_good() -> None:
    with launch(odd("serve()"), supervision=QUICK) as instance:
        instance.wait_ready()
        psutil.Process(instance.pid).suspend()
    assert instance.exit_code == -signal.SIGKILL


def test_the_port_is_stolen_while_it_restarts() -> None:
    """Between its death and its new start somebody else takes the port: a sentence that says who, and no second try."""
    thief = socket.socket()
    thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    planned = odd("later(0.4, lambda: os._exit(4)); serve()")

    def steal() -> None:
        while True:
            with suppress(OSError):
                thief.bind(("127.0.0.1", planned.server.port))
                thief.listen()
                return
            time.sleep(0.01)

    limits = replace(QUICK, restart="always", backoff_s=1.0, max_restarts=1)
    with thief, launch(planned, supervision=limits) as instance:
        instance.wait_ready()
        threading.Thread(target=steal, daemon=True).start()
        with pytest.raises(EngineError) as caught:
            instance.wait(30)
    assert f"port {planned.server.port} on 127.0.0.1 is already used by" in caught.value.message
    assert "--port" in caught.value.hint


@pytest.mark.parametrize("text", ["KEY ONE\n", "\n\n  KEY ONE  \r\nKEY TWO\n", "KEY ONE"])
def test_a_key_of_two_words_is_one_key(tmp_path: Path, text: str) -> None:
    key = tmp_path / "key"
    key.write_bytes(text.encode())
    with launch(odd("Page.wanted = 'KEY ONE'; print('key:', Page.wanted, flush=True); serve()", key=key)) as instance:
        instance.wait_ready()
        assert instance.api_key == "KEY ONE"
        assert ask(instance.url, "/health", api_key="KEY").status == 401
    assert instance.lines == ("key: ***",)


def test_a_key_beyond_latin_letters_is_sent_as_utf_8(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("Schlüssel-ключ\n", encoding="utf-8")
    wanted = "'Schl\\u00fcssel-\\u043a\\u043b\\u044e\\u0447'.encode().decode('latin-1')"
    with launch(odd(f"Page.wanted = {wanted}; serve()", key=key), supervision=QUICK) as instance:
        instance.wait_ready()


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ("\ufeffKEY\n".encode(), "byte order mark"),
        (b"KEY\x00ONE\n", "control character"),
        (b"KEY\tONE\n", "control character"),
        (b"\xff\xfeK\x00", "not UTF-8"),
        (b" \n\t\n", "holds no key"),
    ],
)
def test_a_key_file_that_no_engine_would_read_alike(tmp_path: Path, data: bytes, sentence: str) -> None:
    key = tmp_path / "key"
    key.write_bytes(data)
    with pytest.raises(EngineError, match=sentence) as caught:
        launch(odd("serve()", key=key))
    assert caught.value.hint


def _unwritable(folder: Path) -> Path:
    path = folder / "engine.log"
    path.mkdir()
    return path


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda path: {"argv": (str(path),)}, "cannot be started"),  # a folder
        (lambda path: {"argv": (str(path / "none"),)}, "was not found"),
        (lambda path: {"argv": (str(text(path)),)}, "cannot be started: Exec format error"),
        (lambda path: {"argv": (str(text(path, 0o644)),)}, "cannot be started: Permission denied"),
    ],
)
def test_what_is_no_program(tmp_path: Path, change: Callable[[Path], dict[str, Any]], sentence: str) -> None:
    with pytest.raises(EngineError, match=sentence) as caught:
        launch(replace(odd("serve()"), **change(tmp_path)))
    assert caught.value.hint


def text(folder: Path, mode: int = 0o755) -> Path:
    """A file of plain text."""
    path = folder / "engine"
    path.write_text("not a program\n", encoding="utf-8")
    path.chmod(mode)
    return path


def test_a_log_that_is_a_folder(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="cannot be written"):
        launch(odd("serve()"), on_log=LogFile(_unwritable(tmp_path)).write)


def test_a_log_folder_that_goes_away_does_not_end_the_engine(tmp_path: Path) -> None:
    log = tmp_path / "deep" / "engine.log"
    with launch(odd("serve()"), supervision=QUICK, on_log=LogFile(log).write) as instance:
        instance.wait_ready()
        log.unlink()
        log.parent.rmdir()
        assert instance.wait(0.3) is None
    assert instance.phase == "exited"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_listener_that_raises_does_not_stop_the_engine() -> None:
    """Its output is read on: a full pipe would block it."""

    def broken(_line: str) -> None:
        raise ValueError("not today")

    planned = odd("later(0.2, lambda: say(b'x' * 1_000_000 + b'\\n')); print('first', flush=True); serve()")
    with launch(planned, supervision=QUICK, on_log=broken) as instance:
        instance.wait_ready()
        assert instance.wait(0.7) is None
        assert ask(instance.url, "/health").status == 200
    assert instance.phase == "exited"
