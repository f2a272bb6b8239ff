"""Reads llama-server's arguments and LLAMA_ARG_ variables as `common/arg.cpp` of build 11434 does.

What that build would refuse, but what can still be understood, is understood and listed among the refusals.
"""

import re
from collections.abc import Mapping, Sequence

from splitter.engine.command import Server
from splitter.engine.llama_server.flags import REMOVED, Flag, flags_by_name, known_flags
from splitter.engine.llama_server.values import OFF, ON, Values, integer, llama_settings
from splitter.engine.llama_server.versions import (
    FIT_BUILD,
    FLASH_ATTENTION_VALUE_BUILD,
    NO_MMAP_GONE_BUILD,
    llama_build,
)
from splitter.engine.reading.value import Findings, ReadCommand, nearest_word
from splitter.errors import UsageError
from splitter.masking import MASK, SECRET_FLAGS, masked_argv

BARE = {"flash_attn": "bare", "fit": "bare"}  # flags whose value people leave out
REPEATABLE = frozenset({"override_tensor", "n_cpu_ffn", "--lora", "--override-kv", "--spec-type", "spec_type"})


def read_llama(program: str, args: Sequence[str], env: Mapping[str, str], version: str | None = None) -> ReadCommand:
    """The command `program args` of build `version` (None: the newest) run with `env`.

    UsageError for a value that cannot be read.
    """
    findings = Findings()
    values = _from_env(env)
    spelled: dict[str, str] = {}
    _read_args(list(args), values, spelled, findings)
    _check_build(values, spelled, version, findings)
    settings = llama_settings(values, spelled, findings)
    return ReadCommand(
        kind="llama-server",
        program=program,
        argv=masked_argv((program, *args)),
        model=_model(values),
        settings=settings,
        flags={dest: MASK if dest == "api_key" else found[-1] for dest, found in values.items()},
        env=env,
        server=_server(values, spelled, findings),
        version=version,
        notices=tuple(findings.notices),
        refusals=tuple(findings.refusals),
        unknown=tuple(findings.unknown),
    )


def _from_env(env: Mapping[str, str]) -> Values:
    """LLAMA_ARG_X of every flag; LLAMA_ARG_NO_X, whatever its value, turns a switch off."""
    values: Values = {}
    for flag in known_flags():
        if not flag.env:
            continue
        if flag.negative and flag.env.replace("LLAMA_ARG_", "LLAMA_ARG_NO_") in env:
            values[flag.dest] = ["off"]
        elif flag.env in env and (flag.values or flag.negative or env[flag.env] in ON):
            values[flag.dest] = [env[flag.env]]
    return values


def _read_args(args: list[str], values: Values, spelled: dict[str, str], findings: Findings) -> None:
    from_env = set(values)
    at = 0
    while at < len(args):
        name = args[at].replace("_", "-") if args[at].startswith("--") else args[at]
        flag, positive = _lookup(name)
        if flag is None:
            at = _unknown(args, at, findings)
            continue
        given, at = _take(flag, name, args, at)
        if flag.dest in from_env:
            from_env.remove(flag.dest)
            del values[flag.dest]
        if flag.dest in spelled and flag.dest not in REPEATABLE:
            findings.note("flag_repeated", f"{name} is given twice; the last one counts", "remove the other")
        values.setdefault(flag.dest, []).append(given if flag.values else ("on" if positive else "off"))
        spelled[flag.dest] = name


def _lookup(name: str) -> tuple[Flag | None, bool]:
    return flags_by_name().get(name, (None, True))


def _check_build(values: Values, spelled: Mapping[str, str], version: str | None, findings: Findings) -> None:
    """What the build at hand refuses although other builds take it."""
    build = llama_build(version)
    for name in spelled.values():
        if name in REMOVED and build >= NO_MMAP_GONE_BUILD:
            tell = findings.note if version is None else findings.refuse
            tell("flag_removed", f"newer builds of llama-server no longer accept {name}", REMOVED[name])
    if build < FIT_BUILD and "fit" in spelled:
        findings.refuse("flag_too_new", f"llama-server build {build} does not know --fit", "leave it out")
    bare, old = values.get("flash_attn", [""])[-1] == "bare", build < FLASH_ATTENTION_VALUE_BUILD
    if "flash_attn" in spelled and bare != old:
        hint = "write -fa without a value" if old else "write -fa on"
        found = "takes no value after -fa" if old else "needs a value after -fa"
        findings.refuse("flash_attention_value", f"this build of llama-server {found}", hint)
    fit = values.get("fit", ["on"])[-1]
    if fit not in ON | OFF:
        found = "needs a value after --fit" if fit == "bare" else f"takes on or off after --fit, not {fit!r}"
        findings.refuse("fit_value", f"llama-server {found}", "write --fit on or --fit off")


def _take(flag: Flag, name: str, args: list[str], at: int) -> tuple[str, int]:
    """The flag's value and where reading goes on."""
    if flag.values == 0:
        return "", at + 1
    following = args[at + 1] if at + 1 < len(args) else None
    if flag.dest in BARE and (following is None or _lookup(following)[0] is not None):
        return BARE[flag.dest], at + 1
    if following is None:
        raise UsageError(f"{name} has no value", f"write {name} VALUE")
    return following, at + 1 + flag.values


def _unknown(args: list[str], at: int, findings: Findings) -> int:
    """An unknown flag; the words after it that are no flags are taken for its values."""
    word = args[at]
    name, equals, value = word.partition("=")
    if equals and _lookup(name.replace("_", "-"))[0]:
        shown = MASK if name in SECRET_FLAGS else value
        findings.refuse("equals_sign", f"llama-server does not take {name}=VALUE", f"write {name} {shown}")
        args[at : at + 1] = [name, value]
        return at
    glued = re.fullmatch(r"(-[a-z]+)([\d.,/]+)", word)
    if glued and _lookup(glued[1])[0]:
        findings.refuse("glued_value", f"llama-server does not take {word}", f"write {glued[1]} {glued[2]}")
        args[at : at + 1] = [glued[1], glued[2]]
        return at
    findings.unknown.append(word)
    kind = "flag" if word.startswith("-") else "argument"
    findings.refuse("unknown_flag", f"llama-server has no {kind} {word!r}", nearest_word(word, flags_by_name()))
    at += 1
    while at < len(args) and not args[at].startswith("-"):
        at += 1
    return at


def _model(values: Values) -> str | None:
    last = {dest: found[-1] for dest, found in values.items()}
    if "model" in last:
        return last["model"]
    if "hf_repo" in last:
        repository, _, quantization = last["hf_repo"].partition(":")
        name = last.get("hf_file")
        return f"hf:{repository}/{name}" if name else f"hf:{repository}" + (f":{quantization}" * bool(quantization))
    return last.get("model_url")


def _server(values: Values, spelled: Mapping[str, str], findings: Findings) -> Server:
    port = integer("port", values["port"][-1], spelled, findings) if "port" in values else 8080
    host = values["host"][-1] if "host" in values else "127.0.0.1"
    return Server(
        host,
        port,
        api_key_file=values["api_key_file"][-1] if "api_key_file" in values else None,
        web_ui=values.get("web_ui", ["on"])[-1] not in OFF,
        cors_origins=values.get("cors_origins", [Server().cors_origins])[-1],
    )
