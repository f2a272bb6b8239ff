"""Runs generated batch files under wine: one prefix, many scripts in one start of wine."""

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain, count, repeat
from pathlib import Path

HERE = Path(__file__).parent
COUNTER = count()
HINDI = Path("/usr/share/i18n/locales/hi_IN")
COMPILER = "x86_64-w64-mingw32-gcc"


@dataclass(frozen=True)
class Started:
    """What one start of the stand-in engine saw."""

    argv: tuple[str, ...]
    env: dict[str, str]


@dataclass(frozen=True)
class Run:
    """One script: its exit code, what it printed, and the engine starts it made."""

    code: int
    output: str
    starts: tuple[Started, ...] = field(default=())

    @property
    def silent(self) -> bool:
        """Neither a start nor a word."""
        return not self.starts and not self.output.strip()


def windows_path(path: Path) -> str:
    return "Z:" + str(path).replace("/", "\\")


def compile_windows(source: str, target: Path, *libraries: str) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([COMPILER, "-O1", "-o", str(target), str(HERE / source), *libraries], check=True)
    return target


@dataclass(frozen=True)
class Wine:
    """A wine prefix with the launcher and the stand-in engine.

    wine 8's cmd reads batch files in the OEM code page that follows from the locale, whatever chcp says. Hindi is a
    locale whose OEM code page is UTF-8, so wine then reads them as Windows does after `chcp 65001`.
    """

    folder: Path
    standin: Path
    launcher: Path

    @classmethod
    def make(cls, folder: Path) -> "Wine":
        made = cls(
            folder,
            compile_windows("standin.c", folder / "bin" / "standin.exe", "-lshell32"),
            compile_windows("launcher.c", folder / "bin" / "launcher.exe"),
        )
        (folder / "locale").mkdir()
        target = str(folder / "locale" / "hi_IN.UTF-8")
        assert HINDI.exists(), "install the package `locales`: wine's code page follows from a locale made of it"
        subprocess.run(["localedef", "-i", "hi_IN", "-f", "UTF-8", target], capture_output=True, check=True)
        subprocess.run(["wineboot", "-i"], env=made.env(), capture_output=True, check=True)
        return made

    def env(self) -> dict[str, str]:
        return {
            **os.environ,
            "WINEPREFIX": str(self.folder / "prefix"),
            "WINEDEBUG": "-all",
            "WINEDLLOVERRIDES": "mscoree=;mshtml=",
            "LOCPATH": str(self.folder / "locale"),
            "LC_ALL": "hi_IN.UTF-8",
        }

    def stop(self) -> None:
        subprocess.run(["wineserver", "-k"], env=self.env(), capture_output=True, check=False)

    def run(self, scripts: Sequence[Path], cwd: Path, variables: Sequence[str] = ()) -> list[Run]:
        """Runs `scripts` one after the other from `cwd`; standard input is at its end, so nothing can wait.

        `variables` holds a NAME=VALUE, or nothing, for each script alone. Every way through a script of ours starts
        the engine or says why not, so one that did neither was not run: now and then wine 8 loses a cmd.exe on a busy
        machine. Such scripts get one more try.
        """
        given = list(zip(scripts, chain(variables, repeat("")), strict=False))
        runs = self._once(given, cwd)
        lost = [at for at, run in enumerate(runs) if run.silent]
        for at, run in zip(lost, self._once([given[at] for at in lost], cwd) if lost else (), strict=True):
            runs[at] = run
        return runs

    def _once(self, given: Sequence[tuple[Path, str]], cwd: Path) -> list[Run]:
        seen = self.folder / f"seen{next(COUNTER)}"
        listed = self.folder / "scripts.txt"
        lines = (f"{windows_path(script)}\t{variable}" for script, variable in given)
        listed.write_text("\n".join(lines) + "\n", encoding="utf-8")
        done = subprocess.run(
            ["wine", str(self.launcher), windows_path(listed), windows_path(seen)],
            env=self.env(),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=300,
            check=True,
        )
        parts = re.split(r"\n== exit (-?\d+)\n", done.stdout.decode("utf-8", "replace").replace("\r", ""))
        runs = list(zip(parts[0::2], map(int, parts[1::2]), strict=False))
        assert len(runs) == len(given), done.stdout + done.stderr
        return [Run(code, output, read_starts(Path(f"{seen}.{i}"))) for i, (output, code) in enumerate(runs)]


def read_starts(seen: Path) -> tuple[Started, ...]:
    """The starts that the stand-in engine wrote down; none when it never ran."""
    starts: list[Started] = []
    argv: list[str] = []
    env: dict[str, str] = {}
    for line in seen.read_text(encoding="utf-8").split("\n") if seen.exists() else ():
        kind, _, rest = line.partition(" ")
        if kind == "arg":
            argv.append(rest)
        elif kind == "env":
            name, _, value = rest.partition("=")
            env[name] = value
        elif kind == "end":
            starts.append(Started(tuple(argv), dict(env)))
            argv, env = [], {}
    return tuple(starts)
