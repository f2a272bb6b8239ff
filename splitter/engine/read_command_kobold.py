"""Reads koboldcpp's arguments as its argparse does, and its .kcpps files.

What a release would refuse, but what can still be understood (a split written with commas, a flag of a newer
release), is understood and listed among the refusals.
"""

import argparse
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NoReturn

from splitter.engine.command import Server
from splitter.engine.koboldcpp import QUANTKV_NAMES, QUANTKV_NUMBERS, batch_sizes
from splitter.engine.read_command_kobold_flags import (
    BARE_VALUES,
    EXCLUSIVE,
    OPTIONAL_INTEGERS,
    REMOVED_AFTER,
    kobold_flags,
)
from splitter.engine.read_command_llama import FFN_PATTERN
from splitter.engine.read_command_value import MASK, Findings, ReadCommand, nearest_word, without_secrets
from splitter.engine.versions import NEWEST, koboldcpp_release
from splitter.errors import UsageError

USECUDA_WORDS = ("0", "1", "2", "3", "all", "mmq", "nommq", "normal", "lowvram", "rowsplit")
SECRET_FLAGS = frozenset({"--password", "--adminpassword", "--hordekey"})
MAX_MOECPU = 200
# Keys of old .kcpps files and what they are called now.
OLD_KEYS = {"usecublas": "usecuda", "blasbatchsize": "batchsize"}

Values = dict[str, Any]


def read_kobold(program: str, args: Sequence[str], env: Mapping[str, str], version: str | None = None) -> ReadCommand:
    """The command `program args` of koboldcpp `version` (None: the newest). UsageError for what cannot be read."""
    findings = Findings()
    namespace, unknown = _parser().parse_known_args(list(args))
    values: Values = {dest: value for dest, value in vars(namespace).items() if dest != "spelled"}
    for dest, spelling in getattr(namespace, "spelled", ()):
        _check_release(dest, spelling, version, findings)
    if len(values.get("model") or ()) > 1:
        found = f"--model takes {values['model'][1]!r} too, and koboldcpp ignores all but the first file"
        findings.note("extra_model", found, "put other values behind their own flags")
    for dest in OPTIONAL_INTEGERS:
        if values.get(dest) is not None:
            _integer(f"--{dest}", values[dest])
    if isinstance(values.get("gpulayers"), int):
        findings.note("bare_gpulayers", "--gpulayers without a number offloads one layer", "write --gpulayers N")
    for word in unknown:
        findings.unknown.append(word)
        findings.refuse("unknown_flag", f"koboldcpp knows no argument {word!r}", nearest_word(word, _spellings()))
    if values.get("config"):
        findings.note(
            "config_file",
            f"the settings of {values['config'][0]} are not read here",
            f"run `splitter check {values['config'][0]}`",
        )
    return _read((program, *args), values, env, version, findings)


def read_kcpps(text: str, env: Mapping[str, str], version: str | None = None) -> ReadCommand:
    """The command a .kcpps file stands for. koboldcpp checks nothing in it; unknown keys are named here."""
    try:
        loaded = json.loads(text)
    except (ValueError, RecursionError):
        raise UsageError("the .kcpps file is not valid JSON", "save it again from koboldcpp's launcher") from None
    if not isinstance(loaded, dict):
        raise UsageError("the .kcpps file does not hold settings", "save it again from koboldcpp's launcher")
    findings = Findings()
    values: Values = {}
    for key, value in loaded.items():
        name = str(OLD_KEYS.get(key, key))
        if value is None or value is False or value in ("", []) or (name != key and name in loaded):
            continue
        values[name] = value if not isinstance(value, dict) else str(value)
    return _read(("koboldcpp", "--config", "FILE.kcpps"), values, env, version, findings)


class _Parser(argparse.ArgumentParser):
    """argparse that raises UsageError instead of ending the process."""

    def error(self, message: str) -> NoReturn:
        hints = {
            "ambiguous": "write the flag out",
            "model_param: not allowed": "a bare word stands beside --model; put every value behind its flag",
        }
        hint = next((text for words, text in hints.items() if words in message), "see `koboldcpp --help`")
        raise UsageError(f"koboldcpp would refuse this: {message}", hint)


class _Keep(argparse.Action):
    """Keeps the value and the spelling it came by."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,  # noqa: ARG002
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        setattr(namespace, self.dest, True if self.nargs == 0 else values)
        spelled = [*getattr(namespace, "spelled", ()), (self.dest, option_string or "")]
        namespace.spelled = spelled


@cache
def _parser() -> _Parser:
    """All flags of all releases; values stay text, so that a wrong one can be named."""
    parser = _Parser(prog="koboldcpp", add_help=False, argument_default=argparse.SUPPRESS)
    groups: dict[str, argparse._MutuallyExclusiveGroup] = {}
    for exclusive in EXCLUSIVE:
        groups |= dict.fromkeys(exclusive, parser.add_mutually_exclusive_group())
    for dest, nargs, names in kobold_flags():
        target: argparse._ActionsContainer = groups.get(dest, parser)
        count: int | str | None = {"0": 0, "1": None, "2": 2}.get(nargs, nargs)
        target.add_argument(*names, dest=dest, nargs=count, action=_Keep, const=BARE_VALUES.get(dest))
    groups["model_param"].add_argument("model_param", nargs="?")
    groups["port_param"].add_argument("port_param", nargs="?")
    return parser


@cache
def _spellings() -> Mapping[str, str]:
    return {name: since for _, _, names in kobold_flags() for name, since in names.items()}


def _check_release(dest: str, spelling: str, version: str | None, findings: Findings) -> None:
    release, since, until = koboldcpp_release(version), _spellings().get(spelling, ""), REMOVED_AFTER.get(spelling)
    if since and release < koboldcpp_release(since):
        older = [name for _, names in ((d, n) for d, _, n in kobold_flags() if d == dest) for name in names]
        usable = [name for name in older if not _spellings()[name] or release >= koboldcpp_release(_spellings()[name])]
        hint = f"write {usable[0]}" if usable else f"take koboldcpp {since} or newer"
        findings.refuse("flag_too_new", f"koboldcpp {version} does not know {spelling} (since {since})", hint)
    if until and release > koboldcpp_release(until):
        findings.refuse("flag_removed", f"koboldcpp after {until} has no {spelling}", "use --usevulkan")


def _read(
    argv: tuple[str, ...], values: Values, env: Mapping[str, str], version: str | None, findings: Findings
) -> ReadCommand:
    _spread_usecuda(values, findings)
    settings = _settings(values, version, findings)
    models = values.get("model") or values.get("model_param")
    model = models[0] if isinstance(models, list) else models
    return ReadCommand(
        kind="koboldcpp",
        program=argv[0],
        argv=without_secrets(argv, SECRET_FLAGS),
        model=str(model) if model else None,
        settings=settings,
        flags={dest: MASK if f"--{dest}" in SECRET_FLAGS else value for dest, value in values.items()},
        env=env,
        server=Server(str(values.get("host", "")), _port(values)),
        version=version,
        notices=tuple(findings.notices),
        refusals=tuple(findings.refusals),
        unknown=tuple(findings.unknown),
    )


def _spread_usecuda(values: Values, findings: Findings) -> None:
    """The words of --usecuda that stand for other flags."""
    words = values.get("usecuda")
    if words is None:
        return
    words = [str(word) for word in (words if isinstance(words, list) else [words])]
    values["usecuda"] = words
    for word in words:
        if word.isdigit() and word not in USECUDA_WORDS:
            findings.refuse(
                "usecuda_id",
                f"koboldcpp takes no id {word} in --usecuda (0 to 3 only)",
                "choose cards with CUDA_VISIBLE_DEVICES or --device",
            )
        elif word not in USECUDA_WORDS:
            hint = "write --model FILE" if "." in word else "valid words: " + ", ".join(USECUDA_WORDS)
            raise UsageError(f"--usecuda swallows {word!r} and koboldcpp refuses it", hint)
    if "lowvram" in words:
        values["lowvram"] = True
    if "rowsplit" in words:
        values["splitmode"] = "row"


def _port(values: Values) -> int:
    given = values.get("port", values.get("port_param", 5001))
    port = _integer("--port", given)
    if not 0 < port < 65536:
        raise UsageError(f"--port takes 1 to 65535, not {port}", "choose a free port")
    return port


def _settings(values: Values, version: str | None, findings: Findings) -> Values:
    settings: Values = {}
    for group in (_sizes, _layers, _placement, _switches, _extra_models):
        settings |= group(values, findings)
    return settings | _cache_type(values, version, findings) | _batches(values, version, findings)


def _integer(name: str, value: Any) -> int:
    text = str(value).strip()
    if not re.fullmatch(r"[+-]?\d{1,9}", text) or isinstance(value, bool):
        raise UsageError(f"{name} takes a whole number, not {str(value)[:40]!r}", f"correct the value after {name}")
    return int(text)


def _sizes(values: Values, findings: Findings) -> Values:
    settings: Values = {}
    if "contextsize" in values:
        size = _integer("--contextsize", values["contextsize"])
        settings["context_size"] = size
        if not 256 <= size <= 524288:
            findings.refuse("context_range", f"koboldcpp takes a context of 256 to 524288, not {size}")
    for dest, name in (("threads", "threads"), ("parallelrequests", "parallel")):
        count = _integer(f"--{dest}", values.get(dest, 0))
        if count > 0:
            settings[name] = count
    return settings


def _layers(values: Values, findings: Findings) -> Values:
    if values.get("usecpu") or values.get("noblas"):
        return {"gpu_layers": 0}
    if "gpulayers" not in values:
        return {}
    given = values["gpulayers"]
    if given in ("all", "auto"):
        findings.refuse("gpulayers_word", f"koboldcpp refuses --gpulayers {given}", "write a number, or -1 for auto")
        return {"gpu_layers": -2 if given == "all" else -1}
    return {"gpu_layers": _integer("--gpulayers", given)}


def _placement(values: Values, findings: Findings) -> Values:
    settings: Values = {}
    if values.get("tensor_split"):
        settings["tensor_split"] = _split(values["tensor_split"], findings)
    if "device" in values and str(values["device"]) != "none":
        settings["device_order"] = tuple(name.strip() for name in str(values["device"]).split(",") if name.strip())
    if "maingpu" in values and _integer("--maingpu", values["maingpu"]) >= 0:
        settings["main_gpu"] = _integer("--maingpu", values["maingpu"])
    mode = values.get("splitmode")
    if mode not in (None, "layer", "tensor", "row"):
        raise UsageError(f"--splitmode takes layer or tensor, not {mode!r}", "correct the value after --splitmode")
    if mode:
        settings["split_mode"] = "tensor" if mode == "row" else mode
    return settings


def _split(given: Any, findings: Findings) -> tuple[float, ...]:
    words = [str(word) for word in (given if isinstance(given, list) else [given])]
    parts = [part for word in words for part in re.split(r"[,/]", word) if part]
    if parts != words:
        findings.refuse(
            "split_commas",
            f"koboldcpp refuses the split {' '.join(words)}: it wants spaces, not commas",
            f"write --tensor_split {' '.join(parts)}",
        )
    try:
        shares = tuple(float(part) for part in parts)
    except ValueError:
        bad = next(part for part in parts if not re.fullmatch(r"[+-]?[\d.]+", part))
        raise UsageError(f"--tensor_split swallows {bad!r}, which is no number", "put --model FILE behind it") from None
    if not all(0 <= share < 1e9 for share in shares):
        raise UsageError("--tensor_split takes numbers that are not negative", "give each card its share")
    return shares[:16]


def _switches(values: Values, _: Findings) -> Values:
    named: Mapping[str, tuple[str, Any]] = {
        "flashattention": ("flash_attention", "on"),
        "noflashattention": ("flash_attention", "off"),
        "useswa": ("swa_full", False),
        "noswa": ("swa_full", True),
        "lowvram": ("kv_offload", False),
        "nommap": ("mmap", False),
        "usemmap": ("mmap", True),
    }
    return dict(named[dest] for dest in named if values.get(dest))


def _extra_models(values: Values, _: Findings) -> Values:
    settings: Values = {}
    for dest, name in (("mmproj", "mmproj"), ("draftmodel", "draft_model")):
        if values.get(dest):
            settings[name] = str(values[dest])
    if "draft_model" in settings and "draftgpulayers" in values:
        settings["draft_gpu_layers"] = _integer("--draftgpulayers", values["draftgpulayers"])
    experts = min(_integer("--moecpu", values.get("moecpu", 0)), MAX_MOECPU)
    if experts > 0:
        settings["n_cpu_moe"] = experts
    overrides = [item for item in str(values.get("overridetensors", "")).split(",") if item]
    dense = min(_integer("--ffncpu", values.get("ffncpu", 0)), MAX_MOECPU)
    overrides += [FFN_PATTERN.format(layer) + "=CPU" for layer in range(dense)]
    return settings | ({"override_tensors": tuple(overrides)} if overrides else {})


def _cache_type(values: Values, version: str | None, findings: Findings) -> Values:
    if "quantkv" not in values:
        return {}
    given = str(values["quantkv"])
    names = {number: name for name, number in QUANTKV_NUMBERS.items()} | {name: name for name in QUANTKV_NAMES}
    if given not in names:
        known = ", ".join(QUANTKV_NAMES)
        raise UsageError(f"--quantkv takes {known} or 0 to 3, not {given!r}", "correct the value after --quantkv")
    if not given.isdigit() and koboldcpp_release(version) < (1, 112):
        findings.refuse(
            "quantkv_word",
            f"koboldcpp {version} takes numbers after --quantkv",
            f"write --quantkv {QUANTKV_NUMBERS.get(given, '1')}",
        )
    return {"cache_type_k": names[given], "cache_type_v": names[given]}


def _batches(values: Values, version: str | None, findings: Findings) -> Values:
    settings: Values = {}
    release = koboldcpp_release(version)
    allowed = (-1, *batch_sizes(release if release[0] != NEWEST else (NEWEST, 0, 0)))
    for dest, name in (("batchsize", "batch_size"), ("ubatchsize", "ubatch_size")):
        if dest not in values:
            continue
        size = _integer(f"--{dest}", values[dest])
        if size not in allowed:
            listed = ", ".join(map(str, allowed))
            findings.refuse("batch_size", f"koboldcpp takes --{dest} {listed}, not {size}", "take one of those")
        settings[name] = size
    return settings
