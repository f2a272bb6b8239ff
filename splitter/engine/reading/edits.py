"""Settings changed in a command that somebody wrote: only the flags concerned, spelled as this version knows them."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import fields, replace

from splitter.engine.command import EngineRef, Server
from splitter.engine.engines import ENGINES
from splitter.engine.llama_server.flags import known_flags
from splitter.engine.quoting import posix_argument, windows_argument
from splitter.engine.reading.devices import visible_devices
from splitter.engine.reading.items import changed, items_of
from splitter.engine.reading.value import ReadCommand, Shell
from splitter.errors import UsageError
from splitter.memory.settings import Settings
from splitter.plan.plan import Plan
from splitter.rig.backend import prefix_of
from splitter.rig.device import Rig

_DRAFT = (
    "draft_model draft_gpu_layers draft_device draft_hf_repo draft_cache_type_k draft_cache_type_v spec_type "
    "spec_draft_n_max --spec-draft-n-min --draft-min --draft-n-min"
)
# Field of Settings -> the flags (by the engine's own name) that decide it.
LLAMA_DESTS: Mapping[str, str] = {
    "context_size": "ctx_size kv_unified_per_slot",
    "device_order": "device",
    "flash_attention": "flash_attn",
    "swa_full": "swa_full",
    "override_tensors": "override_tensor n_cpu_ffn",
    "mmproj": "mmproj mmproj_url mmproj_device mmproj_offload",
    "mmproj_device": "mmproj_device mmproj_offload",
    "draft_model": _DRAFT,
    "spec_type": "spec_type spec_draft_n_max",
    "cache_ram_mib": "cache_ram",
    "draft_device_order": "draft_device",
}
KOBOLD_DESTS: Mapping[str, str] = {
    "context_size": "contextsize",
    "gpu_layers": "gpulayers",
    "device_order": "device",
    "split_mode": "splitmode",
    "main_gpu": "maingpu",
    "batch_size": "batchsize ubatchsize",
    "ubatch_size": "batchsize ubatchsize",
    "cache_type_k": "quantkv",
    "cache_type_v": "quantkv",
    "flash_attention": "flashattention noflashattention",
    "parallel": "parallelrequests",
    "swa_full": "useswa noswa noshift",
    "kv_offload": "lowvram",
    "n_cpu_moe": "moecpu",
    "override_tensors": "overridetensors ffncpu",
    "mmproj": "mmproj mmprojcpu",
    "mmproj_device": "mmprojcpu",
    "draft_model": "draftmodel draftgpulayers draftgpusplit draftamount",
    "spec_type": "usemtp",
}


def differing(before: Settings, after: Settings) -> tuple[str, ...]:
    """The fields in which two settings differ."""
    return tuple(field.name for field in fields(Settings) if getattr(before, field.name) != getattr(after, field.name))


def flags_of(read: ReadCommand, names: Iterable[str]) -> tuple[str, ...]:
    """The words of `read` that set the fields `names`."""
    dests = _dests(read, names)
    return tuple(" ".join(item.words) for item in items_of(read.kind, read.argv[1:]) if item.dest in dests)


def _dests(read: ReadCommand, names: Iterable[str]) -> set[str]:
    """The flags, by the engine's own names, that decide the fields `names`."""
    table = KOBOLD_DESTS if read.kind == "koboldcpp" else LLAMA_DESTS
    return {dest for name in names for dest in table.get(name, name).split()}


def rewritten(read: ReadCommand, before: Plan, after: Plan, names: Iterable[str], version: str | None) -> ReadCommand:
    """`read` (what `before` does) with the fields `names` as in `after`.

    UsageError where this version of the engine cannot be told.
    """
    dests = _dests(read, names)
    ours = ENGINES[read.kind].command(_as_seen(after, before.rig, read), EngineRef(read.kind, None, version), Server())
    if (
        after.settings.n_cpu_moe
        and "n_cpu_moe" in dests
        and not any(item.dest == "n_cpu_moe" for item in items_of(read.kind, ours.arguments))
    ):
        dests.add("override_tensor")  # it names the experts' layers instead
    args = changed(read.kind, read.argv[1:], dests, ours.arguments)
    gone = {flag.env for flag in known_flags() if flag.dest in dests and flag.env}
    env = {name: value for name, value in read.env.items() if name not in gone}
    around = replace(read.around, words=_without_variables(read.around.words, gone))
    return replace(read, argv=(read.program, *args), env=env, around=around)


def _without_variables(words: tuple[str, ...], gone: Collection[str]) -> tuple[str, ...]:
    """`words` without `-e NAME=value` and `NAME=value` of the variables that are gone."""
    kept: list[str] = []
    for word in words:
        if word.removeprefix("-e").partition("=")[0] not in gone:
            kept.append(word)
        elif kept and kept[-1] in {"-e", "--env"}:
            kept.pop()
    return tuple(kept)


def _as_seen(plan: Plan, rig: Rig, read: ReadCommand) -> Plan:
    """`plan` with the devices called as the engine calls them, which counts only those that it is shown."""
    names: dict[str, str] = {}
    counts: dict[str, int] = {}
    for device in visible_devices(read.env, rig):
        prefix = prefix_of(device.id)
        numbered = "[" not in device.id  # an RPC device is called by its address
        names[device.id] = f"{prefix}{counts.get(prefix, 0)}" if numbered else device.id
        counts[prefix] = counts.get(prefix, 0) + 1
    order = plan.settings.device_order
    hidden = [name for name in order if name not in names]
    if hidden:
        raise UsageError(f"{read.program} is not shown {', '.join(hidden)}", "change the variable that hides it")
    if read.kind == "koboldcpp" or all(names[name] == name for name in order):
        return plan
    devices = tuple(replace(device, id=names[device.id]) for device in plan.rig.devices if device.id in names)
    settings = replace(plan.settings, device_order=tuple(names[name] for name in order))
    return replace(plan, settings=settings, rig=replace(plan.rig, devices=devices))


def line_of(read: ReadCommand) -> str:
    """The command as one line of the shell it was written for: what stood in front of it, the variables beside it."""
    shell = read.around.shell or ("cmd" if _WINDOWS.search(read.program) else "posix")
    words = (*(read.around.words or (read.program,)), *read.argv[1:])
    beside = [(name, value) for name, value in read.env.items() if not _stands(name, words) and _own(name)]
    variables = [_ASSIGNED[shell].format(name=name, value=_quoted(value, shell), bare=value) for name, value in beside]
    quoted = [_quoted(word, shell) for word in words]
    if shell == "powershell" and quoted[0] != words[0]:
        quoted.insert(0, "&")
    return " ".join((*variables, *quoted))


_WINDOWS = re.compile(r"\.exe$|^[A-Za-z]:\\|^\.\\")
_ASSIGNED: Mapping[Shell, str] = {
    "posix": "{name}={value}",
    "cmd": 'set "{name}={bare}"&&',
    "powershell": "$env:{name} = '{bare}';",
}


def _stands(name: str, words: Iterable[str]) -> bool:
    return any(f"{name}=" in word for word in words)


def _own(name: str) -> bool:
    """Variables that a wrapper stands for by other words (`--gpus`, an image's own) are not said twice."""
    return name not in {"NVIDIA_VISIBLE_DEVICES", "LLAMA_ARG_HOST"}


def _quoted(word: str, shell: Shell) -> str:
    """One word; what cmd.exe cannot carry is quoted as elsewhere, so that it can be read at least."""
    if shell == "powershell":
        return word if re.fullmatch(r"[\w.:/\\=+-]+", word) else "'" + word.replace("'", "''") + "'"
    try:
        return windows_argument(word) if shell == "cmd" else posix_argument(word)
    except UsageError:
        return posix_argument(word)
