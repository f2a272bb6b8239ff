"""The user's editor on a text."""

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from shutil import which

from splitter.errors import UsageError


def edit_in_editor(text: str) -> str:
    """`text` as the user's editor ($VISUAL, $EDITOR, or the system's) leaves it. UsageError where none can be run."""
    with tempfile.TemporaryDirectory(prefix="splitter-") as folder:
        file = Path(folder) / "profile.yaml"
        file.write_text(text, encoding="utf-8")
        words = editor_words()
        try:
            done = subprocess.run([*words, str(file)], check=False)
        except OSError as error:
            raise UsageError(f"the editor {words[0]} cannot be run: {error.strerror}", "set EDITOR") from None
        if done.returncode:
            raise UsageError(f"the editor {words[0]} ended with exit code {done.returncode}", "nothing was changed")
        return file.read_text(encoding="utf-8-sig")


def editor_words() -> list[str]:
    """The editor's command."""
    said = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if said:
        return [said] if Path(said).is_file() else shlex.split(said, posix=sys.platform != "win32")
    if sys.platform == "win32":
        return ["notepad"]
    return [next((name for name in ("nano", "vi") if which(name)), "vi")]
