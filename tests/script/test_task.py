"""Windows tasks as an XML parser reads them."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from splitter.engine.command import Server
from splitter.engine.rendering import cmd_line
from splitter.errors import UsageError
from splitter.script.render import render_task_file
from splitter.script.task import NAMESPACE, render_task
from splitter.script.write import write_files
from tests.script.hostile import NAMES
from tests.script.made import planned

Q = f"{{{NAMESPACE}}}"


def names(parent: ElementTree.Element) -> list[str]:
    return [child.tag.removeprefix(Q) for child in parent]


@pytest.mark.parametrize("name", NAMES)
def test_the_command_survives_hostile_paths(name: str) -> None:
    made, command = planned(f"C:\\{name}\\llama-server.exe", f"D:\\{name}.gguf")
    task = ElementTree.fromstring(render_task(made, command, "run", "splitter script"))
    arguments = task.findtext(f"{Q}Actions/{Q}Exec/{Q}Arguments")
    assert arguments == f'--headless cmd.exe /d /v:off /s /c "{cmd_line(command)}"'


def test_it_is_what_schtasks_wants() -> None:
    made, command = planned("C:\\e\\llama-server.exe", "D:\\m.gguf")
    content = render_task(made, command, "run", "splitter script a & b < c")
    assert content.startswith(b"\xff\xfe")
    task = ElementTree.fromstring(content)
    assert (task.tag, task.get("version")) == (f"{Q}Task", "1.2")
    assert names(task) == ["RegistrationInfo", "Triggers", "Principals", "Settings", "Actions"]
    settings = task.find(f"{Q}Settings")
    assert settings is not None
    said = {child.tag.removeprefix(Q): child.text for child in settings}
    assert (said["Hidden"], said["ExecutionTimeLimit"], said["MultipleInstancesPolicy"]) == (
        "true",
        "PT0S",
        "IgnoreNew",
    )
    assert settings.findtext(f"{Q}RestartOnFailure/{Q}Count") == "5"
    assert task.find(f"{Q}Triggers/{Q}LogonTrigger") is not None
    assert "schtasks /Create" in (task.findtext(f"{Q}RegistrationInfo/{Q}Description") or "")


def test_our_own_file_is_written_again(tmp_path: Path) -> None:
    made, command = planned("C:\\e\\llama-server.exe", "D:\\m.gguf")
    for _ in range(2):
        write_files([render_task_file(made, command, "My Task")], str(tmp_path))
    (tmp_path / "my-task.xml").write_bytes("<Task/>".encode("utf-16"))
    with pytest.raises(UsageError, match="was not written by splitter"):
        write_files([render_task_file(made, command, "My Task")], str(tmp_path))


@pytest.mark.parametrize(
    ("engine", "model", "sentence"),
    [
        ("C:\\e.exe", "m.gguf", "full path of m.gguf"),
        ("C:\\e.exe", "hf:a/b/m.gguf", "full path of hf:a/b/m.gguf"),
        ("/opt/e", "D:\\m.gguf", "full path of /opt/e"),
    ],
)
def test_refusals(engine: str | None, model: str, sentence: str) -> None:
    made, command = planned(engine, model)
    with pytest.raises(UsageError, match=re.escape(sentence)):
        render_task(made, command, "run", "")


def test_a_key_is_read_when_it_starts() -> None:
    server = Server(api_key_file="C:\\the key")
    made, command = planned("C:\\k.exe", "D:\\m.gguf", kind="koboldcpp", version="1.123", server=server)
    arguments = ElementTree.fromstring(render_task(made, command, "run", "")).findtext(f".//{Q}Arguments") or ""
    assert "set /p KCPP_PASSWORD=<" in arguments


def test_an_engine_that_is_not_here_is_found_on_that_machines_path() -> None:
    made, command = planned(None, "D:\\m.gguf")
    assert "llama-server" in render_task(made, command, "n", "r").decode("utf-16")
