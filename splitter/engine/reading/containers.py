"""`docker run IMAGE ARGS` and its like: the engine's words, its variables, the cards the container is given. Pure.

Options: docker-run(1) of docker 28, podman-run(1) of podman 5. Images: `.devops/*.Dockerfile` of llama.cpp build 11434
(entrypoints `llama-server`, `llama-cli`, `tools.sh`; the server images set LLAMA_ARG_HOST), koboldai/koboldcpp.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from splitter.engine.reading.value import Container, ReadText
from splitter.plan.plan import Notice

CONTAINERS = frozenset({"docker", "podman", "nerdctl", "docker-compose", "podman-compose"})
ALL_CARDS = "NVIDIA_VISIBLE_DEVICES"  # what the NVIDIA container runtime is told, and what narrows CUDA's cards here
_SWITCHES = """
-d --detach -i --interactive -t --tty --rm --init --privileged --read-only -P --publish-all --no-healthcheck
--oom-kill-disable --sig-proxy --disable-content-trust -q --quiet --replace --http-proxy --no-hosts --no-hostname
--tls-verify --help --env-host --rmi --build --service-ports --no-deps -T --use-aliases --remove-orphans
"""
_LETTERS = re.compile(r"-[ditqPT]{2,}")
_GLUED = re.compile(r"-([evpuwhmlc])(.+)", re.DOTALL)
_LLAMA_IMAGE = re.compile(r"llama[.-]?(?:cpp)?[\w./-]*:(server|full|light)", re.IGNORECASE)
_KOBOLD_IMAGE = re.compile(r"kobold", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Image:
    """What runs inside: the engine's words and variables there."""

    words: tuple[str, ...]
    env: Mapping[str, str]
    container: Container
    notices: tuple[Notice, ...] = ()


@dataclass(slots=True)
class _Options:
    values: dict[str, list[str]] = field(default_factory=dict)
    rest: list[str] = field(default_factory=list)

    def all(self, *names: str) -> list[str]:
        return [value for name in names for value in self.values.get(name, ())]

    def last(self, *names: str) -> str | None:
        found = self.all(*names)
        return found[-1] if found else None


def container_run(words: Sequence[str], env: Mapping[str, str], read_text: ReadText | None) -> Image | None:
    """What `docker run ...` starts; None for other subcommands. `-e NAME` passes the variable on from `env`."""
    at = next((index for index, word in enumerate(words[:6]) if word in {"run", "exec", "create"}), None)
    if at is None:
        return None
    options = _options(words[at + 1 :])
    if not options.rest:
        return None
    image, *args = options.rest
    inside, notices = _environment(options, env, read_text)
    entrypoint = options.last("--entrypoint")
    words_inside = _started(image, args, entrypoint, inside)
    inside |= _image_defaults(image, inside)
    cards, said = _cards(options, image, inside)
    container = Container(_mounts(options), tuple(options.all("-p", "--publish")))
    return Image(words_inside, inside | cards, container, (*notices, *said))


def _options(words: Sequence[str]) -> _Options:
    """Everything that is no switch takes a value."""
    found, at = _Options(), 0
    while at < len(words) and words[at].startswith("-") and words[at] != "--":
        word = words[at]
        name, equals, value = word.partition("=")
        at += 1
        glued = _GLUED.fullmatch(word) if not word.startswith("--") else None
        if equals and word.startswith("--"):
            found.values.setdefault(name, []).append(value)
        elif word in _SWITCHES.split() or _LETTERS.fullmatch(word):
            continue
        elif glued:
            found.values.setdefault(f"-{glued[1]}", []).append(glued[2].removeprefix("="))
        else:
            found.values.setdefault(word, []).append(words[at] if at < len(words) else "")
            at += 1
    found.rest = list(words[at + 1 :] if words[at : at + 1] == ["--"] else words[at:])
    return found


def _environment(
    options: _Options, env: Mapping[str, str], read_text: ReadText | None
) -> tuple[dict[str, str], tuple[Notice, ...]]:
    known: dict[str, str] = {}
    notices = []
    for name in options.all("--env-file"):
        text = read_text(name) if read_text else None
        if text is None:
            found = f"the variables of {name} are not known here: that file cannot be read"
            notices.append(Notice("env_file", found, "run check beside that file, or write the variables with -e"))
        known |= env_file(text or "")
    for item in options.all("-e", "--env"):
        name, equals, value = item.partition("=")
        if equals or name in env:
            known[name] = value if equals else env[name]
    return known, tuple(notices)


def env_file(text: str) -> dict[str, str]:
    """The variables of an --env-file: `NAME=value` lines, `#` comments; quotes stay out (compose's rule)."""
    lines = (line.strip() for line in text.splitlines())
    pairs = (line.removeprefix("export ").split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    return {name.strip(): value.strip().strip("\"'") for name, value in pairs}


def _started(image: str, args: Sequence[str], entrypoint: str | None, env: Mapping[str, str]) -> tuple[str, ...]:
    """The program and its arguments inside the container."""
    if entrypoint:
        return (*entrypoint.split(), *args)
    kind = _LLAMA_IMAGE.search(image)
    if kind and kind[1].lower() == "full":  # tools.sh: its first word names the tool
        return ("llama-server", *args[1:]) if args[:1] in (["--server"], ["-s"]) else tuple(args)
    if kind and (not args or args[0].startswith("-")):
        return ("llama-cli" if kind[1].lower() == "light" else "llama-server", *args)
    if _KOBOLD_IMAGE.search(image) and (not args or args[0].startswith("-")):
        model = ("--model", env["KCPP_MODEL"]) if env.get("KCPP_MODEL") else ()
        return ("koboldcpp", *model, *env.get("KCPP_ARGS", "").split(), *args)
    return tuple(args) or (image,)


def _image_defaults(image: str, env: Mapping[str, str]) -> dict[str, str]:
    """The server images listen on all interfaces of the container."""
    kind = _LLAMA_IMAGE.search(image)
    return {"LLAMA_ARG_HOST": "0.0.0.0"} if kind and "LLAMA_ARG_HOST" not in env else {}  # noqa: S104


def _cards(options: _Options, image: str, env: Mapping[str, str]) -> tuple[dict[str, str], tuple[Notice, ...]]:
    """Which NVIDIA cards the container is given, in the runtime's own words (NVIDIA_VISIBLE_DEVICES)."""
    named = [_card_names(text) for text in options.all("--gpus")]
    named += [text.partition("=")[2] for text in options.all("--device") if text.startswith("nvidia.com/gpu=")]
    if named:
        return {ALL_CARDS: "all" if "all" in named else ",".join(named)}, ()
    other = options.all("--device") or options.last("--runtime") == "nvidia" or ALL_CARDS in env
    if other or not re.search(r"cuda", image, re.IGNORECASE):
        return {}, ()
    text = f"{image} is started without --gpus: unless NVIDIA's runtime is docker's default, it sees no card"
    return {}, (Notice("container_without_gpu", text, "add --gpus all"),)


def _card_names(text: str) -> str:
    """`all`, `2` (the first two), `device=0,2`, `"device=0"`, `driver=nvidia,count=1` -> the runtime's list."""
    plain = text.strip("\"'")
    devices = re.search(r"device=([\w,.-]+?)(?:,[a-z]+=|\"|$)", plain)
    if devices:
        return devices[1]
    count = re.search(r"(?:^|count=)(\d{1,2})(?:,|$)", plain)
    return ",".join(map(str, range(int(count[1])))) if count else "all"


def _mounts(options: _Options) -> tuple[tuple[str, str], ...]:
    """(folder in the container, folder of the host) of every bind mount."""
    found = [_volume(text) for text in options.all("-v", "--volume")]
    for text in options.all("--mount"):
        parts = dict(part.split("=", 1) for part in text.split(",") if "=" in part)
        target = parts.get("target", parts.get("dst", parts.get("destination", "")))
        found.append((target, parts.get("source", parts.get("src", ""))))
    return tuple((inside, host) for inside, host in found if inside and re.match(r"[./~\\]|[A-Za-z]:|\$", host))


def _volume(text: str) -> tuple[str, str]:
    """`HOST:CONTAINER[:ro]`; a drive letter belongs to the host's folder."""
    drive = re.match(r"[A-Za-z]:(?=[\\/])", text)
    head = drive[0] if drive else ""
    host, _, inside = text[len(head) :].partition(":")
    return inside.partition(":")[0], head + host
