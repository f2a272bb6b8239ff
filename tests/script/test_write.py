"""Files are written whole, executable where they must be, and never over the user's own."""

import os
from pathlib import Path

import pytest

from splitter.errors import SplitterError, UsageError
from splitter.script.file import MARK, ScriptFile
from splitter.script.write import anchored, write_files
from tests.commands.plans import facts, plan

OURS = ScriptFile("a.sh", f"#!/bin/sh\n# {MARK} 1\n".encode(), executable=True)
BAT = ScriptFile("a.bat", f"@echo off\r\nrem {MARK} 1\r\n".encode())


def test_writes_into_a_new_folder(tmp_path: Path) -> None:
    written = write_files([OURS, BAT], str(tmp_path / "new" / "folder"))
    assert [path.read_bytes() for path in written] == [OURS.content, BAT.content]
    assert os.access(written[0], os.X_OK)
    assert not os.access(written[1], os.X_OK)
    assert sorted(p.name for p in written[0].parent.iterdir()) == ["a.bat", "a.sh"]


def test_replaces_its_own_files(tmp_path: Path) -> None:
    write_files([OURS], str(tmp_path))
    newer = ScriptFile("a.sh", OURS.content + b"exit 0\n", executable=True)
    assert write_files([newer], str(tmp_path))[0].read_bytes() == newer.content


def test_leaves_the_users_files_and_writes_nothing_then(tmp_path: Path) -> None:
    (tmp_path / "a.bat").write_text("my own")
    with pytest.raises(UsageError, match="not written by splitter"):
        write_files([OURS, BAT], str(tmp_path))
    assert [p.name for p in tmp_path.iterdir()] == ["a.bat"]
    assert write_files([BAT], str(tmp_path), force=True)[0].read_bytes() == BAT.content


def test_a_folder_that_cannot_be_made_is_an_error_with_a_next_step(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SplitterError, match="cannot write") as caught:
        write_files([OURS], str(tmp_path / "file" / "folder"))
    assert "-o" in caught.value.hint


def test_relative_files_are_named_from_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.gguf").touch()
    (tmp_path / "p.gguf").touch()
    made = anchored(plan(model=facts("m.gguf"), mmproj="p.gguf"))
    assert (made.facts.path, made.settings.mmproj) == (str(tmp_path / "m.gguf"), str(tmp_path / "p.gguf"))
    for elsewhere in ("hf:owner/repo", "C:\\m\\x.gguf", "gone.gguf"):
        assert anchored(plan(model=facts(elsewhere))).facts.path == elsewhere
