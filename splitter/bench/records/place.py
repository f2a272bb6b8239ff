"""Where measurements lie: known without opening them."""

from pathlib import Path

from splitter.folders import data_folder


def records_path() -> Path:
    """Where measurements are kept unless told otherwise."""
    return data_folder() / "bench.sqlite"
