"""Three gateways behind HAProxy with PostgreSQL and Redis: one is killed, Redis restarts, PostgreSQL is away."""

import os
import shutil
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import mkdtemp

import pytest

from splitter.run.endpoint import any_free_port
from tests.gateway.scene import ask, emulated, gateway, get, key_words, wait_up

POSTGRES = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), None)
NEEDED = (shutil.which("haproxy"), shutil.which("redis-server"), POSTGRES)
pytestmark = pytest.mark.skipif(None in NEEDED, reason="needs HAProxy, Redis and PostgreSQL (.ci/packages)")
AS_POSTGRES = ("runuser", "-u", "postgres", "--") if hasattr(os, "geteuid") and os.geteuid() == 0 else ()


class Postgres:
    """A cluster of its own, listening on loopback; not in pytest's folder, which its user may not enter."""

    def __init__(self) -> None:
        self.port, self._folder = any_free_port(), Path(mkdtemp(prefix="splitter-pg-"))
        if AS_POSTGRES:
            shutil.chown(self._folder, "postgres")
        self._do("initdb", "-A", "trust", "-U", "splitter", "-D", str(self._folder / "data"))
        self.start()
        self._do("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "splitter", "gateway")

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://splitter@127.0.0.1:{self.port}/gateway"

    def _do(self, program: str, *words: str) -> None:
        assert POSTGRES is not None
        command = [*AS_POSTGRES, str(POSTGRES / program), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
        assert done.returncode == 0, done.stderr + done.stdout

    def _control(self, *words: str) -> None:
        flags = f"-p {self.port} -c listen_addresses=127.0.0.1 -k {self._folder} -c fsync=off"
        log = str(self._folder / "log")
        self._do("pg_ctl", "-D", str(self._folder / "data"), "-l", log, "-w", "-o", flags, *words)

    def start(self) -> None:
        self._control("start")

    def stop(self) -> None:
        self._control("-m", "immediate", "stop")

    def remove(self) -> None:
        """Stopped, and nothing is left."""
        self.stop()
        shutil.rmtree(self._folder)


@contextmanager
def redis(port: int) -> Iterator["subprocess.Popen[bytes]"]:
    words = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    child = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield child
    finally:
        child.terminate()
        child.wait()


def test_three_gateways_are_one(tmp_path: Path) -> None:
    tmp_path /= "deep" * 20  # no socket can have so long a path
    tmp_path.mkdir()
    with ExitStack() as stack:
        database = Postgres()
        stack.callback(database.remove)
        redis_port = any_free_port()
        store = stack.enter_context(redis(redis_port))
        engines = [
            stack.enter_context(emulated(tmp_path, "--gen", "400", "--slots", "4", name=f"e{n}")) for n in range(2)
        ]
        ports = [any_free_port() for _ in range(3)]
        front = any_free_port()
        settings = f"""
database: "{database.url}"
shared: redis://127.0.0.1:{redis_port}
keys_required: true
trusted_proxies: [127.0.0.1]
backends: [{", ".join(f'"{engine.url}"' for engine in engines)}]
haproxy: {{port: {front}, gateways: [{", ".join(f'"http://127.0.0.1:{port}"' for port in ports)}]}}
"""
        file = tmp_path / "keys.yaml"
        file.write_text(settings, encoding="utf-8")
        key = key_words(tmp_path, "add", "user", "--admin", settings=str(file)).stdout.strip()
        limited = key_words(tmp_path, "add", "limited", "--rate", "20/min", settings=str(file)).stdout.strip()
        doors = [
            stack.enter_context(
                gateway(tmp_path, *(["--haproxy"] if n == 2 else []), port=port, settings=settings, name=f"gw{n}")
            )
            for n, port in enumerate(ports)
        ]
        url = f"http://127.0.0.1:{front}"
        for door in doors:
            wait_up(door.url, 2, key)
        told: Counter[str] = Counter()
        over = threading.Event()
        stack.callback(over.set)  # also where something fails on the way
        threads = [threading.Thread(target=keep_asking, args=(url, key, told, over)) for _ in range(8)]
        for thread in threads:
            thread.start()
        time.sleep(2)
        doors[0].process.kill()  # what it was answering is lost, at most 8 requests
        time.sleep(3)
        killed = told["lost"]
        store.terminate()
        store.wait()
        time.sleep(1)
        store = stack.enter_context(redis(redis_port))
        time.sleep(2)
        database.stop()
        time.sleep(10)
        database.start()
        time.sleep(3)
        over.set()
        for thread in threads:
            thread.join()
        print(f"{dict(told)}; lost at the killed gateway: {killed}")
        assert killed <= 8
        assert told["lost"] == killed
        assert told["whole"] > 200
        codes = Counter(ask_limited(url, limited) for _ in range(30))
        print(f"limit of 20/min over two gateways: {dict(codes)}")
        assert codes[200] == 20
        assert codes[429] == 10
        time.sleep(1.5)
        rows = get(f"{doors[1].url}/history?limit=1000", key)["data"]["requests"]
        assert {row["gateway"] for row in rows if row["code"] == 200}.__len__() >= 2


def keep_asking(url: str, key: str, told: Counter[str], over: threading.Event) -> None:
    body = {"model": "emulated-7b", "max_tokens": 4, "messages": [{"role": "user", "content": "hi"}]}
    while not over.is_set():
        try:
            status, _ = ask(f"{url}/v1/chat/completions", body, key)
        except OSError:
            status = 0
        told["whole" if status == 200 else "lost"] += 1
        if status != 200:
            print(f"lost: {status} at {time.monotonic():.1f}")


def ask_limited(url: str, key: str) -> int:
    body = {"model": "emulated-7b", "max_tokens": 1, "messages": [{"role": "user", "content": "hi"}]}
    return ask(f"{url}/v1/chat/completions", body, key)[0]
