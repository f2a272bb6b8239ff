"""Forks of llama.cpp and koboldcpp: how to tell one, and which of its arguments the original does not have. Pure.

A command for a fork is read as the original would read the rest of it; what only the fork knows is named, never
guessed. (ik_llama.cpp is an engine of its own.) Sources: ollama 0.1 to 0.12 (`llm/server.go`), llama-cpp-python
0.3 (`llama_cpp/server/settings.py`), croco.cpp and koboldcpp-rocm release notes, TurboQuant's README.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from splitter.plan.plan import Notice

Nearest = Mapping[str, Mapping[str, str]]  # flag -> value only the fork knows -> the original's that needs no less


@dataclass(frozen=True, slots=True)
class Fork:
    """`programs` matches a path, image or name that only the fork has. `flags` are its own, with the number of values;
    `aliases` its own spellings of the original's flags; `nearest` its own values. `differs` says what the figures
    leave out, `unjudged` what single flags change."""

    name: str
    of: str
    programs: str
    differs: str
    flags: Mapping[str, int] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    nearest: Nearest = field(default_factory=dict)
    unjudged: Mapping[str, str] = field(default_factory=dict)
    binaries: str = ""  # file names that start it, where they are not the original's


def _flags(none: str = "", one: str = "") -> dict[str, int]:
    return dict.fromkeys(none.split(), 0) | dict.fromkeys(one.split(), 1)


_CACHE_FLAGS = ("-ctk", "-ctv", "--cache-type-k", "--cache-type-v")
_TURBO_TYPES = {"turbo2": "q4_0", "turbo3": "q4_0", "turbo4": "q5_0", "tq3": "q4_0", "tq4": "q5_0"}
FORKS: tuple[Fork, ...] = (
    Fork(
        "llama.cpp TurboQuant",
        "llama-server",
        r"turbo-?quant",
        "its caches are smaller than the nearest type of llama.cpp",
        nearest=dict.fromkeys(_CACHE_FLAGS, _TURBO_TYPES),
    ),
    Fork(
        "Ollama's runner",
        "llama-server",
        r"ollama_llama_server|ollama(?:\.exe)?(?:\s|$)|ollama[\\/]runners",
        "Ollama decides layers and memory by itself and writes this line; its own graph differs",
        _flags("--ollama-engine --verbose --multiuser-cache --embedding", "--kv-cache-type --log-format"),
        aliases={"--kv-cache-type": "--cache-type-k", "--num-gpu": "-ngl"},
        binaries=r"ollama_llama_server(?:\.exe)?",
    ),
    Fork(
        "LM Studio's llama.cpp",
        "llama-server",
        r"[.\\/]lmstudio|lm[ -]?studio",
        "LM Studio ships its own build and may add flags at start",
    ),
    Fork(
        "llama-cpp-python's server",
        "llama-server",
        r"llama_cpp\.server|llama-cpp-python",
        "it opens one sequence and takes n_ctx 2048 where none is given",
        _flags("", "--chat_format --clip_model_path --n_batch --last_n_tokens_size --interrupt_requests --cache"),
        aliases={
            "--n_gpu_layers": "--n-gpu-layers", "--n_ctx": "--ctx-size", "--n_batch": "--batch-size",
            "--n_ubatch": "--ubatch-size", "--n_threads": "--threads", "--main_gpu": "--main-gpu",
            "--clip_model_path": "--mmproj", "--type_k": "--cache-type-k", "--type_v": "--cache-type-v",
        },
        binaries=r"llama_cpp\.server",
    ),
    Fork(
        "llamafile",
        "llama-server",
        r"llamafile",
        "it is built on an older llama.cpp",
        _flags("--server --v2 --nobrowser --unsecure --recompile --precise --fast --trap --tinyblas", "--gpu"),
        binaries=r"[\w.-]*llamafile(?:\.exe)?",
    ),
    Fork(
        "koboldcpp-rocm",
        "koboldcpp",
        r"kobold\w*[-_.]?(?:cpp)?[-_]?rocm|yr0-rocm",
        "it follows koboldcpp by some weeks and is built for ROCm; the figures are koboldcpp's",
    ),
    Fork(
        "croco.cpp",
        "koboldcpp",
        r"croco|frankenstein|frankenfork",
        "its cache types and batches go beyond koboldcpp's",
        _flags("--normrmseps", "--blasubatchsize --poslayeroffset --neglayeroffset --draft_quantkv"),
        nearest={"--quantkv": {str(number): "f16" for number in range(4, 30)}},
        unjudged={"--quantkv": "--quantkv above 3 names croco.cpp's own cache types (counted here as f16)"},
        binaries=r"(?:croco[\w.-]*|kobold[\w.]*frank\w*)(?:\.exe|\.py)?",
    ),
    Fork("esobold", "koboldcpp", r"esobold", "it follows koboldcpp and adds servers of its own",
         binaries=r"esobold[\w.-]*"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Translated:
    """Arguments as the original takes them; `fork` and what was taken out or bent, None where nothing was."""

    args: tuple[str, ...]
    fork: Fork | None = None
    own: tuple[str, ...] = ()

    def notice(self, unknown: Sequence[str] = ()) -> Notice:
        """What cannot be judged, by name; `unknown` words nobody knows belong to it too."""
        if self.fork is None:
            raise ValueError("the original has nothing to say")
        listed = ", ".join(dict.fromkeys((*self.own, *unknown)))
        named = f": not judged {'are' if ',' in listed else 'is'} {listed}" if listed else ""
        details = [
            text for flag, text in self.fork.unjudged.items() if any(word.split()[0] == flag for word in self.own)
        ]
        said = "; ".join((self.fork.differs, *details))
        return Notice(
            "fork",
            f"this line is for {self.fork.name}{named}; the rest is judged as {self.fork.of} would run it ({said})",
            f"keep more free than the margin here, or run the line with {self.fork.of}",
        )


def translated(kind: str, program: str, args: Sequence[str], known: Callable[[str], bool]) -> Translated:
    """`args` of `program` without what only a fork knows; `known` tells the original's flags."""
    fork = _by_program(kind, program) or _by_arguments(kind, args, known)
    if fork is None:
        return Translated(tuple(args))
    kept: list[str] = []
    own: list[str] = []
    at = 0
    while at < len(args):
        count, stays, named = _argument(fork, args[at:], known)
        kept, own, at = [*kept, *stays], [*own, *named], at + count
    return Translated(tuple(kept), fork, tuple(own))


def _argument(
    fork: Fork, words: Sequence[str], known: Callable[[str], bool]
) -> tuple[int, tuple[str, ...], tuple[str, ...]]:
    """The first argument of `words`: how many words it is, what of it the original takes, what only the fork knows."""
    word, following = words[0], words[1] if len(words) > 1 else ""
    bent = fork.nearest.get(word, {}).get(following)
    if bent is not None:
        return 2, (word, bent), (f"{word} {following}",)
    if word in fork.aliases:
        return 1, (fork.aliases[word],), ()
    if word in fork.flags and not known(word):
        count = 1 + fork.flags[word]
        return count, (), (" ".join(words[:count]),)
    return 1, (word,), ()


def starts_fork(name: str) -> str | None:
    """The original of the fork that the file name `name` starts, None where it starts none."""
    return next((f.of for f in FORKS if f.binaries and re.fullmatch(f.binaries, name, re.IGNORECASE)), None)


def _by_program(kind: str, program: str) -> Fork | None:
    return next((f for f in FORKS if f.of == kind and re.search(f.programs, program, re.IGNORECASE)), None)


def _by_arguments(kind: str, args: Sequence[str], known: Callable[[str], bool]) -> Fork | None:
    """The fork that knows most of what the original does not."""

    def telling(fork: Fork) -> int:
        own = sum(word in {*fork.flags, *fork.aliases} and not known(word) for word in args)
        return own + sum(value in fork.nearest.get(word, {}) for word, value in pairwise(args))

    best = max((fork for fork in FORKS if fork.of == kind), key=telling, default=None)
    return best if best and telling(best) else None
