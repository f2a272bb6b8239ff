"""No test reads or changes what the person at this machine saved, measured, learnt or has running."""

import signal
from collections.abc import Iterator

import psutil
import pytest
from hypothesis import settings

from splitter.engine.learnt import cache_file, lessons_file
from tests.engine import oracle  # its cache of the engine and the skeletons is found before the variables move

# A loaded machine is no finding. The same examples every time: a failure is what changed.
# `--hypothesis-profile search` looks for new ones.
settings.register_profile("splitter", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None, max_examples=2000)
settings.load_profile("splitter")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # under `&` in a script; every child would keep it
    signal.signal(signal.SIGINT, signal.default_int_handler)

LONG = ("windows", "plan", "web", "gateway", "nodes", "from_nothing", "guided", "memory", "security", "bench")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The folders whose files take longest come first, so that no worker is left alone with them in the end."""
    items.sort(key=lambda item: LONG.index(name) if (name := item.path.parent.name) in LONG else len(LONG))


FOLDERS = ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME")


@pytest.fixture(scope="session", autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The user's folders of design.md, empty, for this run and every process that it starts."""
    assert oracle.CACHE.name == "splitter-engine"
    with pytest.MonkeyPatch.context() as patch:
        for name in FOLDERS:
            patch.setenv(name, str(tmp_path_factory.mktemp(name.lower())))
        yield


@pytest.fixture
def no_process_left() -> Iterator[None]:
    """A test that asks for it leaves no process behind; what longer fixtures started before it is not its own."""
    me = psutil.Process()
    before = {process.pid for process in me.children(recursive=True)}
    yield
    assert [process for process in me.children(recursive=True) if process.pid not in before] == []


@pytest.fixture(autouse=True)
def nothing_learnt() -> None:
    """What one test's engine ran out of is no lesson for the next one's plan."""
    for file in (cache_file(), lessons_file()):
        file.unlink(missing_ok=True)
