"""Where a script sends people for a model that is not here."""

import pytest

from splitter.errors import SplitterError
from splitter.script.download import download_name, download_page, is_reference

HUB = "https://huggingface.co/a/b-GGUF"


@pytest.mark.parametrize(
    ("reference", "name", "page"),
    [
        ("hf:a/b-GGUF/m.gguf", "m.gguf", f"{HUB}/resolve/main/m.gguf"),
        ("hf:a/b-GGUF/dir/m 1.gguf@v2", "m 1.gguf", f"{HUB}/resolve/v2/dir/m%201.gguf"),
        ("HF:a/b-GGUF/q/m-00001-of-00003.gguf", "m-00001-of-00003.gguf", f"{HUB}/tree/main/q"),
        ("hf:a/b-GGUF/m-00001-of-00002.gguf", "m-00001-of-00002.gguf", f"{HUB}/tree/main"),
        ("https://x.org/a%20b.gguf?download=true", "a b.gguf", "https://x.org/a%20b.gguf?download=true"),
    ],
)
def test_name_and_page(reference: str, name: str, page: str) -> None:
    assert is_reference(reference)
    assert (download_name(reference), download_page(reference)) == (name, page)


@pytest.mark.parametrize("reference", ["hf:a/b-GGUF", "https://x.org/", "hf:nonsense"])
def test_a_reference_without_a_file_is_refused(reference: str) -> None:
    with pytest.raises(SplitterError) as caught:
        download_name(reference)
    assert caught.value.hint


def test_paths_are_no_references() -> None:
    assert not any(is_reference(path) for path in ("/m/hf.gguf", "C:\\m.gguf", "m.gguf"))
