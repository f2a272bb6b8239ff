"""The .sh of a plan, for any POSIX shell (dash, bash, busybox). Pure."""

from collections.abc import Iterator

from splitter.engine.command import EngineCommand
from splitter.engine.quoting import posix_argument
from splitter.plan.plan import Plan
from splitter.script.header import header_lines
from splitter.script.located import Located, located_files, words


def render_posix(plan: Plan, command: EngineCommand, remake: str) -> bytes:
    """The shell script: it becomes the engine (exec), so signals and the exit code are the engine's own."""
    files = located_files(plan, command, windows=False)
    lines = [
        "#!/bin/sh",
        *(f"# {line}" for line in header_lines(plan, command, remake)),
        *PROLOGUE,
        *(f"export {name}={posix_argument(value)}" for name, value in command.env.items()),
        *(line for file in files.all() for line in _place(file)),
        *(line for name in command.env_files for line in _secret(name)),
        "exec " + " ".join(_word(word) for word in words(command, files)),
    ]
    return "".join(f"{line}\n" for line in lines).encode()


PROLOGUE = (
    "set -u",
    'case $0 in */*) CDPATH= cd -- "${0%/*}/" || exit 1 ;; esac',
    "missing() {",
    '  echo "The $1 was not found." >&2',
    "  code=$2",
    "  shift 2",
    '  for place in "$@"; do printf \'  %s\\n\' "$place" >&2; done',
    '  exit "$code"',
    "}",
)


# An empty file of keys counts as none: the engine would serve everybody.
TESTS = {"engine": ("-x", 4), "API key file": ("-s", 1)}


def _place(file: Located) -> Iterator[str]:
    """Beside the script first, then the planned place, then PATH."""
    test, code = TESTS.get(file.label, ("-f", 1))
    variable, tried = _variable(file), []
    yield f"{variable}={posix_argument(f'./{file.beside}') if file.beside else ''}"
    if file.beside is not None:
        tried.append(f"beside this script: {file.beside}")
    if file.planned is not None:
        yield f'[ {test} "${variable}" ] || {variable}={posix_argument(file.planned)}'
        tried.append(f"at the planned place: {file.planned}")
    if file.on_path is not None:
        yield f'[ {test} "${variable}" ] || {variable}=$(command -v {posix_argument(file.on_path)}) || {variable}='
        tried.append(f"on PATH: {file.on_path}")
    if file.download is not None:
        tried.append(f"download it from: {file.download}")
    places = " ".join(map(posix_argument, tried))
    yield f'[ {test} "${variable}" ] || missing {posix_argument(file.label)} {code} {places}'


def _variable(file: Located) -> str:
    return file.label.replace(" ", "_").upper()


def _secret(name: str) -> Iterator[str]:
    yield f'IFS= read -r {name} < "$API_KEY_FILE" || [ -n "${name}" ] || exit 1'
    yield f"export {name}"


def _word(word: str | Located) -> str:
    return f'"${_variable(word)}"' if isinstance(word, Located) else posix_argument(word)
