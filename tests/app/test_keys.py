"""API keys: only what starts an engine, or writes what does, makes one; everybody reads the same key from a file."""

from pathlib import Path

import pytest

from splitter.app.events import Silent
from splitter.app.planning import plan_model, plan_script
from splitter.app.wishes import Wishes
from splitter.engine.command import EngineCommand, EngineRef, Server
from splitter.run.endpoint import headers
from splitter.run.keys import key_file, key_of
from splitter.run.process import secrets
from tests.cli.conftest import TINY, Splitter

OPEN = ("--gpus", "3060", "--host", "0.0.0.0")


@pytest.mark.parametrize(
    "words",
    [
        ("plan", TINY, *OPEN),
        ("plan", TINY, *OPEN, "--json"),
        ("profile", "new", "mine", TINY, *OPEN),
        ("check", "--command", f"llama-server -m {TINY} --host 0.0.0.0", "--gpus", "3060"),
    ],
)
def test_what_only_plans_writes_no_secret(words: tuple[str, ...], splitter: Splitter, tmp_path: Path) -> None:
    said = splitter(*words)
    assert said.code == 0, said.err
    assert not key_file().parent.exists()
    assert not list(tmp_path.rglob("*.key"))


def test_a_plan_names_the_file_that_the_launch_will_make() -> None:
    events = Silent()
    wishes = Wishes({"model": TINY, "rig.gpus": ("3060",), "server.host": "0.0.0.0"})
    planned = plan_model(wishes, events)
    assert planned.command.server.api_key_file == str(key_file())
    assert "`splitter launch` makes it" in events.said[0]
    assert plan_script(wishes, events).command.server.api_key_file == str(key_file())
    assert key_of(planned.command.server)


@pytest.mark.parametrize(
    ("text", "key"),
    [("KEY ONE\n", "KEY ONE"), ("one\r\ntwo\r\n", "one"), ("\n  mine  \n", "mine"), ("bare", "bare")],
)
def test_one_reader_of_a_key_file(text: str, key: str, tmp_path: Path) -> None:
    file = tmp_path / "api key"
    file.write_bytes(text.encode())
    server = Server(api_key_file=str(file))
    command = EngineCommand(
        EngineRef("koboldcpp"), ("koboldcpp",), server=server, env_files={"KCPP_PASSWORD": str(file)}
    )
    given = secrets(command)["KCPP_PASSWORD"]
    sent = headers(key_of(server))["Authorization"].decode().removeprefix("Bearer ")
    assert (given, sent) == (key, key)
