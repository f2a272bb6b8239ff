"""Reads koboldcpp's arguments as its argparse does, and its .kcpps files.

What a release would refuse, but what can still be understood (a split written with commas, a flag of a newer
release), is understood and listed among the refusals.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NoReturn

from splitter.engine.command import Server
from splitter.engine.koboldcpp.flags import (
    BARE_VALUES,
    EXCLUSIVE,
    OPTIONAL_INTEGERS,
    REMOVED_AFTER,
    kobold_flags,
    kobold_spellings,
)
from splitter.engine.koboldcpp.values import (
    Values,
    kobold_settings,
    port_of,
    spread_usecuda,
    whole_number,
)
from splitter.engine.koboldcpp.versions import Release, koboldcpp_release
from splitter.engine.reading.value import Findings, ReadCommand, ReadText, nearest_word
from splitter.errors import UsageError
from splitter.masking import MASK, SECRET_FLAGS, masked_argv

# Keys of old .kcpps files and what they are called now.
OLD_KEYS = {"usecublas": "usecuda", "blasbatchsize": "batchsize"}
# Keys of old files that are off where they say false, and the keys of newer releases that say so.
OPPOSITES = {"flashattention": "noflashattention", "useswa": "noswa"}
CONFIG_SUFFIXES = (".kcpps", ".kcppt")
ANY_SPELLING_WINS = (1, 123)
# Flags that are gone, in commands that are still passed around: what to do instead.
GONE = {
    "--stream": "remove it: koboldcpp streams without being asked",
    "--unbantokens": "remove it: the end of the answer is no longer banned",
    "--usemirostat": "remove it: the sampler comes with each request",
    "--psutil_set_threads": "remove it, or write --threads N",
    "--bantokens": "remove it: banned words come with each request",
    "--useclblast": "use --usevulkan",
}


def read_kobold(
    program: str,
    args: Sequence[str],
    env: Mapping[str, str],
    version: str | None = None,
    read_text: ReadText | None = None,
) -> ReadCommand:
    """The command `program args` of koboldcpp `version` (None: the newest), its --config file included.

    `read_text` gives that file's text. UsageError for what cannot be read.
    """
    findings = Findings()
    namespace, unknown = _parser().parse_known_args(list(args))
    values: Values = {dest: value for dest, value in vars(namespace).items() if dest != "spelled"}
    for dest, spelling in getattr(namespace, "spelled", ()):
        _check_release(dest, spelling, version, findings)
    if len(values.get("model") or ()) > 1:
        found = f"--model takes {values['model'][1]!r} as well, and koboldcpp ignores every file but the first"
        findings.note("extra_model", found, "put each value after its own flag")
    for dest in OPTIONAL_INTEGERS:
        if values.get(dest) is not None:
            whole_number(f"--{dest}", values[dest])
    if isinstance(values.get("gpulayers"), int):
        findings.note("bare_gpulayers", "--gpulayers without a number offloads one layer", "write --gpulayers N")
    for word in unknown:
        findings.unknown.append(word)
        hint = GONE.get(word) or nearest_word(word, kobold_spellings())
        findings.refuse("unknown_flag", f"koboldcpp knows no argument {word!r}", hint)
    if str(values.get("model_param", "")).lower().endswith(CONFIG_SUFFIXES):  # a settings file may stand alone
        values["config"] = values.pop("model_param")
    if values.get("config"):
        values = _with_file(values, args, koboldcpp_release(version), read_text, findings)
    return _read((program, *args), values, env, version, findings)


def _with_file(
    values: Values, args: Sequence[str], release: Release, read_text: ReadText | None, findings: Findings
) -> Values:
    """`values` with those of the --config file, which count more: until 1.122 all but the flags that are written as
    argparse calls them (`--contextsize N`, not `-c N`, `--ctx-size N` or `--contextsize=N`)."""
    name = str(values["config"])
    text = read_text(name) if read_text else None
    if text is None and read_text and not (values.get("model") or values.get("model_param")):
        raise UsageError(f"the settings file {name} cannot be read", "check its path, or name the model with --model")
    if text is None:
        findings.note("config_file", f"the settings of {name} are not read here", f"run `splitter check {name}`")
        return values
    stays = {dest for dest in values if release >= ANY_SPELLING_WINS or f"--{dest}" in args}
    lost = sorted(set(values) - stays - {"config"})
    loaded = _kcpps_values(text)
    overruled = [dest for dest in lost if dest in loaded and loaded[dest] != values[dest]]
    if overruled:
        listed = ", ".join(f"--{dest}" for dest in overruled)
        findings.note("config_wins", f"{name} overrides the command's {listed}", f"write them out: {listed}")
    if release >= ANY_SPELLING_WINS and {"port", "port_param"} & set(values):
        loaded = {key: value for key, value in loaded.items() if key not in ("port", "port_param")}
    return {**values, **loaded, **{dest: values[dest] for dest in stays}}


def read_kcpps(text: str, env: Mapping[str, str], version: str | None = None) -> ReadCommand:
    """The command a .kcpps file stands for. koboldcpp checks nothing in it; unknown keys are named here."""
    return _read(("koboldcpp", "--config", "FILE.kcpps"), _kcpps_values(text), env, version, Findings())


def _kcpps_values(text: str) -> Values:
    """The settings in a .kcpps file, by argparse's names of today. UsageError for a text that holds none."""
    try:
        loaded = json.loads(text)
    except (ValueError, RecursionError):
        raise UsageError("the .kcpps file is not valid JSON", "save it again from koboldcpp's launcher") from None
    if not isinstance(loaded, dict):
        raise UsageError("the .kcpps file contains no settings", "save it again from koboldcpp's launcher")
    values: Values = {}
    for key, value in loaded.items():
        name = str(OLD_KEYS.get(key, key))
        if value is None or value is False or value in ("", []) or (name != key and name in loaded):
            continue
        values[name] = value if not isinstance(value, dict) else str(value)
    for key, name in OPPOSITES.items():
        if loaded.get(key) is False and name not in loaded:
            values[name] = True
    return values


class _Parser(argparse.ArgumentParser):
    """argparse that raises UsageError instead of ending the process."""

    def error(self, message: str) -> NoReturn:
        hints = {
            "ambiguous": "write the flag in full",
            "model_param: not allowed": "a word belongs to no flag; put every value after its flag",
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


def _check_release(dest: str, spelling: str, version: str | None, findings: Findings) -> None:
    release, known = koboldcpp_release(version), kobold_spellings()
    since, until = known.get(spelling, ""), REMOVED_AFTER.get(spelling)
    if since and release < koboldcpp_release(since):
        older = [name for _, names in ((d, n) for d, _, n in kobold_flags() if d == dest) for name in names]
        usable = [name for name in older if not known[name] or release >= koboldcpp_release(known[name])]
        hint = f"write {usable[0]}" if usable else f"take koboldcpp {since} or newer"
        findings.refuse("flag_too_new", f"koboldcpp {version} does not know {spelling} (since {since})", hint)
    if until and release > koboldcpp_release(until):
        findings.refuse(
            "flag_removed", f"koboldcpp releases after {until} no longer have {spelling}", "use --usevulkan"
        )


def _read(
    argv: tuple[str, ...], values: Values, env: Mapping[str, str], version: str | None, findings: Findings
) -> ReadCommand:
    spread_usecuda(values, findings)
    settings = kobold_settings(values, version, findings)
    models = values.get("model") or values.get("model_param")
    model = models[0] if isinstance(models, list) else models
    return ReadCommand(
        kind="koboldcpp",
        program=argv[0],
        argv=masked_argv(argv),
        model=str(model) if model else None,
        settings=settings,
        flags={dest: MASK if f"--{dest}" in SECRET_FLAGS else value for dest, value in values.items()},
        env=env,
        server=Server(str(values.get("host", "")), port_of(values)),
        version=version,
        notices=tuple(findings.notices),
        refusals=tuple(findings.refusals),
        unknown=tuple(findings.unknown),
    )
