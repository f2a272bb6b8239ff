"""The .bat of a plan, for cmd.exe. Pure.

Every file name and hostile argument goes into a variable first, in literal quotes while delayed expansion is off, and
comes back as !NAME! on the command line: cmd.exe parses nothing in a value that it expands that late, so & | < > ^ % !
( ) and spaces reach the engine untouched.
"""

from collections.abc import Iterator

from splitter.engine.command import EngineCommand
from splitter.engine.quoting import CMD_PLAIN, batch_value
from splitter.errors import UsageError
from splitter.plan.plan import Plan
from splitter.script.header import header_lines
from splitter.script.located import Located, located_files, words

# cmd.exe takes lines of at most 8191 characters, variables expanded.
MAX_LINE = 8000


def render_batch(plan: Plan, command: EngineCommand, remake: str) -> bytes:
    """The batch file: UTF-8 (it switches the code page when it must), CRLF.

    UsageError for what cmd.exe cannot carry: a double quote or a control character in a path or argument.
    """
    files = located_files(plan, command, windows=True)
    body = [*_settings(command, files), *_checks(files), *_launch(command, files), *_messages(files)]
    comments = [f"rem {line.replace('%', '%%')}" for line in header_lines(plan, command, remake)]
    ascii_only = all(line.isascii() for line in (*body, *comments))
    lines = [
        "@echo off",
        "setlocal EnableExtensions DisableDelayedExpansion",
        comments[0],
        *([] if ascii_only else CODE_PAGE),
        *comments[1:],
        *GO_HOME,
        *body,
    ]
    return "".join(f"{line}\r\n" for line in lines).encode()


CODE_PAGE = [
    "rem From here on this file is read as UTF-8; the console gets its code page back at the end.",
    'for /f "tokens=2 delims=:." %%P in (\'chcp\') do set "CODEPAGE=%%P"',
    "chcp 65001 >nul",
]
# The short name helps where the long one is lost (wine's cmd, a % in it); pushd reaches network folders.
GO_HOME = ['cd /d "%~dp0" 2>nul || cd /d "%~dps0" 2>nul || pushd "%~dp0"']


def _settings(command: EngineCommand, files: tuple[Located, ...]) -> Iterator[str]:
    """Environment, places and hostile arguments, as literals."""
    yield from (f'set "{name}={batch_value(value)}"' for name, value in command.env.items())
    for file in files:
        yield from _place(file)
    yield from (f'set "{name}={_argument_value(word)}"' for name, word in _hostile(command, files).items())
    yield "setlocal EnableDelayedExpansion"
    for name in command.env_files:
        yield f'if exist "!API_KEY_FILE!" set /p {name}=<"!API_KEY_FILE!"'


def _place(file: Located) -> Iterator[str]:
    """Beside the script first, then the planned place, then PATH."""
    if file.name is not None:
        beside = f".\\{file.name}" if file.variable == "ENGINE" else file.name
        yield f'set "{file.variable}={batch_value(beside)}"'
    if file.planned is not None:
        unless = "" if file.name is None else f'if not exist "{batch_value(file.name)}" '
        yield f'{unless}set "{file.variable}={batch_value(file.planned)}"'
    if file.on_path is not None:
        unless = "" if file.name is None else f'if not exist "{batch_value(file.name)}" '
        yield f'{unless}for %%I in ("{batch_value(file.on_path)}") do set "{file.variable}=%%~$PATH:I"'


def _hostile(command: EngineCommand, files: tuple[Located, ...]) -> dict[str, str]:
    """The arguments that cannot stand on the line as they are, by the variable that carries them."""
    hostile = [word for word in words(command, files) if isinstance(word, str) and not CMD_PLAIN.fullmatch(word)]
    return {f"ARG{i}": word for i, word in enumerate(dict.fromkeys(hostile), 1)}


def _argument_value(word: str) -> str:
    """A backslash at the end would escape the quote that follows it on the command line."""
    trailing = len(word) - len(word.rstrip("\\"))
    return batch_value(word) + "\\" * trailing


def _checks(files: tuple[Located, ...]) -> Iterator[str]:
    yield from (f'if not exist "!{file.variable}!" goto no_{file.variable}' for file in files)


def _launch(command: EngineCommand, files: tuple[Located, ...]) -> Iterator[str]:
    names = {word: name for name, word in _hostile(command, files).items()}
    line = " ".join(_word(word, names) for word in words(command, files))
    if len(line) + sum(map(len, command.argv)) > MAX_LINE:
        raise UsageError("the command is too long for cmd.exe (8191 characters)", "move the files to shorter paths")
    yield line
    yield 'set "CODE=%ERRORLEVEL%"'
    yield 'if "%CODE%"=="0" goto end'
    yield "echo."
    yield "echo The engine ended with exit code %CODE%; its last lines above say why."
    yield "goto failed"


def _word(word: str | Located, names: dict[str, str]) -> str:
    if isinstance(word, Located):
        return f'"!{word.variable}!"'
    return f'"!{names[word]}!"' if word in names else word


def _messages(files: tuple[Located, ...]) -> Iterator[str]:
    """What is said when a file is missing, and the one way out. `pause` returns at once without a console."""
    for file in files:
        yield f":no_{file.variable}"
        yield from _missing(file)
        yield f'set "CODE={4 if file.variable == "ENGINE" else 1}"'
        yield "goto failed"
    yield ":failed"
    yield "if not defined SPLITTER_NO_PAUSE pause"
    yield ":end"
    yield "if defined CODEPAGE chcp %CODEPAGE% >nul"
    yield "exit /b %CODE%"


def _missing(file: Located) -> Iterator[str]:
    """Said with delayed expansion off: between quotes only % is then special, and that is doubled."""
    yield "setlocal DisableDelayedExpansion"
    yield f"echo The {file.label} was not found."
    if file.name is not None:
        yield f'echo   beside this script: "{batch_value(file.name)}"'
    if file.planned is not None:
        yield f'echo   at the planned place: "{batch_value(file.planned)}"'
    if file.on_path is not None:
        yield f'echo   on PATH: "{batch_value(file.on_path)}"'
    if file.reference is not None:
        yield f'echo   get it from: "{batch_value(file.reference)}"'
