"""Programs that start another one (`sudo`, `taskset`, `docker run`, `bash -c`): peeled off until the engine's own words
are left. Pure.

Options as in each program's manual page: util-linux 2.40, coreutils 9.5, sudo 1.9, numactl 2.0, systemd 256, screen 5,
tmux 3.5, docker 28. An option that is not listed takes no value of its own.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from splitter.engine.reading.cmd import cmd_commands
from splitter.engine.reading.containers import CONTAINERS, Image, container_run
from splitter.engine.reading.shell import shell_commands
from splitter.engine.reading.value import ReadText, Unwrapped
from splitter.errors import UsageError
from splitter.plan.plan import Notice

MOST_LAYERS = 12
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=.*", re.DOTALL)
# What sudo's env_reset drops (sudoers(5)); it keeps HOME, PATH and their like, no engine's variable.
_ENGINES = ("LLAMA_", "GGML_", "CUDA_", "HIP_", "ROCR_", "NVIDIA_", "ONEAPI_", "KCPP_", "MTMD_", "HSA_")


@dataclass(frozen=True, slots=True)
class Wrapper:
    """`valued` options take the next word; `operands` words stand before the wrapped command; a `script` option's
    value, or every operand from there on where `script` is "", is a command line of its own."""

    valued: frozenset[str] = frozenset()
    operands: int = 0
    script: str | None = None


# names | operands before the command | option whose value is a command line ("": all that is left) | valued options
_TABLE = """
sudo,doas | 0 | | -u --user -g --group -p --prompt -C -h --host -r -t -T -U -D --chdir -R
nohup,exec,command,builtin,then,do,time,setsid,chronic,unbuffer,catchsegv | 0 | |
prime-run,gamemoderun,optirun,primusrun,mangohud | 0 | |
nice | 0 | | -n --adjustment
ionice | 0 | | -c --class -n --classdata -p
taskset | 1 | | -p
numactl | 0 | | -N -m -i -p -C -P -w --cpunodebind --membind --interleave --preferred --physcpubind
stdbuf | 0 | | -i -o -e
timeout | 1 | | -s --signal -k --kill-after
chrt | 1 | | -T -P -D
cpulimit | 0 | | -l --limit -e -p -P
xvfb-run | 0 | | -n -s -e -f -p -w
choom | 0 | | -n -p
prlimit | 0 | | -p -o
flock | 1 | -c | -w -E
setpriv,unshare,firejail | 0 | |
dbus-run-session | 0 | | --config-file
systemd-inhibit,caffeinate | 0 | | --what --who --why --mode -t -w
screen | 0 | | -S -c -e -h -s -t -T -X -p
bash,sh,ash,zsh,dash,ksh,fish | 0 | -c | -o +o --rcfile --init-file
script | 0 | -c | -O -I -B -T -E -m -o
ssh | 1 | "" | -p -i -l -o -L -R -D -F -J -b -c -e -E -I -m -Q -S -w -W
wsl,wsl.exe | 0 | | -d --distribution -u --user --cd
srun | 0 | | -n -N -c -p -t -J -w -G -A -q
distrobox | 1 | | -n --name
toolbox | 1 | | -c --container
uv,pixi,poetry,pdm,micromamba,conda | 1 | | -n --name -p --prefix --with --python
python,python3,py,wine,wine64,box64 | 0 | |
"""


def _row(line: str) -> Iterator[tuple[str, Wrapper]]:
    names, operands, script, valued = (part.strip() for part in line.split("|"))
    inner = None if not script else script.strip('"')
    wrapper = Wrapper(frozenset(valued.split()), int(operands), inner)
    yield from ((name, wrapper) for name in names.split(","))


WRAPPERS: Mapping[str, Wrapper] = {
    name: wrapper for line in _TABLE.strip().splitlines() for name, wrapper in _row(line)
}


def unwrapped(words: Sequence[str], env: Mapping[str, str], read_text: ReadText | None = None) -> Unwrapped:
    """`words`, run with `env`, without the programs in front that only start another.

    `read_text` gives the text of a file that a wrapper names (--env-file), None where it cannot be read.
    """
    found = Unwrapped(tuple(words), env)
    for _ in range(MOST_LAYERS):
        peeled = _peel(found, read_text)
        if peeled is None:
            break
        found = peeled
    return found


def _peel(found: Unwrapped, read_text: ReadText | None) -> Unwrapped | None:
    """`found` without its outermost wrapper, None where there is none."""
    if not found.words:
        return None
    name = program_name(found.words[0])
    special = _SPECIAL.get(name)
    if special is not None:
        return special(found)
    if name in CONTAINERS:
        return _container(found, read_text)
    if name in WRAPPERS:
        return _table(found, WRAPPERS[name])
    return None


def program_name(word: str) -> str:
    """`C:\\Tools\\Nice.exe` -> `nice`"""
    return re.split(r"[\\/]", word)[-1].lower().removesuffix(".exe")


def _table(found: Unwrapped, wrapper: Wrapper) -> Unwrapped | None:
    options, rest = split_options(found.words[1:], wrapper.valued | ({wrapper.script} if wrapper.script else set()))
    if wrapper.script and wrapper.script in options:
        return _script(found, options[wrapper.script][-1], rest)
    behind = rest[wrapper.operands :]
    if wrapper.script and wrapper.operands and behind[:1] == [wrapper.script]:  # flock FILE -c LINE
        return _script(found, behind[1], behind[2:]) if behind[1:] else None
    if wrapper.script and _combined(found.words, wrapper.script) and rest:
        return _script(found, rest[0], rest[1:])
    if wrapper.script == "":
        return _inner(found, " ".join(behind)) if behind else None
    return _left(found, behind)


def _script(found: Unwrapped, text: str, rest: Sequence[str]) -> Unwrapped | None:
    """`sh -c TEXT NAME ARGS`: a text that runs its arguments ("$@", less those that it shifts away) wraps them."""
    if '"$@"' not in text:
        return _inner(found, text)
    return _left(found, rest[1 + len(re.findall(r"\bshift\b", text)) :])


def _combined(words: Sequence[str], option: str) -> bool:
    """Whether `-c` hides in `-lc`."""
    return any(re.fullmatch(rf"-[a-z]*{option[1]}", word) for word in words[1:3])


def _left(found: Unwrapped, rest: Sequence[str]) -> Unwrapped | None:
    return replace(found, words=tuple(rest)) if rest else None


def _inner(found: Unwrapped, text: str) -> Unwrapped | None:
    """A command line of its own."""
    try:
        return _longest(found, list(shell_commands(text, found.env)))
    except UsageError:
        return None


def _longest(found: Unwrapped, commands: Sequence[tuple[list[str], dict[str, str]]]) -> Unwrapped | None:
    """Of the commands of a line the one with most words: the engine's."""
    if not commands:
        return None
    words, env = max(commands, key=lambda item: len(item[0]))
    return Unwrapped(tuple(words), env, found.around)


def split_options(words: Sequence[str], valued: frozenset[str]) -> tuple[dict[str, list[str]], list[str]]:
    """The options in front (valued ones with their values, others with "") and the words behind them."""
    options: dict[str, list[str]] = {}
    at = 0
    while at < len(words) and words[at].startswith(("-", "+")) and words[at] not in {"-", "--"}:
        word = words[at]
        name, equals, value = word.partition("=")
        at += 1
        if equals:
            options.setdefault(name, []).append(value)
        elif word in valued or _ends_valued(word, valued):
            options.setdefault(word if word in valued else f"-{word[-1]}", []).append(
                words[at] if at < len(words) else ""
            )
            at += 1
        else:
            options.setdefault(word, []).append("")
    rest = list(words[at:])
    return options, rest[1:] if rest[:1] == ["--"] else rest


def _ends_valued(word: str, valued: frozenset[str]) -> bool:
    """`-dmS`: single letters in one word, of which the last takes a value."""
    return re.fullmatch(r"-[A-Za-z]{2,4}", word) is not None and f"-{word[-1]}" in valued


def assignments(words: Sequence[str], env: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """The `NAME=value` words in front, added to `env`, and what follows them."""
    known, at = dict(env), 0
    while at < len(words) and _ASSIGNMENT.fullmatch(words[at]):
        name, _, value = words[at].partition("=")
        known[name] = value
        at += 1
    return known, list(words[at:])


def _env(found: Unwrapped) -> Unwrapped | None:
    """env(1): `-i` forgets, `-u NAME` removes, `-S TEXT` is split into words."""
    options, rest = split_options(
        found.words[1:], frozenset({"-u", "--unset", "-C", "--chdir", "-S", "--split-string"})
    )
    forgets = "-i" in options or "--ignore-environment" in options
    known = {} if forgets else dict(found.env)
    for name in (*options.get("-u", ()), *options.get("--unset", ())):
        known.pop(name, None)
    split = [word for text in options.get("-S", ()) for word in text.split()]
    env, rest = assignments([*split, *rest], known)
    return Unwrapped(tuple(rest), env, found.around) if rest else None


def _sudo(found: Unwrapped) -> Unwrapped | None:
    """sudo starts with a clean environment unless it is told to keep it."""
    options, rest = split_options(found.words[1:], WRAPPERS["sudo"].valued)
    kept = options.get("--preserve-env", [])
    names = {name for listed in kept for name in listed.split(",") if name}
    everything = "-E" in options or "" in kept or any(re.fullmatch(r"-[A-Za-z]*E[A-Za-z]*", name) for name in options)
    lost = sorted(name for name in found.env if name.startswith(_ENGINES) and name not in names)
    env, rest = assignments(rest, found.env if everything else {k: v for k, v in found.env.items() if k not in lost})
    around = found.around
    if lost and not everything:
        listed = ", ".join(lost)
        around = around.saying(
            Notice(
                "sudo_environment",
                f"sudo drops {listed}: variables set in front of it do not reach the engine",
                f"write `sudo {lost[0]}=VALUE ...`, or sudo -E",
            )
        )
    return Unwrapped(tuple(rest), env, around) if rest else None


_SYSTEMD_RUN = """
-u --unit -p --property -E --setenv --slice --description --working-directory --uid --gid --nice -M --machine -H --host
--on-active --on-boot --on-calendar --service-type
"""


def _systemd_run(found: Unwrapped) -> Unwrapped | None:
    options, rest = split_options(found.words[1:], frozenset(_SYSTEMD_RUN.split()))
    properties = [*options.get("-p", ()), *options.get("--property", ())]
    given = [*options.get("-E", ()), *options.get("--setenv", ())]
    given += [text.partition("=")[2] for text in properties if text.startswith("Environment=")]
    env, _ = assignments([text for text in given if "=" in text], {})
    return Unwrapped(tuple(rest), {**found.env, **env}, found.around) if rest else None


def _tmux(found: Unwrapped) -> Unwrapped | None:
    """tmux hands its last words to a shell; `send-keys` types them."""
    _, rest = split_options(found.words[1:], frozenset({"-L", "-S", "-f"}))
    options, rest = split_options(rest[1:], frozenset({"-s", "-n", "-c", "-x", "-y", "-t", "-e", "-F"}))
    env, _ = assignments(options.get("-e", ()), found.env)
    words = [word for word in rest if word not in {"Enter", "C-m", "ENTER"}]
    return _inner(Unwrapped((), env, found.around), " ".join(words)) if words else None


def _cmd(found: Unwrapped) -> Unwrapped | None:
    """`cmd /c LINE`: the words that follow are the line, or one word holds all of it."""
    rest = list(found.words[1:])
    while rest and re.fullmatch(r"/[a-z](:\w+)?", rest[0], re.IGNORECASE):
        rest.pop(0)
    if len(rest) == 1 and " " in rest[0]:
        return _longest(found, list(cmd_commands(rest[0], found.env)))
    return _left(found, rest)


def _nix(found: Unwrapped) -> Unwrapped | None:
    """`nix run PACKAGE -- ARGS`: the package names the program."""
    words = list(found.words)
    if len(words) < 3 or words[1] not in {"run", "shell"} or "--" not in words:
        return None
    rest = words[words.index("--") + 1 :]
    package = next((word for word in words[2:] if not word.startswith("-")), "")
    program = "koboldcpp" if "koboldcpp" in package else "llama-server"
    return replace(found, words=(program, *rest))


_SPECIAL: Mapping[str, Callable[[Unwrapped], Unwrapped | None]] = {
    "env": _env, "sudo": _sudo, "systemd-run": _systemd_run, "tmux": _tmux, "cmd": _cmd, "nix": _nix,
}  # fmt: skip


def _container(found: Unwrapped, read_text: ReadText | None) -> Unwrapped | None:
    image: Image | None = container_run(found.words, found.env, read_text)
    if image is None:
        return None
    around = replace(found.around, container=image.container, notices=(*found.around.notices, *image.notices))
    return Unwrapped(image.words, image.env, around)
