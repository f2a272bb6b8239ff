"""Other machines on this one: a real sshd each, with host keys, port and authorised key of its own, on a loopback
address of its own, behind a proxy that is its network; the rig emulator gives each its cards.

ssh itself is the real one; a wrapper in front of PATH adds the lab's config, as a person's ~/.ssh/config would.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from splitter.run.endpoint import any_free_port
from tests.engine.oracle import RigRow, engine_dir
from tests.nodes.proxy import Proxy

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"
READY_S = 10.0


@dataclass
class Machine:
    """One of them: `proxy` is the network to it, `home` its folders."""

    name: str
    address: str
    port: int
    home: Path
    proxy: Proxy
    sshd: "subprocess.Popen[bytes]"

    @property
    def splitter(self) -> str:
        return str(self.home / "splitter")

    def processes(self) -> list[psutil.Process]:
        """Everything that runs below its sshd."""
        try:
            return psutil.Process(self.sshd.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def workers(self) -> list[psutil.Process]:
        """Its ggml-rpc-servers, wherever they hang."""
        found = []
        for process in psutil.process_iter(["name"]):
            with suppress(psutil.Error):
                if "rpc-server" in (process.info["name"] or "") and process.environ().get("LAB_MACHINE") == str(
                    self.home
                ):
                    found.append(process)
        return found

    def signal_workers(self, number: int) -> None:
        for process in self.workers():
            with suppress(psutil.Error):
                process.send_signal(number)


@dataclass
class Lab:
    """`machines` by name; `env` is the environment in which splitter on this machine finds them."""

    folder: Path
    machines: dict[str, Machine]
    env: dict[str, str] = field(default_factory=dict)

    def splitter(self, *words: str, timeout_s: float = 120, code: int | None = 0) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            [sys.executable, "-m", "splitter", *words],
            env=self.env, capture_output=True, text=True, timeout=timeout_s, check=False,
        )  # fmt: skip
        assert code is None or done.returncode == code, f"{words}: exit {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def add_all(self) -> None:
        for name, machine in self.machines.items():
            self.splitter("node", "add", name, name, "--splitter", machine.splitter, "--port", str(any_free_port()))


def _key(path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)


def _sshd(home: Path, address: str, port: int, authorised: Path) -> "subprocess.Popen[bytes]":
    config = home / "sshd_config"
    config.write_text(
        f"ListenAddress {address}\nPort {port}\nHostKey {home}/host_key\nAuthorizedKeysFile {authorised}\n"
        f"PidFile {home}/sshd.pid\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
        "PrintMotd no\nPrintLastLog no\n"
        "PermitRootLogin prohibit-password\nAllowTcpForwarding local\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True)  # sshd's own, where it has never been started as a service
    log = (home / "sshd.log").open("ab")
    return subprocess.Popen([SSHD, "-D", "-e", "-f", str(config)], stdout=log, stderr=log, stdin=subprocess.DEVNULL)


def _wrapper(home: Path, rig: Sequence[RigRow], more: Mapping[str, str]) -> None:
    """What `splitter` is on that machine: its cards, its folders, its engine."""
    engine = engine_dir()
    env = {
        **engine.env(rig), "LAB_MACHINE": str(home), "HOME": str(home), "PATH": f"{engine.path / 'bin'}:/usr/bin:/bin",
        **{f"XDG_{kind}_HOME": str(home / kind.lower()) for kind in ("CONFIG", "CACHE", "DATA", "STATE")}, **more,
    }  # fmt: skip
    lines = "".join(f"export {name}='{value}'\n" for name, value in env.items())
    root = Path(__file__).parents[2]
    script = f'#!/bin/sh\n{lines}cd {root}\nexec {sys.executable} -m splitter "$@"\n'
    (home / "splitter").write_text(script)
    (home / "splitter").chmod(0o755)


@contextmanager
def lab(
    folder: Path,
    rigs: Mapping[str, Sequence[RigRow]],
    own: Sequence[RigRow],
    *,
    rtt_s: float = 0.0,
    bytes_per_s: float | None = None,
    env: Mapping[str, str] = {},
) -> Iterator[Lab]:
    """Machines with these cards, and this one with `own`; all of it is ended with the block."""
    folder.mkdir(parents=True, exist_ok=True)
    user_key = folder / "user_key"
    _key(user_key)
    hosts, known, machines = [], [], {}
    with ExitStack() as stack:
        for index, (name, rig) in enumerate(rigs.items()):
            home, address, port = folder / name, f"127.0.0.{index + 2}", any_free_port()
            home.mkdir()
            _key(home / "host_key")
            _wrapper(home, rig, env)
            sshd = _sshd(home, address, port, folder / "user_key.pub")
            stack.callback(_end, sshd)
            proxy = stack.enter_context(closing(Proxy((address, port), rtt_s, bytes_per_s)))
            hosts.append(
                f"Host {name}\n  HostName 127.0.0.1\n  HostKeyAlias {name}\n  Port {proxy.port}\n  User root\n"
            )
            known.append(f"{name} {(home / 'host_key.pub').read_text()}")
            machines[name] = Machine(name, address, port, home, proxy, sshd)
        (folder / "known_hosts").write_text("".join(known))
        config = folder / "ssh_config"
        common = f"Host *\n  IdentityFile {user_key}\n  IdentitiesOnly yes\n  UserKnownHostsFile {folder}/known_hosts\n"
        config.write_text("".join(hosts) + common)
        bin_folder = folder / "bin"
        bin_folder.mkdir()
        ssh = bin_folder / "ssh"
        ssh.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {config} "$@"\n')
        ssh.chmod(0o755)
        engine = engine_dir()
        mine = {f"XDG_{kind}_HOME": str(folder / "own" / kind.lower()) for kind in ("CONFIG", "CACHE", "DATA", "STATE")}
        paths = f"{bin_folder}:{engine.path / 'bin'}:{os.environ['PATH']}"
        made = Lab(folder, machines, {**os.environ, **engine.env(own), **mine, "PATH": paths, **env})
        _wait_for(machines.values())
        yield made


def _wait_for(machines: Iterable[Machine]) -> None:
    for machine in machines:
        until_s = time.monotonic() + READY_S
        while True:
            try:
                socket.create_connection((machine.address, machine.port), 1).close()
                break
            except OSError:
                assert time.monotonic() < until_s, (machine.home / "sshd.log").read_text()
                time.sleep(0.05)


def _end(sshd: "subprocess.Popen[bytes]") -> None:
    with suppress(psutil.NoSuchProcess):
        for process in psutil.Process(sshd.pid).children(recursive=True):
            with suppress(psutil.Error):
                process.send_signal(signal.SIGCONT)
                process.kill()
    sshd.kill()
    sshd.wait()
