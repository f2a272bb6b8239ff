"""One attack through one verb, as a real process or in this one: what it did that it may not."""

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from splitter.cli.main import run
from splitter.run.endpoint import any_free_port
from tests.script.test_posix import STANDIN
from tests.security.attacks import ATTACKS, MARKER, Attack, hidden, write_attack

RIG = ("--rig", "phoenix")
LONGEST_OUTPUT = 100_000  # characters: a name of a mebibyte is cut


def write_all(folder: Path) -> dict[str, Path]:
    """Each attack's model, by title, in a folder of its own."""
    return {attack.title: write_attack(attack, folder / f"{at:02}") for at, attack in enumerate(ATTACKS)}


def words(*arguments: str, out: io.StringIO | None = None) -> tuple[int, str, str]:
    """Exit code, standard output (`out`, for who reads along) and standard error of one command line, run here."""
    out, err = out or io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = run(list(arguments))
    return code, out.getvalue(), err.getvalue()


def complaints(code: int, out: str, err: str, expected: set[int], longest: int = LONGEST_OUTPUT) -> Iterator[str]:
    """What is wrong with an answer."""
    if code not in expected:
        yield f"exit code {code}: {err[-300:]!r}"
    for stream, text in (("output", out), ("errors", err)):
        if hidden(text):
            yield f"{stream} hold {sorted(map(hex, map(ord, hidden(text))))}"
        if len(text) > longest:
            yield f"{stream} are {len(text)} characters long"
    if "Traceback" in err:
        yield "a traceback"


def said(attack: Attack, *arguments: str) -> list[str]:
    """A verb for people and as JSON: what is wrong with either."""
    expected = {1} if attack.refused else {2} if attack.unspeakable and arguments[0] == "plan" else {0}
    code, out, err = words(*arguments)
    wrong = list(complaints(code, out, err, expected))
    if "[bold red]" in attack.name and "[bold red]x[/bold red]" not in out:
        wrong.append("rich markup was interpreted")
    code, out, err = words(*arguments, "--json")
    wrong += complaints(code, "", err, expected)
    document = json.loads(out)
    if len(out) > LONGEST_OUTPUT or document["version"] != 1:
        wrong.append("the JSON is not bounded")
    return wrong


def script(attack: Attack, model: Path) -> list[str]:
    """The .sh under dash: the stand-in engine gets the model's name and nothing else runs. The .bat is made as well."""
    folder = model.parent
    (folder / "llama-server").write_text(STANDIN)
    (folder / "llama-server").chmod(0o755)
    code, out, err = words("script", str(model), *RIG, "-o", str(folder), "--name", "run")
    if code == 2 and "cmd.exe cannot be given" in err:
        return list(complaints(code, out, err, {2}))
    wrong = list(complaints(code, out, err, {1} if attack.refused else {0}))
    if attack.refused:
        return wrong
    seen = folder / "seen"
    done = subprocess.run(
        ["dash", str(folder / "run.sh")],
        cwd=folder, env={**os.environ, "STANDIN_OUT": str(seen)},
        capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip
    argv = seen.read_bytes().decode().split("\0") if seen.exists() else []
    if done.returncode or f"./{model.name}" not in argv:
        wrong.append(f"the script: {done.returncode} {done.stderr!r} {argv[:4]}")
    if hidden((folder / "run.sh").read_text(encoding="utf-8")):
        wrong.append("the script holds control characters")
    return wrong


def launch(attack: Attack, model: Path) -> list[str]:
    """`splitter launch` as a process with the embedded engine; `ps` and `logs` once it is ready, then it is stopped."""
    log, port = model.parent / "engine.log", any_free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "splitter", "launch", str(model), "--engine", "embedded", "-ngl", "0", "-c", "256",
         "--port", str(port), "--log-file", str(log)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="surrogateescape",
    )  # fmt: skip
    assert process.stdout
    lines: list[str] = []
    wrong: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("ready at"):
            for verb in (("ps",), ("logs",), ("logs", "--json")):
                wrong += complaints(*words(*verb), {0})
            process.send_signal(signal.SIGINT)
            break
    out, err = process.communicate(timeout=60)
    foreign = attack.template != Attack("").template
    expected = {1} if attack.refused else {0, 4, 130} if foreign else {0, 130}  # 4: the engine refuses such a template
    return [*wrong, *complaints(process.returncode, "".join(lines) + out, err, expected)]


def executed(folder: Path) -> list[str]:
    """Marker files that a shell made anywhere here."""
    return [f"{path} was made" for path in (*folder.rglob(f"*{MARKER}"), *Path().glob(MARKER)) if path.name == MARKER]
