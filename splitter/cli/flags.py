"""Flag values to the settings they fix. A value that makes no sense is refused with its flag's name."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from splitter.app.wishes import Wishes
from splitter.cli.options import FlagOptions, RigOptions
from splitter.errors import UsageError
from splitter.memory.setting_table import ALL_CACHE_TYPES, SETTINGS, Setting
from splitter.rig.node_names import node_name

NO_FLAGS = FlagOptions()
# The options that are a profile's key as they are.
KEYS: Mapping[str, str] = {
    "backend": "rig.backend",
    "engine": "engine.kind",
    "engine_path": "engine.path",
    "engine_version": "engine.version",
    "goal": "goal",
    "workload": "workload",
    "host": "server.host",
    "port": "server.port",
    "api_key_file": "server.api_key_file",
}


def wishes_of(model: str | None, asked: RigOptions, flags: FlagOptions = NO_FLAGS) -> Wishes:
    """What the command line asks for, by the profile's dotted keys; `asked` may hold more options than a rig's."""
    given: dict[str, Any] = {
        "model": model or None,
        **rig_values(asked.rig),
        "rig.gpus": card_names(asked.gpus),
        "rig.nodes": node_names(asked.nodes),
        **{key: getattr(asked, name, None) for name, key in KEYS.items()},
        "margin_mib": numbers("--margin", getattr(asked, "margin", None)),
        "settings.context_size": "max" if flags.typed.get("context_size") == "max" else None,
    }
    settings = {f"settings.{name}": value for name, value in fixed_settings(flags).items()}
    given = {key: value for key, value in given.items() if value is not None} | settings
    return Wishes(given, getattr(asked, "profile", None))


def card_names(text: str | None) -> tuple[str, ...] | None:
    """The entries of --gpus; None for silence."""
    if text is not None and not text.strip(", "):
        raise UsageError("--gpus names no card", 'for example --gpus "1050ti,2080,1060-6gb"')
    return None if text is None else tuple(text.split(","))


def node_names(text: str | None) -> tuple[str, ...] | None:
    """The names of --nodes; None for silence."""
    if text is None:
        return None
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not names:
        raise UsageError("--nodes names no node", "`splitter node list` shows them")
    return tuple(node_name(name) for name in names)


def rig_values(named: str | None) -> dict[str, str]:
    """--rig by its profile key: a file, or else the name of a rig."""
    if not named:
        return {}
    return {"rig.file" if Path(named).expanduser().is_file() else "rig.name": named}


def fixed_settings(flags: FlagOptions) -> dict[str, Any]:
    """The fields of Settings that the user gave; `-c max` is not among them."""
    values = {setting.name: read_flag(setting, flags.typed.get(setting.name)) for setting in SETTINGS}
    return {name: value for name, value in values.items() if value is not None}


def read_flag(setting: Setting, typed: Any) -> Any:
    """What was typed after a setting's flag as the program uses it; None for silence."""
    if typed is None or typed is False or typed == []:
        return None
    if setting.kind == "boolean":
        return setting.means
    reader = READERS.get(setting.kind)
    return reader(setting.flag(), typed) if reader else typed


def context_size(flag: str, text: str) -> int | None:
    """Tokens; None for `max`."""
    if text == "max":
        return None
    tokens = integer(flag, text)
    if tokens <= 0:
        raise UsageError(
            f"{flag} takes a number of tokens above 0, or max, not {text}", f"give for example {flag} 8192"
        )
    return tokens


def gpu_layers(flag: str, text: str) -> int:
    """Layers, output included; `all` is every layer, whatever the model has."""
    if text == "all":
        return 999
    count = integer(flag, text)
    if count < 0:
        hint = f"leave {flag} out to have it solved"
        raise UsageError(f"{flag} takes a number of layers from 0 on, or all, not {text}", hint)
    return count


def integer(flag: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise UsageError(
            f"{flag} takes a whole number, not {text!r}", f"see `splitter plan --help` for {flag}"
        ) from None


def numbers(flag: str, text: str | None) -> tuple[float, ...] | None:
    """Shares separated by `,` or `/`, each from 0 on."""
    if text is None:
        return None
    try:
        shares = tuple(float(part) for part in text.replace("/", ",").split(","))
    except ValueError:
        raise UsageError(
            f"{flag} takes numbers separated by commas, not {text!r}", f"for example {flag} 3,6,4"
        ) from None
    if any(not 0 <= share < float("inf") for share in shares):
        raise UsageError(f"{flag} takes shares from 0 on, not {text!r}", f"for example {flag} 3,6,4")
    return shares


def names(_flag: str, text: str) -> tuple[str, ...]:
    """Names separated by commas."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def cache_type(flag: str, text: str) -> str:
    """One of the cache types."""
    if text not in ALL_CACHE_TYPES:
        raise UsageError(f"{flag} does not know the type {text!r}", f"it takes one of {', '.join(ALL_CACHE_TYPES)}")
    return text


def override_tensors(flag: str, given: list[str]) -> tuple[str, ...]:
    """The items `PATTERN=BUFFER` of every -ot, in order."""
    items = tuple(item for text in given for item in text.split(",") if item)
    for item in items:
        if not all(item.partition("=")):
            hint = rf"for example {flag} 'blk\.3\.ffn_.*_exps=CPU'"
            raise UsageError(f"{flag} takes PATTERN=BUFFER, not {item!r}", hint)
    return items


READERS: Mapping[str, Callable[[str, Any], Any]] = {
    "context": context_size,
    "layers": gpu_layers,
    "numbers": numbers,
    "texts": names,
    "type": cache_type,
    "items": override_tensors,
}
