"""Where the shipped profiles and examples lie: inside the wheel, or at the root of a source checkout."""

from pathlib import Path


def shipped_folder(name: str) -> Path:
    """The folder `name` ("profiles", "examples"): `splitter/_shipped/NAME` when installed, else the repository's."""
    package = Path(__file__).parent
    installed = package / "_shipped" / name
    return installed if installed.is_dir() else package.parent / name
