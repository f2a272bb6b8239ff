"""The .kcpps of a plan: koboldcpp's own settings file, complete by itself (`koboldcpp --config FILE`). Pure.

A JSON object of koboldcpp's argument names, as it writes it itself; loading checks no value and keeps unknown keys.
Names and types by release: koboldcpp's argument parsers of 1.76, 1.115.1 and 1.123.
"""

import json
from collections.abc import Iterator
from typing import Any

from splitter import __version__
from splitter.engine.command import EngineCommand
from splitter.engine.engines import ENGINES
from splitter.engine.koboldcpp.flags import kobold_flags
from splitter.engine.koboldcpp.versions import NEW_BATCH_SIZE, QUANTKV_WORDS, USECUDA, koboldcpp_release
from splitter.errors import UsageError
from splitter.plan.plan import Plan
from splitter.script.download import download_name, is_reference
from splitter.script.file import MARK

SUFFIX = ".kcpps"
INTEGERS = frozenset({
    "contextsize", "gpulayers", "batchsize", "ubatchsize", "threads", "port", "parallelrequests", "moecpu", "maingpu",
    "draftgpulayers",
})  # fmt: skip
FLOATS = frozenset({"tensor_split", "draftgpusplit"})
# Argument names before they were changed, with the first release of the new name.
OLD_NAMES = {"usecuda": ("usecublas", USECUDA), "batchsize": ("blasbatchsize", NEW_BATCH_SIZE)}
MODEL_LIST = (1, 83, 1)
# --device chooses cards since this release; before, only variables do, and a .kcpps holds none.
DEVICE_NAMES = (1, 106)
PCI_ORDER = (1, 80)


def render_kcpps(plan: Plan, command: EngineCommand, remake: str) -> bytes:
    """The file: JSON in ASCII. UsageError for another engine, a password, or cards that this release cannot choose."""
    about = {"splitter": f"{MARK} {__version__}. Start: koboldcpp --config THIS_FILE. Remake: {remake}"}
    return (json.dumps(about | kcpps_values(plan, command), indent=2) + "\n").encode("ascii")


def kcpps_values(plan: Plan, command: EngineCommand) -> dict[str, Any]:
    """The command and its environment by koboldcpp's argument names."""
    if ENGINES[command.engine.kind].settings_file != SUFFIX:
        raise UsageError(
            f"a .kcpps file is for koboldcpp, but the plan is for {command.engine.kind}", "add --engine koboldcpp"
        )
    if command.env_files:
        raise UsageError(
            "a .kcpps file would contain the password itself", "use the .bat or .sh, which read it from its file"
        )
    release = koboldcpp_release(command.engine.version)
    values = {dest: _typed(dest, words, release) for dest, words in _arguments(command)}
    model, port = values.pop("model"), values["port"]
    path = download_name(model) if is_reference(model) else model
    values |= {"model": [] if release >= MODEL_LIST else "", "model_param": path, "port_param": port}
    values |= _devices(plan, release)
    named = {_name(dest, release): value for dest, value in values.items()}
    return {**named, "istemplate": False}


def _arguments(command: EngineCommand) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each flag of the command by its argument name, with the words that belong to it."""
    rows = {name: (dest, nargs) for dest, nargs, names in kobold_flags() for name in names}
    rest = list(command.arguments)
    while rest:
        dest, nargs = rows[rest.pop(0)]
        words: list[str] = []
        while rest and nargs != "0" and (not words or nargs in "*+") and (nargs == "1" or rest[0] not in rows):
            words.append(rest.pop(0))
        yield dest, tuple(words)


def _typed(dest: str, words: tuple[str, ...], release: tuple[int, ...]) -> Any:
    """`words` of `dest` as koboldcpp keeps them."""
    if dest in FLOATS:
        return [float(word) for word in words]
    if dest == "usecuda":
        return list(words)
    if dest == "usevulkan":
        return [int(word) for word in words]
    if not words:
        return True
    number = dest in INTEGERS or (dest == "quantkv" and release < QUANTKV_WORDS)
    return int(words[0]) if number else words[0]


def _devices(plan: Plan, release: tuple[int, ...]) -> dict[str, str]:
    order = plan.settings.device_order
    if not order:
        return {}
    if release >= DEVICE_NAMES:
        return {"device": ",".join(order)}
    if order != tuple(device.id for device in plan.rig.devices) or (len(order) > 1 and release < PCI_ORDER):
        hint = "use the .bat or .sh, or take koboldcpp 1.106 or newer"
        raise UsageError("a .kcpps of this koboldcpp release cannot choose cards or their order", hint)
    return {}


def _name(dest: str, release: tuple[int, ...]) -> str:
    old, since = OLD_NAMES.get(dest, ("", (0,)))
    return old if release < since else dest
