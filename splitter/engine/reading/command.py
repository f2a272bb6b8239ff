"""Understands an engine command somebody wrote: a line of text or an argument list."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from splitter.engine.engines import DEFAULT, ENGINES, NAMES
from splitter.engine.reading.forks import Translated, starts_fork, translated
from splitter.engine.reading.value import Around, ReadCommand, ReadText, Unwrapped
from splitter.errors import UsageError
from splitter.masking import MASK, masked_argv

if TYPE_CHECKING:
    from splitter.engine.reading.documents import Named

_FOUND_NONE = "this command starts neither koboldcpp nor llama-server"
MAX_TEXT = 262144
FILES = ("mmproj", "draft_model")  # settings that name files
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
    read_text: ReadText | None = None,
) -> ReadCommand:
    """The engine command in `command`, a text of any dialect or an argv (with or without the program).

    `env` are variables set beside it; `kind` decides where no program names the engine; `version` is the engine's;
    `read_text` gives the text of files that the command names (None: they are named in a notice instead).
    UsageError when there is no engine in it or a value cannot be understood.
    """
    if isinstance(command, str):
        from splitter.engine.reading.dialects import commands_in, shell_of

        if len(command) > MAX_TEXT:
            raise UsageError("the command is too long to be one", "give one command line")
        read = first_engine_command(commands_in(command, "", env or {}, read_text), kind, version, read_text)
        return replace(read, around=replace(read.around, shell=shell_of(command, "")))
    return first_engine_command([("", list(command), dict(env or {}))], kind, version, read_text)


def first_engine_command(
    commands: "Iterable[Named]", kind: str | None, version: str | None, read_text: ReadText | None = None
) -> ReadCommand:
    """The first of `commands` (entry, words and variables) that starts an engine, understood."""
    from splitter.engine.reading.wrappers import unwrapped

    for entry, words, env in commands:
        inner = unwrapped(words, env, read_text)
        program = find_program(inner.words, kind)
        if program is not None:
            return _read(_placed(words, inner, program[0]), entry, program, version, read_text)
    raise UsageError(_FOUND_NONE, "give the whole line, starting with the program")


def read_flags(
    program: str, flags: Sequence[str], *, kind: str | None = None, version: str | None = None
) -> ReadCommand:
    """`program`, an engine's own, with `flags`: like `read_command`, where nothing stands around the command."""
    words = (program, *flags)
    found = find_program(words, kind)
    if found is None:
        raise UsageError(_FOUND_NONE, "name the engine's program")
    return _read(_placed(words, Unwrapped(words, {}), found[0]), "", found, version, None)


def _placed(words: Sequence[str], inner: Unwrapped, at: int) -> Unwrapped:
    """`inner` with what stood in front of the engine's arguments as written, the program or image included.

    The program alone where a wrapper rewrote the words (`bash -c LINE`).
    """
    args = list(inner.words[at + 1 :])
    start = len(words) - len(args)
    as_written = start >= 0 and list(words[start:]) == args
    in_front = words[:start] if as_written else inner.words[max(at, 0) : at + 1]
    return replace(inner, around=replace(inner.around, words=tuple(in_front)))


def find_program(words: Sequence[str], kind: str | None) -> tuple[int, str] | None:
    """Where in `words` the engine's program stands and which engine it is; index -1 when only flags are given."""
    first = re.split(r"[\\/]", words[0])[-1].lower() if words else ""
    if not words or first.removesuffix(".exe") in TALK:
        return None
    if first.startswith("-"):
        return -1, kind or _kind_by_flags(words)
    if first.removesuffix(".exe") == "ollama" and list(words[1:2]) == ["runner"]:
        return 1, DEFAULT.name
    named = ((index, _engine_of(word, kind, words[index + 1 :])) for index, word in enumerate(words))
    found = [(index, engine) for index, engine in named if engine]
    if first == "start":  # its first quoted word is the window's title, which may be the engine's name
        flags = next((index for index, word in enumerate(words) if word.startswith("-")), len(words))
        found = [item for item in found if item[0] < flags][-1:] or found
    return found[0] if found else None


def _engine_of(word: str, kind: str | None, args: Sequence[str]) -> str | None:
    """The engine that `word` starts; where several have programs of that name, `kind` or the one `args` speak of."""
    name = re.split(r"[\\/]", word)[-1]
    found = [engine.name for engine in ENGINES.values() if engine.reads(name)]
    if not found:
        return starts_fork(name)
    if len(found) < 2 or kind in found:
        return kind if kind in found else found[0]
    by_path = [name for name in found if ENGINES[name].lies_in(word)]
    return by_path[0] if by_path else _kind_by_flags(args, found)


def _kind_by_flags(words: Sequence[str], among: Sequence[str] = NAMES) -> str:
    """The engine that knows most of the flags, of equals the first in the table."""
    return max(among, key=lambda name: ENGINES[name].likeness(words))


def _read(
    inner: Unwrapped, entry: str, program: tuple[int, str], version: str | None, read_text: ReadText | None
) -> ReadCommand:
    at, kind = program
    name = inner.words[at] if at >= 0 else kind
    args = [word.replace("\0", " ") for word in inner.words[at + 1 :]]
    args, env = _from_preset(args, dict(inner.env), entry, read_text)
    path = " ".join((*inner.around.words[-1:], inner.words[0], name) if inner.words else (name,))
    original = translated(kind, path, args, ENGINES[kind].knows_flag)
    read = ENGINES[kind].read(name, original.args, _relevant(env), version, read_text)
    return _surrounded(_of_fork(read, original, (name, *args)), inner.around)


def _of_fork(read: ReadCommand, original: Translated, argv: Sequence[str]) -> ReadCommand:
    """`read` with the fork's notice; what the original refuses is no refusal there."""
    if original.fork is None:
        return read
    kept = tuple(notice for notice in read.notices if notice.code != "flag_repeated")
    return replace(
        read, argv=masked_argv(argv), notices=(original.notice(read.unknown), *kept), refusals=(),
        fork=original.fork.name,
    )  # fmt: skip


def _from_preset(
    args: list[str], env: dict[str, str], entry: str, read_text: ReadText | None
) -> tuple[list[str], dict[str, str]]:
    """The first model of a --models-preset file in front of the command's own arguments, which count more."""
    if "--models-preset" not in args[:-1] or read_text is None:
        return args, env
    from splitter.engine.reading.documents import preset_commands

    text = read_text(args[args.index("--models-preset") + 1])
    presets = list(preset_commands(text, env)) if text else []
    chosen = next((item for item in presets if item[0] == entry), presets[0] if presets else None)
    return (args, env) if chosen is None else ([*chosen[1][1:], *args], chosen[2])


def _surrounded(read: ReadCommand, around: Around) -> ReadCommand:
    """`read` with what stands around it; the files of a container are those that it mounts from the host."""
    read = replace(read, around=around, notices=(*around.notices, *read.notices))
    if around.container is None:
        return read
    on_host = around.container.on_host
    settings = {**read.settings, **{name: on_host(read.settings[name]) for name in FILES if read.settings.get(name)}}
    return replace(read, model=read.model and on_host(read.model), settings=settings)


def _relevant(env: Mapping[str, str]) -> dict[str, str]:
    """The variables an engine or its driver reads, keys masked."""
    prefixes = ("LLAMA_", "GGML_", "CUDA_", "HIP_", "ROCR_", "KCPP_", "NVIDIA_VISIBLE", "ONEAPI_DEVICE", "MTMD_")
    kept = {name: value for name, value in env.items() if name.upper().startswith(prefixes)}
    return {name: MASK if name.upper().endswith(("_KEY", "PASSWORD")) else value for name, value in kept.items()}
