"""Text to words: POSIX shells and cmd.exe, with the real tools as oracles."""

import shlex
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitter.engine.reading.cmd import cmd_commands, windows_argv
from splitter.engine.reading.shell import shell_commands
from splitter.errors import UsageError

ARGUMENTS = st.lists(
    st.text(st.characters(exclude_characters="\0\r\n", exclude_categories=["Cs"]), max_size=12), min_size=1
)


def shell_words(text: str) -> list[list[str]]:
    return [words for words, _ in shell_commands(text, {})]


@given(ARGUMENTS)
def test_what_shlex_quotes_is_read_back(args: list[str]) -> None:
    assert shell_words(shlex.join(["x", *args])) == [["x", *args]]


@given(ARGUMENTS)
def test_what_windows_quotes_is_read_back(args: list[str]) -> None:
    assert windows_argv(subprocess.list2cmdline(["x", *args])) == ["x", *args]


LINES = [
    r"x a\ b 'c d'\''e' \"q\" \\",
    'x "a $HOME_X b" "$EMPTY" $EMPTY $TWO "${TWO}" ${MISSING:-dflt} "${MISSING:-a b}"',
    "x a#b # comment",
    "x 'multi word'joined\"to this\"",
    "x a \\\n  b \\\n  c",
    "x --a=1 2>&1 > /dev/null b",
    "x ''",
    "TWO=changed; x $TWO",
    'x -ot \'blk\\.(1|2)\\.=CPU\' "a\\"b\\$c\\d"',
]


@pytest.mark.parametrize("shell", ["sh", "bash"])
@pytest.mark.parametrize("line", LINES)
def test_the_words_are_those_a_real_shell_passes(shell: str, line: str) -> None:
    prelude = "x() { [ $# = 0 ] || printf '%s\\0' \"$@\" >&3; }\nHOME_X=/h TWO='p q' EMPTY=\n"
    script = f"exec 3>&1\n{prelude}{line}\n"
    real = subprocess.run([shell, "-c", script], capture_output=True, check=True).stdout.decode().split("\0")[:-1]
    variables = {"HOME_X": "/h", "TWO": "p q", "EMPTY": ""}
    read = [words for words, _ in shell_commands(line, variables)]
    assert read[-1][1:] == real


def test_arrays_and_script_arguments() -> None:
    text = 'ARGS=(-m "a b.gguf"\n  -c 4096 # context\n)\nexec ./llama-server "${ARGS[@]}" "$@"\n'
    assert shell_words(text)[-1] == ["exec", "./llama-server", "-m", "a b.gguf", "-c", "4096"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('A=(-m "a b"); A+=(-c 4096); A+=(); x "${A[@]}"', ["x", "-m", "a b", "-c", "4096"]),
        ('A+=(-c 4096); A+=(-v); x "${A[@]}"', ["x", "-c", "4096", "-v"]),
        ("A=a; A+=b; x $A", ["x", "ab"]),
    ],
)
def test_what_is_appended(text: str, words: list[str]) -> None:
    real = subprocess.run(["bash", "-c", f"x() {{ printf '%s\\0' \"$@\"; }}; {text}"], capture_output=True, check=True)
    assert ["x", *real.stdout.decode().split("\0")[:-1]] == words
    assert shell_words(text)[-1] == words


def test_assignments_and_exports_are_in_force_for_what_follows() -> None:
    text = "export A=1\nB=2 C='x y'\nD=3 run it\nset -euo pipefail\nother"
    assert list(shell_commands(text, {})) == [
        (["run", "it"], {"A": "1", "B": "2", "C": "x y", "D": "3"}),
        (["other"], {"A": "1", "B": "2", "C": "x y", "D": "3"}),
    ]


def test_the_scripts_folder_is_here() -> None:
    text = 'DIR="$(cd "$(dirname "$0")" && pwd)"\n"$DIR/llama-server" -m "$DIR/m.gguf" $(date)'
    assert shell_words(text)[-1] == ["./llama-server", "-m", "./m.gguf"]


@pytest.mark.parametrize("text", ["x 'open", 'x "open', 'x "a\\'])
def test_an_open_quote_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="never closed"):
        shell_words(text)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('a.exe "b c" d', ["a.exe", "b c", "d"]),
        ("a.exe b^&c ^^ d", ["a.exe", "b&c", "^", "d"]),
        ('a.exe "b & c" > log.txt 2>&1', ["a.exe", "b & c"]),
        ("@a.exe 100%% %NGL% %MISSING% %1 %*", ["a.exe", "100%", "40"]),
        ('a.exe "%~dp0m.gguf"', ["a.exe", ".\\m.gguf"]),
        ("a.exe %NGL:~0,1%", ["a.exe", "4"]),
        ("if exist m.gguf (a.exe b)", ["a.exe", "b"]),
        ('if not "%NGL%"=="" a.exe b', ["a.exe", "b"]),
        ("a.exe b ^\r\n  c ^\r\n  d", ["a.exe", "b", "c", "d"]),
        (r'a.exe "C:\Program Files\\" \\x\y "q\"r"', ["a.exe", "C:\\Program Files\\", "\\\\x\\y", 'q"r']),
        ("setlocal EnableDelayedExpansion & a.exe !NGL!", ["a.exe", "40"]),
        ("a.exe !NGL!", ["a.exe", "!NGL!"]),
    ],
)
def test_cmd_lines(line: str, words: list[str]) -> None:
    assert [read for read, _ in cmd_commands(line, {"NGL": "40"})] == [words]


SETTING = r"""@echo off
rem a.exe 1
:: a.exe 2
:again
set A=1
set "B=2 & 3"
SET c=%A%4
a.exe %a% & b.exe
"""


def test_cmd_comments_labels_and_set() -> None:
    commands = list(cmd_commands(SETTING.replace("\n", "\r\n"), {}))
    assert [words for words, _ in commands] == [["echo", "off"], ["a.exe", "1"], ["b.exe"]]
    assert commands[1][1] == {"A": "1", "B": "2 & 3", "c": "14"}


@given(st.text(max_size=200))
def test_any_text_ends_in_words_or_a_sentence(text: str) -> None:
    for reader in (shell_commands, cmd_commands):
        try:
            commands = list(reader(text, {"A": "b c"}))
        except UsageError:
            continue
        assert all(isinstance(word, str) for words, _ in commands for word in words)
