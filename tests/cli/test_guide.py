"""`splitter` alone: without a terminal the help; tests/guided shows it on one."""

from tests.cli.conftest import Splitter


def test_without_a_terminal_it_is_the_help(splitter: Splitter) -> None:
    said = splitter()
    assert said.code == 0
    assert "splitter plan MODEL.gguf" in said.out
