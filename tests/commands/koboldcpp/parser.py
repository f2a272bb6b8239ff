"""Parses a command line as a koboldcpp release does, from the flag tables beside this file.

The tables hold names, types, choices, defaults and exclusive groups as read out of koboldcpp's own parser.
"""

import argparse
import json
from functools import cache
from pathlib import Path
from typing import Any

CONTEXT_RANGE = {"1.123": (256, 524288), "1.115.1": (256, 262144), "1.76": (256, 262144)}
PARALLEL_RANGE = (0, 32)


class RefusedError(Exception):
    """The release would end with exit code 2 and this message."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise RefusedError(message)


def _within(low: int, high: int) -> Any:
    def read(text: str) -> int:
        if not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text} is not in {low}..{high}")
        return int(text)

    return read


def _type_of(flag: dict[str, Any], version: str) -> Any:
    if flag["type"] == "range_checker":
        return _within(*(CONTEXT_RANGE[version] if flag["dest"] == "contextsize" else PARALLEL_RANGE))
    return {None: None, "int": int, "float": float}.get(flag["type"], str)


def _arguments(flag: dict[str, Any], version: str) -> dict[str, Any]:
    """The keyword arguments of add_argument for one row of the table."""
    named: dict[str, Any] = {"default": flag["default"], **({"dest": flag["dest"]} if flag["options"] else {})}
    switches = {"_StoreTrueAction": "store_true", "_StoreFalseAction": "store_false"}
    if flag["action"] in switches:
        return {**named, "action": switches[flag["action"]]}
    const = {} if flag["const"] is None else {"const": flag["const"]}
    return {**named, **const, "type": _type_of(flag, version), "nargs": flag["nargs"], "choices": flag["choices"]}


@cache
def parser(version: str) -> argparse.ArgumentParser:
    """The parser of release "1.123", "1.115.1" or "1.76"."""
    made = _Parser(prog=f"koboldcpp-{version}", add_help=False)
    groups: dict[int, Any] = {}
    table = Path(__file__).parent / f"flags-{version}.json"
    for flag in json.loads(table.read_text(encoding="utf-8")):
        target: Any = made
        if flag["mutex"]:
            name = flag["mutex"][0]
            target = groups.get(name) or groups.setdefault(name, made.add_mutually_exclusive_group())
        target.add_argument(*(flag["options"] or [flag["dest"]]), **_arguments(flag, version))
    return made


def parse(version: str, argv: list[str]) -> dict[str, Any]:
    """The values that release `version` reads from `argv` (without the program). RefusedError where it refuses."""
    return vars(parser(version).parse_args(argv))
