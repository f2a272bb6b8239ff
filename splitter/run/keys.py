"""The API key of a server that others can reach: taken from its file, or made and kept for the next launch.

It lies in config_folder()/keys/api.key, one for all servers of this user: mode 0600 in a folder of mode 0700; on
Windows the access list is cut down to the user with icacls. It is only ever passed on as that file's name.
"""

import os
import re
import secrets
import stat
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from splitter.engine.command import Server
from splitter.errors import EngineError
from splitter.folders import config_folder
from splitter.whole_file import write_whole

KEY_BYTES = 32


def key_file() -> Path:
    """Where a key that splitter made lies."""
    return config_folder() / "keys" / "api.key"


def secured(server: Server) -> tuple[Server, tuple[str, ...]]:
    """`server` with the file of a key where it needs one, and what the user must know of it.

    A server on loopback is left as it is. EngineError for a key file that cannot be read or written or holds no key.
    """
    if server.api_key_file is not None:
        path = Path(server.api_key_file).expanduser()
        return replace(server, api_key_file=str(path)), _warnings(path)
    if not server.beyond_loopback():
        return server, ()
    path = key_file()
    made = _make(path)
    read_key(path)
    said = f"{server.host} can be reached by others: clients need the API key in {path}"
    return replace(server, api_key_file=str(path)), (f"{said} (just created)" if made else said, *_warnings(path))


def named(server: Server) -> tuple[Server, tuple[str, ...]]:
    """`server` with the file that its key will lie in, where it needs one: nothing is written before it is launched."""
    if server.api_key_file is not None or not server.beyond_loopback():
        return secured(server)
    path = key_file()
    made = "" if path.exists() else f"; `splitter launch` makes it, or write a key of your own into {path}"
    return replace(server, api_key_file=str(path)), (
        f"{server.host} can be reached by others: clients need the API key in {path}{made}",
    )


def _make(path: Path) -> bool:
    """Writes a new key unless there is one; whether it was written. Of two launches at once one wins."""
    if path.exists():
        return False
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(fresh, secrets.token_urlsafe(KEY_BYTES) + "\n", 0o600)
        _own_on_windows(fresh)
        try:
            os.link(fresh, path)
        except FileExistsError:
            return False
        except OSError:  # a file system without links
            fresh.replace(path)
    except OSError as error:
        raise EngineError(f"the API key file {path} cannot be written: {error.strerror}", _OTHER) from None
    finally:
        fresh.unlink(missing_ok=True)
    return True


_OTHER = "give a key with --api-key-file FILE, or listen on 127.0.0.1"


def _own_on_windows(path: Path) -> None:
    """Nobody but the user may read it. Best effort: the user's %APPDATA% is closed to others already.

    The user is named by SID: names of domains and of renamed accounts do not always resolve. First the entry is added,
    then the inherited ones go, so that no step leaves the file without any; one that cannot be read back is reset.
    """
    if sys.platform != "win32":
        return
    sid = user_sid()
    if sid is None or not _icacls(path, "/grant:r", f"*{sid}:F"):
        return
    _icacls(path, "/inheritance:r")
    try:
        path.read_bytes()
    except OSError:
        _icacls(path, "/reset")


def _icacls(path: Path, *words: str) -> bool:
    """Whether icacls did it."""
    with suppress(OSError, subprocess.SubprocessError):
        return (
            subprocess.run(("icacls", str(path), *words), capture_output=True, timeout=10, check=False).returncode == 0
        )
    return False


def user_sid() -> str | None:
    """The SID of the user, "S-1-5-21-..."; None where whoami does not say."""
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(("whoami", "/user", "/fo", "csv", "/nh"), capture_output=True, timeout=10, check=False)
        found = re.search(r"S-1-[0-9-]+", done.stdout.decode("ascii", "replace"))
        return found[0] if found else None
    return None


def read_key(path: str | Path) -> str:
    """The key in a file: its first line with something in it, without the spaces around. What koboldcpp is given, what
    llama-server takes first and what our own requests send are this one.

    EngineError for a file that cannot be read or is empty: the engine would serve everybody.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise EngineError(f"the API key file {path} cannot be read: {error.strerror}", "check the path") from None
    except UnicodeDecodeError:
        raise EngineError(f"the API key file {path} cannot be read: it is not UTF-8 text", "save it as UTF-8") from None
    if lines[0].startswith("\ufeff"):  # llama-server would take it for a part of the key
        message = f"the API key file {path} begins with a byte order mark"
        raise EngineError(message, "save it as UTF-8 without BOM")
    key = next((line.strip() for line in lines if line.strip()), None)
    if key is None:
        message = f"the API key file {path} holds no key (its first line is empty): the engine would serve everybody"
        raise EngineError(message, "put the key on its first line, or delete the file: a launch makes a new one")
    if not key.isprintable():
        raise EngineError(f"the key in {path} contains a control character", "write the key as one line of plain text")
    return key


def key_of(server: Server) -> str | None:
    """The server's key; None where it needs none. EngineError as `read_key`."""
    return None if server.api_key_file is None else read_key(server.api_key_file)


def _warnings(path: Path) -> tuple[str, ...]:
    """A file of a key that other users can read. Windows has no such bits: nothing is said there."""
    if sys.platform == "win32":
        return ()
    with suppress(OSError):
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            return (f"warning: others on this machine can read the API key file {path} (chmod 600 {path})",)
    return ()
