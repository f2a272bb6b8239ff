"""The .bat of a plan, for cmd.exe. Pure.

File names and hostile arguments stand as literals, in quotes, with delayed expansion off: then only % is special, and
that is doubled. None of them passes through a variable: wine's cmd (8.0) would look for % and ! in its value again. So
there is one launch line for each pair of places in which engine and model may be found.
"""

import re
from collections.abc import Iterator
from itertools import groupby, product

from splitter.engine.command import EngineCommand
from splitter.engine.engines import ENGINES
from splitter.engine.quoting import CMD_PLAIN, batch_argument, batch_value
from splitter.errors import UsageError
from splitter.plan.plan import Plan
from splitter.script.header import header_lines
from splitter.script.located import Files, Located, located_files, words

# cmd.exe takes lines of at most 8191 characters, variables expanded.
MAX_LINE = 8000
# As many plain arguments in a row as are worth a variable of their own.
MANY = 3

CODE_PAGE = [
    "rem From here on this file is UTF-8; the console gets its code page back at the end.",
    'for /f "tokens=2 delims=:." %%P in (\'chcp\') do set "CODEPAGE=%%P"',
    "chcp 65001 >nul",
]
# pushd reaches network folders too; the short name serves where a % in the long one is lost (wine's cmd).
GO_HOME = ['pushd "%~dps0" 2>nul', 'cd /d "%~dp0" 2>nul']


def render_batch(plan: Plan, command: EngineCommand, remake: str) -> bytes:
    """The batch file: UTF-8 (it switches the code page where it must), CRLF.

    UsageError for what cmd.exe cannot carry: a double quote or a control character in a path or argument, or a command
    of more than 8191 characters.
    """
    files = located_files(plan, command, windows=True)
    body = [*_settings(command), *_flags(command, files), *_search(command, files)]
    body[-1:] = [*_browser(command), body[-1]]
    body += [*_launches(command, files), *_end(files)]
    comments = [f"rem {line.replace('%', '%%')}" for line in header_lines(plan, command, remake)]
    ascii_only = all(line.isascii() for line in (*body, *comments))
    start = ["@echo off", "setlocal EnableExtensions DisableDelayedExpansion", comments[0]]
    lines = [*start, *([] if ascii_only else CODE_PAGE), *comments[1:], *GO_HOME, *body]
    return "".join(f"{line}\r\n" for line in lines).encode()


def _settings(command: EngineCommand) -> Iterator[str]:
    """The environment, for this script and its engine alone."""
    yield from (f'set "{name}={batch_value(value)}"' for name, value in command.env.items())


def _runs(command: EngineCommand, files: Files) -> Iterator[tuple[str | None, tuple[str | Located, ...]]]:
    """The words behind the engine in runs, with a variable's name for those of many plain words.

    A flag stays beside the file that it takes.
    """
    count, behind = 0, words(command, files)[1:]
    pairs = zip(behind, (*behind[1:], ""), strict=True)
    for plain, group in groupby(pairs, key=lambda pair: _is_plain(pair[0]) and _is_plain(pair[1] or "end")):
        run = tuple(word for word, _ in group)
        if plain and len(run) >= MANY:
            count += 1
            yield "FLAGS" if count == 1 else f"FLAGS{count}", run
        else:
            yield None, run


def _is_plain(word: str | Located) -> bool:
    return isinstance(word, str) and CMD_PLAIN.fullmatch(word) is not None


def _flags(command: EngineCommand, files: Files) -> Iterator[str]:
    for variable, run in _runs(command, files):
        if variable:
            yield f'set "{variable}={" ".join(map(str, run))}"'


def _search(command: EngineCommand, files: Files) -> Iterator[str]:
    """Where engine and model are: beside the script before the planned place. Then the key is read."""
    for side, file in (("ENGINE", files.engine), ("MODEL", files.model[0])):
        yield f"set {side}_AT=none"
        for place in reversed(_places(file)):
            yield from _found(file, place, f"set {side}_AT={place}")
        yield f"if %{side}_AT%==none goto no_{side.lower()}"
    if files.key:
        key, missing = batch_value(files.key.word), f"goto no_{_label(files.key)}"
        yield f'if not exist "{key}" {missing}'
        yield f'for %%I in ("{key}") do if %%~zI LSS 1 {missing}'  # an engine with an empty one would serve everybody
    yield from (f'set /p {name}=<"{batch_value(path)}"' for name, path in command.env_files.items())
    yield "goto %ENGINE_AT%_%MODEL_AT%"


def _browser(command: EngineCommand) -> Iterator[str]:
    """Opens the engine's chat page when it answers; Windows 10 and newer bring curl. Minimised, and gone afterwards."""
    server = command.server
    host = "127.0.0.1" if server.host in {"0.0.0.0", "::", ""} else server.host  # noqa: S104 - read, not bound
    if re.fullmatch(r"[\w.-]+", host) is None:
        return
    url, health = f"http://{host}:{server.port}", ENGINES[command.engine.kind].pulse_path
    wait = (
        f"for /l %%I in (1,1,900) do @(curl -fs -o nul {url}{health} && start {url} && exit) & ping -n 2 127.0.0.1 >nul"
    )
    yield "if defined SPLITTER_NO_BROWSER goto launch"
    yield 'if not exist "%SystemRoot%\\System32\\curl.exe" goto launch'
    yield f'start "opens the chat page" /min cmd /c "{wait}"'
    yield ":launch"


def _places(file: Located) -> tuple[str, ...]:
    """The places where `file` may be, best first."""
    places = (("beside", file.beside), ("planned", file.planned), ("on_path", file.on_path))
    found = tuple(name for name, place in places if place is not None)
    return (*found[:1], "variant", *found[1:]) if file.others else found


def _at(file: Located, place: str) -> str:
    """What the command line calls `file` at `place`; a file without such a place is taken from its next best one."""
    found = {"beside": file.beside, "planned": file.planned, "on_path": file.on_path}.get(place)
    return found or file.planned or file.beside or file.word


def _found(file: Located, place: str, then: str) -> Iterator[str]:
    if place == "variant":  # one command behind each `if`: wine's cmd.exe runs a second one whether it holds or not
        yield 'set "ENGINE_NAME="'
        yield f'for %%E in ({" ".join(reversed(file.others))}) do if exist "%%E" set "ENGINE_NAME=%%E"'
        yield f"if defined ENGINE_NAME {then}"
    elif place == "on_path":
        yield f'for %%I in ("{file.on_path}") do if not "%%~$PATH:I"=="" {then}'
    else:
        yield f'if exist "{batch_value(_at(file, place))}" {then}'


def _launches(command: EngineCommand, files: Files) -> Iterator[str]:
    for engine_at, model_at in product(_places(files.engine), _places(files.model[0])):
        yield f":{engine_at}_{model_at}"
        yield from (
            f'if not exist "{batch_value(_at(file, model_at))}" goto no_{_label(file)}' for file in files.model[1:]
        )
        yield _launch(command, files, engine_at, model_at)
        yield "goto ended"


def _launch(command: EngineCommand, files: Files, engine_at: str, model_at: str) -> str:
    """One launch line. `.\\` makes cmd.exe look beside the script and nowhere else."""
    engine = _at(files.engine, engine_at)
    parts = [_quoted(f".\\{engine}" if engine_at == "beside" else engine)]
    if engine_at == "variant":
        parts = ['".\\%ENGINE_NAME%"']  # one of the plain names above
    for variable, run in _runs(command, files):
        parts += [f"%{variable}%"] if variable else [_word(word, model_at) for word in run]
    line = " ".join(parts)
    if len(line) + sum(map(len, command.argv)) > MAX_LINE:
        raise UsageError("the command is too long for cmd.exe (8191 characters)", "move the files to shorter paths")
    return line


def _word(word: str | Located, model_at: str) -> str:
    return _quoted(_at(word, model_at)) if isinstance(word, Located) else batch_argument(word)


def _quoted(text: str) -> str:
    argument = batch_argument(text)
    return argument if argument.startswith('"') else f'"{argument}"'


def _end(files: Files) -> Iterator[str]:
    """What is said about success and failure, and the one way out. `pause` returns at once where nobody can answer."""
    yield ":ended"
    yield 'set "CODE=%ERRORLEVEL%"'
    yield 'if "%CODE%"=="0" goto end'
    yield "echo."
    yield "echo The engine ended with exit code %CODE%; its last lines above say why."
    yield "goto failed"
    for file in files.all():
        yield from _missing(file)
    yield ":failed"
    yield "if not defined SPLITTER_NO_PAUSE pause"
    yield ":end"
    yield "if defined CODEPAGE chcp %CODEPAGE% >nul"
    yield "exit /b %CODE%"


def _missing(file: Located) -> Iterator[str]:
    yield f":no_{_label(file)}"
    yield f"echo The {file.label} was not found."
    places = (
        ("beside this script", file.beside and " or ".join((file.beside, *file.others))),
        ("at the planned place", file.planned),
        ("on PATH", file.on_path),
        ("download it from", file.download),
    )
    yield from (f'echo   {where}: "{batch_value(place)}"' for where, place in places if place is not None)
    yield f'set "CODE={4 if file.label == "engine" else 1}"'
    yield "goto failed"


def _label(file: Located) -> str:
    return file.label.replace(" ", "_").lower()
