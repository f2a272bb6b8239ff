"""The API key of a server that others can reach: taken from its file, or made and kept for the next launch.

It lies in config_folder()/keys/api.key, one for all servers of this user: mode 0600 in a folder of mode 0700; on
Windows the access list is cut down to the user with icacls. It is only ever passed on as that file's name.
"""

import os
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
    _require_key(path)
    said = f"{server.host} can be reached by others: clients need the API key in {path}"
    return replace(server, api_key_file=str(path)), (f"{said} (just created)" if made else said, *_warnings(path))


def _make(path: Path) -> bool:
    """Writes a new key unless there is one; whether it was written. Of two launches at once one wins."""
    if path.exists():
        return False
    fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
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
    """Nobody but the user may read it. Best effort: the user's %APPDATA% is closed to others already."""
    if sys.platform == "win32":
        user = f"{os.environ.get('USERDOMAIN', '.')}\\{os.environ.get('USERNAME', '')}"
        with suppress(OSError, subprocess.SubprocessError):
            command = ("icacls", str(path), "/inheritance:r", "/grant:r", f"{user}:F")
            subprocess.run(command, capture_output=True, timeout=10, check=False)


def _require_key(path: Path) -> None:
    """EngineError when the file has no first line: the engine would serve without a key."""
    try:
        line = path.read_text(encoding="utf-8").partition("\n")[0].strip()
    except (OSError, UnicodeDecodeError):
        raise EngineError(f"the API key file {path} cannot be read", "check its permissions, or delete it") from None
    if not line:
        raise EngineError(f"the API key file {path} holds no key", "delete it: the next launch makes a new one")


def _warnings(path: Path) -> tuple[str, ...]:
    """A file of a key that other users can read. Windows has no such bits: nothing is said there."""
    if sys.platform == "win32":
        return ()
    with suppress(OSError):
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            return (f"warning: others on this machine can read the API key file {path} (chmod 600 {path})",)
    return ()
