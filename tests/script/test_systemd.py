"""Units as systemd itself reads them (its user manager in test mode prints what it understood), and as we read them."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from splitter.engine.command import EngineCommand, Server
from splitter.engine.reading.script import read_script
from splitter.errors import UsageError
from splitter.script.render import render_unit_file
from splitter.script.systemd import render_unit
from tests.script.hostile import LINUX_ONLY_NAMES, NAMES, PATTERNS
from tests.script.made import planned

MANAGER = next((p for p in ("/usr/lib/systemd/systemd", "/lib/systemd/systemd") if Path(p).exists()), None)
NOBODY = 65534  # the manager of users refuses to run for root
ALL_NAMES = (*NAMES, *LINUX_ONLY_NAMES, "\x01\x7f control", 'end\\"', ";", "$$", "%h %i", "${X}")


def unit(engine: str, model: str, **options: object) -> tuple[EngineCommand, str]:
    made, command = planned(engine, model, os="linux", **options)  # type: ignore[arg-type]
    return command, render_unit(made, command, "run", "splitter script").decode()


def unescaped(text: str) -> list[str]:
    """The words of a command line as systemd prints it: shell-like double quotes, octal and letter escapes."""
    words = re.findall(r'"((?:[^"\\]|\\.)*)"|(\S+)', text, re.DOTALL)
    letters = {"n": b"\n", "t": b"\t", "r": b"\r", "a": b"\a", "b": b"\b", "f": b"\f", "v": b"\v"}

    def plain(found: re.Match[bytes]) -> bytes:
        code = found[1].decode()
        return bytes([int(code, 8)]) if code.isdigit() else letters.get(code, found[1])

    raw = [(quoted or bare).encode() for quoted, bare in words]
    return [re.sub(rb"\\([0-7]{3}|.)", plain, word, flags=re.DOTALL).decode() for word in raw]


def understood(units: Sequence[str], folder: Path) -> list[tuple[list[str], set[str]]]:
    """Each unit's command and environment as the user manager of this machine reads them."""
    home = folder / "config" / "systemd" / "user"
    home.mkdir(parents=True)
    names = [f"run{i}.service" for i in range(len(units))]
    for name, text in zip(names, units, strict=True):
        (home / name).write_text(text, encoding="utf-8")
    all_of_them = "[Unit]\n" + "".join(f"Wants={name}\n" for name in names)
    (home / "all.target").write_text(all_of_them)
    runtime = folder / "runtime"
    runtime.mkdir(mode=0o777)
    runtime.chmod(0o777)
    folder.chmod(0o755)
    env = {"XDG_RUNTIME_DIR": str(runtime), "XDG_CONFIG_HOME": str(folder / "config"), "HOME": str(folder)}
    done = subprocess.run(
        [str(MANAGER), "--test", "--user", "--unit=all.target"],
        env={**os.environ, **env},
        user=NOBODY if os.geteuid() == 0 else None,
        capture_output=True,
        timeout=30,
        check=False,
    )
    out = done.stdout.decode() + done.stderr.decode()
    if "Unit all.target" not in out and "Unit run0.service" not in out:
        pytest.skip(f"the user manager does not start here: {out[-300:]}")
    return [read_dump(out, name) for name in names]


def read_dump(out: str, name: str) -> tuple[list[str], set[str]]:
    block = re.search(rf"-> Unit {re.escape(name)}:\n(.*?)(?=\n\t?-> Unit |\Z)", out, re.DOTALL)
    assert block, f"{name} was not loaded"
    line = re.search(r"ExecStart:\n\s*Command Line: (.*)", block[1])
    assert line, block[1]
    return unescaped(line[1]), set(re.findall(r"^\s*Environment: (.*)$", block[1], re.MULTILINE))


@pytest.mark.skipif(MANAGER is None, reason="systemd is not installed")
def test_systemd_reads_the_planned_words() -> None:
    made = [unit(f"/opt/{name}/engine", f"/models/{name}.gguf") for name in ALL_NAMES]
    made += [unit("/opt/e", "/m.gguf", override_tensors=(pattern,)) for pattern in PATTERNS]
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are closed to other users
        read = understood([text for _, text in made], Path(folder))
    for (command, _), (argv, env) in zip(made, read, strict=True):
        # Printed before variables are put in, so that each $ is still doubled; the program's path never is.
        words = [argv[0], *(word.replace("$$", "$") for word in argv[1:])]
        assert (words[4:] if words[0] == "/bin/sh" else words) == list(command.argv)
        assert all(word.count("$") % 2 == 0 for word in argv[1:])
        assert env == {"CUDA_DEVICE_ORDER=PCI_BUS_ID"}


@pytest.mark.parametrize("name", ALL_NAMES)
def test_we_read_them_back(name: str) -> None:
    for kind, version in (("llama-server", "11434"), ("koboldcpp", "1.123")):
        command, text = unit(f"/opt/{name}/{kind}", f"/models/{name}.gguf", kind=kind, version=version)
        read = read_script(text, "run.service", version=version)
        assert (read.program, *read.argv[1:]) == command.argv
        assert read.model == command.model_path
        assert read.env == command.env


def test_a_password_is_read_when_it_starts(tmp_path: Path) -> None:
    key, model, engine = tmp_path / "the key $HOME %h", tmp_path / "m.gguf", tmp_path / "koboldcpp"
    key.write_text("p w $x\n")
    engine.write_text('#!/bin/sh\nprintf \'%s|\' "$KCPP_PASSWORD" "$@"\n')
    engine.chmod(0o755)
    server = Server(port=5001, api_key_file=str(key))
    command, text = unit(str(engine), str(model), kind="koboldcpp", version="1.123", server=server)
    assert "p w" not in text
    line = re.search(r"^ExecStart=(.*)$", text, re.MULTILINE)
    assert line
    from splitter.engine.reading.systemd import unit_commands

    ((words, _),) = unit_commands(text, {})
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.split("|")[:-1] == ["p w $x", *command.argv[1:]]


def test_the_unit_restarts_and_says_what_it_is() -> None:
    made, command = planned("/opt/llama-server", "/m/100%.gguf", os="linux")
    file = render_unit_file(made, command, "My Unit")
    assert (file.name, file.executable) == ("my-unit.service", False)
    text = file.content.decode()
    for line in ("Restart=on-failure", "WorkingDirectory=~", "WantedBy=default.target", "StartLimitBurst=5"):
        assert f"\n{line}\n" in text
    assert "Description=Qwen2.5 32B Instruct on phoenix (llama-server)\n" in text
    assert "systemctl --user enable --now my-unit\n" in text
    assert text.startswith("# Written by splitter ")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_analyze_finds_nothing_to_say(tmp_path: Path) -> None:
    engine = tmp_path / "an %h $HOME engine"
    engine.write_text("#!/bin/sh\n")
    engine.chmod(0o755)
    (tmp_path / "runtime").mkdir()
    _, text = unit(str(engine), "/m.gguf")
    (tmp_path / "run.service").write_text(text)
    for exists in (True, False):
        if not exists:
            engine.unlink()
        done = subprocess.run(
            ["systemd-analyze", "verify", "--user", str(tmp_path / "run.service")],
            env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path / "runtime")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode == 0) == exists, done.stderr
        assert (f"Command {engine} is not executable" in done.stderr) != exists


@pytest.mark.parametrize(
    ("engine", "model", "sentence"),
    [
        (None, "/m.gguf", "full path of llama-server"),
        ("llama-server", "/m.gguf", "full path of llama-server"),
        ("C:\\llama-server.exe", "/m.gguf", "full path of llama-server"),
        ("/e", "hf:a/b/m.gguf", "hf:a/b/m.gguf on this machine"),
        ("/e", "m.gguf", "full path of m.gguf"),
    ],
)
def test_refusals(engine: str | None, model: str, sentence: str) -> None:
    made, command = planned(engine, model, os="linux")
    with pytest.raises(UsageError, match=re.escape(sentence)) as caught:
        render_unit(made, command, "run", "")
    assert caught.value.hint
