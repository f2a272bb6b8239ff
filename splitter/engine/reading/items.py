"""A command's arguments as items, one per flag with its values, so that one can be changed and the rest kept. Pure."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from splitter.engine.koboldcpp.flags import kobold_flags
from splitter.engine.llama_server.flags import flags_by_name
from splitter.engine.llama_server.read import BARE

_NUMBER = re.compile(r"-\d+(\.\d*)?|-\.\d+")  # what argparse takes for a negative number, not for a flag


@dataclass(frozen=True, slots=True)
class Item:
    """`words` as written; `dest` is the engine's name for the flag, None for a word that is no flag of it."""

    dest: str | None
    words: tuple[str, ...]


def items_of(kind: str, args: Sequence[str]) -> tuple[Item, ...]:
    """`args` (without the program) cut into items; joined again they are `args`."""
    return tuple((_kobold if kind == "koboldcpp" else _llama)(list(args)))


def changed(kind: str, args: Sequence[str], dests: Iterable[str], wanted: Sequence[str]) -> tuple[str, ...]:
    """`args` in which the flags `dests` say what they say in `wanted`, a complete command; gone if not there."""
    dests = set(dests)
    new = {item.dest: item.words for item in items_of(kind, wanted) if item.dest in dests}
    kept: list[str] = []
    for item in items_of(kind, args):
        kept += item.words if item.dest not in dests else new.pop(item.dest, ())
    return (*kept, *(word for words in new.values() for word in words))


def _llama(args: list[str]) -> Iterator[Item]:
    known, at = flags_by_name(), 0
    while at < len(args):
        name = args[at].replace("_", "-") if args[at].startswith("--") else args[at]
        name = name.partition("=")[0] if name.partition("=")[0] in known else name
        flag = known[name][0] if name in known else None
        end = at + 1
        if flag is None:
            end = _values_end(args, end)
        elif flag.dest in BARE and (end == len(args) or args[end] in known):
            pass
        elif "=" not in args[at]:
            end += flag.values
        yield Item(flag.dest if flag else None, tuple(args[at:end]))
        at = end


def _kobold(args: list[str]) -> Iterator[Item]:
    spellings = {name: (dest, nargs) for dest, nargs, names in kobold_flags() for name in names}
    at = 0
    while at < len(args):
        dest, nargs = _spelled(args[at].partition("=")[0], spellings)
        end = at + 1
        if "=" not in args[at] and dest is not None:
            most = {"0": 0, "1": 1, "2": 2, "?": 1}.get(nargs, len(args))
            end = min(_values_end(args, end), end + most)
        yield Item(dest, tuple(args[at:end]))
        at = end


def _spelled(name: str, spellings: Mapping[str, tuple[str, str]]) -> tuple[str | None, str]:
    """A flag, or the beginning of one that only one flag has (argparse's abbreviations)."""
    if name in spellings:
        return spellings[name]
    longer = {spellings[known] for known in spellings if name.startswith("--") and known.startswith(name)}
    return longer.pop() if len(longer) == 1 else (None, "0")


def _values_end(args: Sequence[str], at: int) -> int:
    while at < len(args) and (not args[at].startswith("-") or _NUMBER.fullmatch(args[at])):
        at += 1
    return at
