"""One gateway in front of a real llama-server, the stand-in koboldcpp and the embedded engine."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.gateway.scene import Running, embedded, gateway, koboldcpp, llama_server, opened, wait_up


@dataclass
class House:
    """The gateway and its three engines."""

    gateway: Running
    llama: Running
    kobold: Running
    embedded: Running

    @property
    def url(self) -> str:
        return self.gateway.url


@pytest.fixture(scope="package")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """The model is called tiny by each engine in its own way; llama3.2 is another name of it."""
    folder: Path = tmp_path_factory.mktemp("house")
    with ExitStack() as stack:
        llama, kobold, inside = opened(
            stack,
            llama_server(folder, "--jinja", "--embeddings", "--pooling", "mean"),
            koboldcpp(folder),
            embedded(folder),
        )
        settings = f"""
limits: {{output_tokens: 64}}
aliases: {{llama3.2: tiny, llama2: tiny, nomic-embed-text: tiny}}
backends:
  - {{name: windows, url: "{llama.url}"}}
  - {{name: kali, url: "{kobold.url}"}}
  - {{name: laptop, url: "{inside.url}"}}
"""
        door = stack.enter_context(gateway(folder, settings=settings))
        wait_up(door.url, 3)
        yield House(door, llama, kobold, inside)
