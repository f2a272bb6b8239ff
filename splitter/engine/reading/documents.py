"""Files that hold an engine's command as data: compose files, llama-swap's configuration, Podman units, model presets
of llama-server. Each becomes the commands that it stands for. Pure.

Sources: the Compose specification (services.*), llama-swap's `config.example.yaml` (models.*.cmd, env, macros),
podman-systemd.unit(5), `common/preset.cpp` of llama.cpp build 11434.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from splitter.engine.reading.cmd import cmd_commands
from splitter.engine.reading.shell import shell_commands
from splitter.errors import UsageError
from splitter.safe_yaml import check_yaml

Named = tuple[str, list[str], dict[str, str]]  # the entry's name, its words, its variables
_VARIABLE = re.compile(r"\$\$|\$\{(\w+)(?::?-([^}]*))?\}|\$(\w+)")
_MACRO = re.compile(r"\$\{([\w.-]+)\}")
_PAIR = re.compile(r"\s*([A-Za-z_][\w.-]*)\s*=\s*(.*?)\s*(?:[;#].*)?")
_HEADER = re.compile(r"\s*\[\s*(.+?)\s*\]\s*(?:[;#].*)?")
GLOBAL = "*"


def looks_like_yaml(text: str) -> bool:
    """Whether `text` is a mapping with the keys of a compose file or of llama-swap's configuration."""
    return re.search(r"^(?:services|models)\s*:\s*(?:#.*)?$", text, re.MULTILINE) is not None


def yaml_commands(text: str, env: Mapping[str, str], name: str = "the YAML file") -> Iterator[Named]:
    """The command of every service, or of every model of llama-swap. UsageError for text that is no such file."""
    loaded = _loaded(text, name)
    if isinstance(loaded.get("services"), dict):
        yield from _compose(loaded["services"], env)
    elif isinstance(loaded.get("models"), dict):
        yield from _llama_swap(loaded, env)
    else:
        raise UsageError(f"{name} has no services and no models", "give a compose file, or llama-swap's configuration")


def _loaded(text: str, name: str) -> dict[str, Any]:
    import yaml

    try:
        check_yaml(text, name, UsageError, 12, "write plain YAML")
        loaded = yaml.safe_load(text)
    except yaml.YAMLError:
        raise UsageError(f"{name} is not valid YAML", "check its indentation") from None
    if not isinstance(loaded, dict):
        raise UsageError(f"{name} is not a mapping", "give a compose file, or llama-swap's configuration")
    return loaded


def _compose(services: Mapping[str, Any], env: Mapping[str, str]) -> Iterator[Named]:
    for name, service in services.items():
        if isinstance(service, dict) and (service.get("image") or service.get("command") or service.get("build")):
            yield str(name), _run_words(_interpolated(service, env)), {}


def _interpolated(value: Any, env: Mapping[str, str]) -> Any:
    """`${NAME:-default}` and `$NAME` in every text of `value`; `$$` is a dollar sign."""
    if isinstance(value, dict):
        return {key: _interpolated(item, env) for key, item in value.items()}
    if isinstance(value, list):
        return [_interpolated(item, env) for item in value]
    if not isinstance(value, str):
        return value
    return _VARIABLE.sub(lambda m: "$" if m[0] == "$$" else env.get(m[1] or m[3]) or m[2] or "", value)


def _run_words(service: Mapping[str, Any]) -> list[str]:
    """The service as the `docker run` that does the same."""
    words = ["docker", "run", *_gpu_words(service)]
    for flag, key in (("-v", "volumes"), ("-p", "ports"), ("--env-file", "env_file"), ("--device", "devices")):
        words += [word for item in _listed(service.get(key)) for word in (flag, _short(item))]
    if service.get("runtime"):
        words += ["--runtime", str(service["runtime"])]
    words += [word for item in _pairs(service.get("environment")) for word in ("-e", item)]
    entrypoint = _words(service.get("entrypoint"))
    if entrypoint:
        words += ["--entrypoint", entrypoint[0]]
    image = str(service.get("image") or "built-here")
    return [*words, image, *entrypoint[1:], *_words(service.get("command"))]


def _gpu_words(service: Mapping[str, Any]) -> list[str]:
    """`deploy.resources.reservations.devices`, or `gpus`."""
    reserved: Any = service
    for key in ("deploy", "resources", "reservations", "devices"):
        reserved = reserved.get(key) if isinstance(reserved, dict) else None
    found: list[str] = []
    asked = [*_listed(reserved), *(_listed(service.get("gpus")))]
    for item in asked:
        if not isinstance(item, dict):
            found += ["--gpus", str(item)]
        elif item.get("device_ids"):
            found += ["--gpus", "device=" + ",".join(map(str, _listed(item["device_ids"])))]
        elif str(item.get("driver", "nvidia")) == "nvidia":
            found += ["--gpus", str(item.get("count", "all"))]
        elif item.get("driver") == "cdi":
            found += ["--device", "nvidia.com/gpu=all"]
    return found


def _listed(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]


def _short(item: Any) -> str:
    """The short form of a volume or port that is written out as a mapping."""
    if not isinstance(item, dict):
        return str(item)
    if "published" in item:
        host = f"{item['host_ip']}:" if item.get("host_ip") else ""
        return f"{host}{item['published']}:{item.get('target', '')}"
    return f"{item.get('source', item.get('path', ''))}:{item.get('target', '')}"


def _pairs(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [f"{name}={_scalar(item)}" for name, item in value.items() if item is not None]
    return [str(item) for item in _listed(value)]


def _scalar(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _words(value: Any) -> list[str]:
    """A command as a list, or as a line that is cut as a shell cuts it."""
    if isinstance(value, str):
        return [word for words, _ in shell_commands(value.replace("\n", " "), {}) for word in words]
    return [_scalar(item) for item in _listed(value)]


def _llama_swap(loaded: Mapping[str, Any], env: Mapping[str, str]) -> Iterator[Named]:
    shared = _macros(loaded.get("macros"))
    for name, model in loaded["models"].items():
        if not isinstance(model, dict) or not isinstance(model.get("cmd"), str):
            continue
        known = {"PORT": "8080", "MODEL_ID": str(name), **shared, **_macros(model.get("macros"))}
        variables = dict(env) | dict(item.split("=", 1) for item in _pairs(model.get("env")) if "=" in item)
        line = _joined(_substituted(model["cmd"], known))
        reader = cmd_commands if re.search(r"\.exe\b|[A-Za-z]:\\", line) else shell_commands
        for words, inside in reader(line, variables):
            yield str(name), words, inside


def _macros(value: Any) -> dict[str, str]:
    return {str(name): str(text) for name, text in value.items()} if isinstance(value, dict) else {}


def _substituted(text: str, macros: Mapping[str, str]) -> str:
    """Macros may stand in macros; one that nobody defined stays as it is."""
    for _ in range(8):
        replaced = _MACRO.sub(lambda m: macros.get(m[1], m[0]), text)
        if replaced == text:
            break
        text = replaced
    return text


def _joined(cmd: str) -> str:
    """`cmd: |` is one command over several lines; lines that start with # are comments."""
    lines = (line for line in cmd.splitlines() if not line.lstrip().startswith("#"))
    return " ".join(line.rstrip().removesuffix("\\") for line in lines)


def looks_like_preset(text: str) -> bool:
    """Whether `text` is an INI file of model presets (--models-preset) and no systemd unit."""
    headers = re.findall(r"^\s*\[\s*(.+?)\s*\]", text, re.MULTILINE)
    return bool(headers) and not {"Service", "Container", "Unit"} & set(headers) and "=" in text


def preset_commands(text: str, env: Mapping[str, str]) -> Iterator[Named]:
    """Every section of a preset file as the llama-server command it stands for; `[*]` holds for all of them."""
    sections = _sections(text)
    shared = sections.pop(GLOBAL, {})
    for name, own in sections.items():
        values = {**shared, **own}
        words = [word for key, value in values.items() for word in _preset_words(key, value)]
        if "/" in name and not {"model", "m", "LLAMA_ARG_MODEL", "hf-repo", "hf", "hfr"} & set(values):
            words += ["-hf", name]
        variables = {key: value for key, value in values.items() if key.startswith("LLAMA_")}
        yield name, ["llama-server", *words], {**env, **variables}


def _sections(text: str) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    current = "default"
    for line in text.splitlines():
        header, pair = _HEADER.fullmatch(line), _PAIR.fullmatch(line)
        if header:
            current = header[1]
            found[current] = {}
        elif pair and pair[1] != "version":
            found.setdefault(current, {})[pair[1]] = pair[2]
    return {name: values for name, values in found.items() if values or name != "default"}


def _preset_words(key: str, value: str) -> tuple[str, ...]:
    """`ctx-size = 8192`, `c = 8192`, `no-mmap = true`: the argument without its dashes, switches with a truth value."""
    from splitter.engine.llama_server.flags import flags_by_name
    from splitter.engine.llama_server.values import OFF

    if key.startswith("LLAMA_"):
        return ()
    known = flags_by_name()
    name = next((dashes + key for dashes in ("--", "-") if dashes + key in known), f"--{key}")
    if name not in known or known[name][0].values:
        return name, value
    flag, positive = known[name]
    if value.lower() not in OFF:
        return (name,)
    opposite = flag.negative if positive else flag.names
    return opposite[:1]


def quadlet_commands(text: str) -> Iterator[tuple[list[str], dict[str, str]]]:
    """A Podman `.container` unit as the `podman run` that it stands for."""
    from splitter.engine.reading.systemd import unit_words

    flags = {"Environment": "-e", "EnvironmentFile": "--env-file", "Volume": "-v", "PublishPort": "-p",
             "AddDevice": "--device", "Entrypoint": "--entrypoint"}  # fmt: skip
    joined = re.sub(r"\\\r?\n", " ", text)
    pairs = re.findall(r"^\s*(\w+)\s*=\s*(.*?)\s*$", joined, re.MULTILINE)
    words = ["podman", "run"]
    for key, value in pairs:
        if key in flags:
            words += [part for item in unit_words(value) for part in (flags[key], item)]
    image = next((value for key, value in pairs if key == "Image"), "")
    arguments = [word for key, value in pairs if key == "Exec" for word in unit_words(value)]
    if image:
        yield [*words, image, *arguments], {}
