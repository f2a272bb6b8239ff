"""ReadCommand: an engine command somebody wrote, understood. Values are as given; nothing is filled in here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from splitter.engine.command import Server
from splitter.plan.plan import Notice

AUTO = -1  # gpu_layers of a command
SCRIPT_SUFFIXES = (
    ".bat", ".cmd", ".sh", ".bash", ".ps1", ".service", ".container", ".kcpps", ".yaml", ".yml", ".ini",
)  # fmt: skip
Shell = Literal["cmd", "posix", "powershell"]
ReadText = Callable[[str], str | None]  # the text of a named file, None where it cannot be read


@dataclass(frozen=True, slots=True)
class Container:
    """`mounts` pairs a folder inside with the host's folder; `published` are the ports as written (-p)."""

    mounts: tuple[tuple[str, str], ...] = ()
    published: tuple[str, ...] = ()

    def on_host(self, path: str) -> str:
        """Where the file `path` of the container lies on the host; `path` itself where no mount holds it."""
        for inside, host in sorted(self.mounts, key=lambda mount: -len(mount[0])):
            folder = inside.rstrip("/") + "/"
            if path.startswith(folder):
                return host.rstrip("/\\") + "/" + path[len(folder) :]
        return path

    def is_local(self) -> bool:
        """Whether every published port is bound to loopback."""
        return bool(self.published) and all(port.startswith(("127.", "[::1]", "localhost")) for port in self.published)


@dataclass(frozen=True, slots=True)
class Around:
    """What stands around the engine's arguments: `words` in front of them as written (wrappers, then the program or the
    image), the container they run in, the `shell` it is written for (None: the system's own)."""

    words: tuple[str, ...] = ()
    container: Container | None = None
    notices: tuple[Notice, ...] = ()
    shell: Shell | None = None

    def saying(self, *notices: Notice) -> "Around":
        return replace(self, notices=(*self.notices, *notices))


@dataclass(frozen=True, slots=True)
class Unwrapped:
    """The engine's words, the variables in force there, and what stood around them."""

    words: tuple[str, ...]
    env: Mapping[str, str]
    around: Around = field(default_factory=Around)


@dataclass(frozen=True, slots=True)
class ReadCommand:
    """What a command says.

    `settings` maps fields of memory.settings.Settings to the values given (`gpu_layers` -1 is auto, -2 all;
    `context_size` 0 the model's own); `flags` every understood flag by the engine's own name for it, raw; `model` a
    path or reference, None when the command names none. `env` holds the variables set beside the command. `refusals`
    are reasons for which the engine itself would not accept it, `notices` other findings while reading, `unknown`
    the words that are no flag of the engine; `around` is what stands around it (wrappers, a container);
    `fork` is the name of the fork it is written for, None for the engine itself.
    """

    kind: str
    program: str
    argv: tuple[str, ...]
    model: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    flags: Mapping[str, Any] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    server: Server = field(default_factory=Server)
    version: str | None = None
    notices: tuple[Notice, ...] = ()
    refusals: tuple[Notice, ...] = ()
    unknown: tuple[str, ...] = ()
    around: Around = field(default_factory=Around)
    fork: str | None = None


@dataclass(slots=True)
class Findings:
    """What a reader collects on its way through a command."""

    notices: list[Notice] = field(default_factory=list)
    refusals: list[Notice] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def note(self, code: str, message: str, hint: str = "") -> None:
        self.notices.append(Notice(code, message, hint))

    def refuse(self, code: str, message: str, hint: str = "") -> None:
        self.refusals.append(Notice(code, message, hint))


def nearest_word(word: str, known: Mapping[str, Any]) -> str:
    """A hint that names the known spelling most like `word`."""
    from difflib import get_close_matches

    close = get_close_matches(word, known, n=1, cutoff=0.7)
    return f"did you mean {close[0]}?" if close else "remove it, or check its spelling"
