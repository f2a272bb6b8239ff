"""Generated .sh files under dash, bash and busybox sh: the engine gets exactly the planned argv and environment."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from splitter.engine.command import EngineCommand, Server
from tests.script.hostile import LINUX_ONLY_NAMES, NAMES, PATTERNS
from tests.script.made import posix_file, put

SHELLS = [
    pytest.param(shell, marks=pytest.mark.skipif(shutil.which(shell[0]) is None, reason=f"{shell[0]} is not installed"))
    for shell in (["dash"], ["bash", "--posix"], ["bash"], ["busybox", "sh"])
]
# Words and variables come back NUL-separated, so that line breaks in names survive.
STANDIN = r"""#!/bin/sh
{
  printf '%s\0' "$0" "$@" --env-- "CUDA_DEVICE_ORDER=$CUDA_DEVICE_ORDER"
  [ -z "${KCPP_PASSWORD+x}" ] || printf 'KCPP_PASSWORD=%s\0' "$KCPP_PASSWORD"
} > "$STANDIN_OUT"
[ -z "${STANDIN_WAIT-}" ] || exec sleep 30
exit "${STANDIN_CODE-0}"
"""


def engine_at(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(STANDIN)
    path.chmod(0o755)
    return path


def run(shell: list[str], script: Path, cwd: Path, **env: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """The finished script, and the words and variables the engine saw (none when it never ran)."""
    seen = cwd / "seen"
    seen.unlink(missing_ok=True)
    done = subprocess.run(
        [*shell, str(script)],
        cwd=cwd,
        env={**os.environ, "STANDIN_OUT": str(seen), **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    return done, seen.read_bytes().decode().split("\0")[:-1] if seen.exists() else []


def expected(command: EngineCommand, model: str | None = None) -> list[str]:
    """What the stand-in must see, with the model at another place than planned if `model` is given."""
    words = [(model or word) if word == command.model_path else word for word in command.argv]
    return [*words, "--env--", "CUDA_DEVICE_ORDER=PCI_BUS_ID"]


@pytest.mark.parametrize("shell", SHELLS)
def test_hostile_names_far_from_the_script(shell: list[str], tmp_path: Path) -> None:
    for i, name in enumerate((*NAMES, *LINUX_ONLY_NAMES)):
        engine, model = engine_at(tmp_path / "far" / name / f"{name} e"), tmp_path / "far" / name / f"{name}.gguf"
        model.touch()
        command, sh = posix_file(str(engine), str(model))
        done, seen = run(shell, put(tmp_path / f"s{i}", sh), tmp_path)
        assert (done.returncode, seen) == (0, expected(command)), (name, done.stderr)


@pytest.mark.parametrize("shell", SHELLS)
def test_hostile_names_beside_the_script(shell: list[str], tmp_path: Path) -> None:
    for name in (*NAMES, *LINUX_ONLY_NAMES):
        folder = tmp_path / "beside" / name
        engine_at(folder / f"{name} e")
        (folder / f"{name}.gguf").touch()
        command, sh = posix_file(f"/gone/{name} e", f"/gone/{name}.gguf")
        done, seen = run(shell, put(folder, sh), tmp_path)
        # bash names a program that it becomes by its whole path, the others as they were told.
        assert Path(folder, seen[0]) == folder / f"{name} e"
        assert (done.returncode, seen[1:]) == (0, expected(command, model=f"./{name}.gguf")[1:]), name


@pytest.mark.parametrize("shell", SHELLS)
def test_patterns_and_secrets(shell: list[str], tmp_path: Path) -> None:
    engine, model, key = engine_at(tmp_path / "engine"), tmp_path / "m.gguf", tmp_path / "the key"
    model.touch()
    for pattern in PATTERNS:
        command, sh = posix_file(str(engine), str(model), override_tensors=(pattern,))
        assert run(shell, put(tmp_path / "s", sh), tmp_path)[1] == expected(command)
    for text in ("p w & $x\n", "no line end"):
        key.write_text(text)
        server = Server(port=5001, api_key_file=str(key))
        command, sh = posix_file(str(engine), str(model), kind="koboldcpp", version="1.123", server=server)
        _, seen = run(shell, put(tmp_path / "s", sh), tmp_path)
        assert seen == [*expected(command), f"KCPP_PASSWORD={text.strip()}"]
        assert text.strip() not in sh.content.decode()


@pytest.mark.parametrize("shell", SHELLS)
def test_what_is_missing_is_named(shell: list[str], tmp_path: Path) -> None:
    engine, model = engine_at(tmp_path / "engine"), tmp_path / "m.gguf"
    _, sh = posix_file("/gone/llama-server", str(model))
    done, seen = run(shell, put(tmp_path, sh), tmp_path)
    assert (done.returncode, seen) == (4, [])
    assert done.stderr.splitlines() == [
        "The engine was not found.",
        "  beside this script: llama-server",
        "  at the planned place: /gone/llama-server",
    ]
    _, sh = posix_file(str(engine), "hf:owner/repo/model.gguf")
    done, seen = run(shell, put(tmp_path, sh), tmp_path)
    assert (done.returncode, seen) == (1, [])
    assert "download it from: https://huggingface.co/owner/repo/resolve/main/model.gguf" in done.stderr
    _, sh = posix_file(str(engine), str(model), mmproj="/gone/p.gguf")
    model.touch()
    done, seen = run(shell, put(tmp_path, sh), tmp_path)
    assert (done.returncode, seen) == (1, [])
    assert done.stderr.startswith("The projector was not found.")


@pytest.mark.parametrize("shell", SHELLS)
def test_exit_code_and_path(shell: list[str], tmp_path: Path) -> None:
    engine_at(tmp_path / "path" / "llama-server")
    (tmp_path / "m.gguf").touch()
    _, sh = posix_file(None, str(tmp_path / "m.gguf"))
    path = f"{tmp_path / 'path'}:{os.environ['PATH']}"
    done, seen = run(shell, put(tmp_path / "scripts", sh), tmp_path, PATH=path, STANDIN_CODE="7")
    assert done.returncode == 7
    assert seen[0] == str(tmp_path / "path" / "llama-server")


def test_a_signal_reaches_the_engine_itself(tmp_path: Path) -> None:
    engine, seen = engine_at(tmp_path / "engine"), tmp_path / "seen"
    (tmp_path / "m.gguf").touch()
    _, sh = posix_file(str(engine), str(tmp_path / "m.gguf"))
    script = put(tmp_path, sh)
    env = {**os.environ, "STANDIN_OUT": str(seen), "STANDIN_WAIT": "1"}
    with subprocess.Popen([str(script)], env=env) as process:
        deadline = time.monotonic() + 15
        while not seen.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == -signal.SIGTERM
