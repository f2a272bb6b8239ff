"""Understands an engine command somebody wrote: a line of text or an argument list."""

import re
from collections.abc import Iterable, Mapping, Sequence

from splitter.engine.koboldcpp.flags import kobold_flags
from splitter.engine.llama_server.flags import flags_by_name
from splitter.engine.reading.cmd import cmd_commands
from splitter.engine.reading.shell import shell_commands
from splitter.engine.reading.value import MASK, ReadCommand
from splitter.errors import UsageError

_KOBOLD = re.compile(r"koboldcpp[\w.-]*", re.IGNORECASE)
_LLAMA = re.compile(
    r"(?:llama-(?:server|cli|fit-params|completion)|server)(?:\.exe)?|llama\.cpp:server[\w.-]*", re.IGNORECASE
)
_FOUND_NONE = "no koboldcpp or llama-server stands in this command"
MAX_TEXT = 262144
# Commands that may name an engine without starting it.
TALK = frozenset({
    "echo", "title", "printf", "taskkill", "tasklist", "where", "which", "command", "pkill", "pgrep", "killall", "curl",
    "wget", "cd", "pushd", "mkdir", "test", "[", "[[", "for", "del", "copy", "ping", "type", "cat", "grep", "find",
    "findstr", "rem", "pause", "exit", "missing", "git", "cp", "mv", "rm", "ls", "dir", "chmod", "ln", "tail",
})  # fmt: skip


def read_command(
    command: str | Sequence[str],
    env: Mapping[str, str] | None = None,
    *,
    kind: str | None = None,
    version: str | None = None,
) -> ReadCommand:
    """The engine command in `command`, a line of text or an argv (with or without the program).

    `env` are variables set beside it; `kind` decides where no program names the engine; `version` is the engine's.
    UsageError when there is no engine in it or a value cannot be understood.
    """
    if isinstance(command, str):
        return first_engine_command(_commands_of_line(command, env or {}), kind, version)
    return first_engine_command([(list(command), dict(env or {}))], kind, version)


def first_engine_command(
    commands: Iterable[tuple[list[str], dict[str, str]]], kind: str | None, version: str | None
) -> ReadCommand:
    """The first of `commands` (words and variables) that starts an engine, understood."""
    for words, env in commands:
        found = find_program(words, kind)
        if found is not None:
            return _read(words, *found, env, version)
    raise UsageError(_FOUND_NONE, "give the whole line, starting with the program")


def _commands_of_line(text: str, env: Mapping[str, str]) -> list[tuple[list[str], dict[str, str]]]:
    if len(text) > MAX_TEXT:
        raise UsageError("the command is too long to be one", "give one command line")
    reader = cmd_commands if looks_like_cmd(text) else shell_commands
    return list(reader(text, env))


def looks_like_cmd(text: str) -> bool:
    """Whether `text` is written for cmd.exe rather than for a POSIX shell."""
    signs = re.search(r"\.exe\b|(?:^|[\s\"])[A-Za-z]:\\|%[\w~]+%|%~dp0|\^\s*\n", text, re.IGNORECASE)
    return bool(signs) and not re.search(r"\$\w|\$\{|'", text)


def find_program(words: Sequence[str], kind: str | None) -> tuple[int, str] | None:
    """Where in `words` the engine's program stands and which engine it is; index -1 when only flags are given."""
    first = re.split(r"[\\/]", words[0])[-1].lower() if words else ""
    if not words or first.removesuffix(".exe") in TALK:
        return None
    if first.startswith("-"):
        return -1, kind or _kind_by_flags(words)
    found = [(index, engine) for index, word in enumerate(words) if (engine := _engine_of(word))]
    if first == "start":  # its first quoted word is the window's title, which may be the engine's name
        flags = next((index for index, word in enumerate(words) if word.startswith("-")), len(words))
        found = [item for item in found if item[0] < flags][-1:] or found
    return found[0] if found else None


def _engine_of(word: str) -> str | None:
    name = re.split(r"[\\/]", word)[-1]
    if _KOBOLD.fullmatch(name) and not name.lower().endswith((".gguf", ".kcpps", ".kcppt", ".txt", ".log")):
        return "koboldcpp"
    return "llama-server" if _LLAMA.fullmatch(name) else None


def _kind_by_flags(words: Sequence[str]) -> str:
    kobold = {name for _, _, names in kobold_flags() for name in names}
    ours = [word for word in words if word.startswith("--")]
    only_kobold = [word for word in ours if word in kobold and word.replace("_", "-") not in flags_by_name()]
    return "koboldcpp" if only_kobold else "llama-server"


def _read(words: Sequence[str], at: int, kind: str, env: dict[str, str], version: str | None) -> ReadCommand:
    program = words[at] if at >= 0 else kind
    args = [word.replace("\0", " ") for word in words[at + 1 :]]
    if kind == "koboldcpp":
        from splitter.engine.koboldcpp.read import read_kobold

        return read_kobold(program, args, _relevant(env), version)
    from splitter.engine.llama_server.read import read_llama

    return read_llama(program, args, _relevant(env), version)


def _relevant(env: Mapping[str, str]) -> dict[str, str]:
    """The variables an engine or its driver reads, keys masked."""
    prefixes = ("LLAMA_", "GGML_", "CUDA_", "HIP_", "ROCR_", "KCPP_")
    kept = {name: value for name, value in env.items() if name.upper().startswith(prefixes)}
    return {name: MASK if name.upper().endswith(("_KEY", "PASSWORD")) else value for name, value in kept.items()}
