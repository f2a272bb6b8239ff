"""EngineCommand: one value with three readers (print, script, process), so that the three cannot disagree."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import ip_address

from splitter.errors import EngineError


@dataclass(frozen=True, slots=True)
class Server:
    """Where the engine listens. The API key is passed by file or environment, never in argv.

    `cors_origins` are the origins whose pages may read answers, as llama-server takes them: `localhost`, `*` or URLs
    with commas.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    api_key_file: str | None = None
    web_ui: bool = True
    cors_origins: str = "localhost"

    def beyond_loopback(self) -> bool:
        """Whether others may reach it."""
        return not is_loopback(self.host)


@lru_cache(maxsize=256)  # asked for every request of a gateway
def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`. A name other than `localhost` counts as reachable, whatever it means
    now."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class EngineRef:
    """The engine a command is for: `kind` is its name in engines.ENGINES, `path` None when it is planned for but not
    here, `version` None when unknown."""

    kind: str
    path: str | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True)
class EngineCommand:
    """The whole command: `argv` with the program first, `env` the variables it adds to the environment.

    `env_files` are variables whose value is the first line of a file, read when the engine starts: secrets, which must
    stand in no argv, log or script. `devices` are the plan's names of the devices that the engine is shown and counts
    from 0 by itself (empty: it calls them as the plan does).
    """

    engine: EngineRef
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    server: Server = field(default_factory=Server)
    model_path: str = ""
    env_files: Mapping[str, str] = field(default_factory=dict)
    devices: tuple[str, ...] = ()

    @property
    def by_python(self) -> bool:
        """Whether the program is a script that Python runs: Python's name stands before its path."""
        return self.engine.path is not None and self.argv[1:2] == (self.engine.path,)

    @property
    def arguments(self) -> tuple[str, ...]:
        """The words behind those that start the program."""
        return self.argv[2:] if self.by_python else self.argv[1:]

    def __post_init__(self) -> None:
        if not self.argv or not self.argv[0]:
            raise EngineError("the engine command is empty", "report this: a command always names its program")
        bad = [part for part in self.argv if "\0" in part]
        if bad:
            raise EngineError("an argument of the engine command contains a NUL character", "rename the file")
