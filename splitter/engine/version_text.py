"""What an engine answers to --version, read. Pure: tests feed captured text."""

import re


def llama_version(text: str) -> str | None:
    """The build number in llama.cpp's answer, else its version, else None.

    Old form `version: 10114 (ed7adbfef)`, new form `version: 0.4.1-dev (build 10989, commit 38a5b42d9)`; a build from
    a source package says build 0, then `0.6.0-dev` is all there is.
    """
    new = re.search(r"^version: (\S+) \(build (\d+),", text, re.MULTILINE)
    if new:
        return new[2] if int(new[2]) else new[1]
    old = re.search(r"^version: (\d+) \(", text, re.MULTILINE)
    return old[1] if old and int(old[1]) else None


def koboldcpp_version(text: str) -> str | None:
    """The release in koboldcpp's answer: "1.115.1" alone on a line (1.81.1 and newer), or in its help (1.74 on)."""
    match = re.search(r"^\s*(\d+\.\d+(?:\.\d+)*)\s*$", text, re.MULTILINE) or re.search(
        r"Version (\d+\.\d+(?:\.\d+)*)", text
    )
    return match[1] if match else None
