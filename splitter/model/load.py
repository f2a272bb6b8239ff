"""load_model: one reference, local or remote, single file or split set, to ModelFacts."""

import re
from collections.abc import Callable
from pathlib import Path

from splitter.errors import ModelError, ModelNotFoundError
from splitter.model.cursor import DAMAGED_HINT, ByteSource
from splitter.model.facts import ModelFacts
from splitter.model.header import Header, read_header
from splitter.model.read_facts import facts_from_headers
from splitter.model.source import open_local
from splitter.model.split import SplitName, parse_split_name
from splitter.printable import printable

REMOTE = re.compile(r"(hf:|https?://)", re.IGNORECASE)

Opener = Callable[[str], ByteSource]


def is_remote(reference: str) -> bool:
    """Whether a reference names something on the network (hf:..., http://..., https://...)."""
    return REMOTE.match(reference) is not None


def load_model(reference: str) -> ModelFacts:
    """The facts of the model that `reference` names; only headers are read.

    A path (`~` expands), the first part of a split set, hf:OWNER/REPO[/FILE][@REVISION], or an http(s) URL. Raises
    ModelNotFoundError or ModelError with the next step.
    """
    if not reference.strip():
        raise ModelError("No model was named.", "Give a path, hf:OWNER/REPO/FILE or a URL.")
    if is_remote(reference):
        from splitter.model.hub import open_reference, resolve  # the network's modules load only when needed

        headers = read_headers(resolve(reference), open_reference)
        return facts_from_headers(headers, reference)
    path = str(Path(reference).expanduser()) if reference.startswith("~") else reference
    return facts_from_headers(read_headers(path, open_local), path)


def read_headers(name: str, open_source: Opener) -> tuple[Header, ...]:
    """The headers of the file `name` and, where its metadata says so, of the other parts of its split set."""
    source = open_source(name)
    first = read_header(source)
    count = _number(first, "split.count", source.label)
    if count <= 1:
        return (first,)
    split = _check_name(name, first, count, source.label)
    headers = [first, *(_read_part(split, number, open_source) for number in range(2, count + 1))]
    _check_set(headers, source.label)
    return tuple(headers)


def _number(header: Header, key: str, label: str) -> int:
    value = header.metadata.get(key, 0)
    if type(value) is not int or value < 0:
        raise ModelError(f"{label}: damaged header, {key} is not a count.", DAMAGED_HINT)
    return value


def _check_name(name: str, header: Header, count: int, label: str) -> SplitName:
    """The set's naming, once the file is known to be the first part and to be named like one."""
    number = _number(header, "split.no", label) + 1
    split = parse_split_name(name)
    if number != 1:
        first = printable(split.part(1), 200) if split else "the file whose name ends in -00001-of-..."
        raise ModelError(f"{label} is part {number} of a model split into {count}.", f"Name its first part: {first}")
    if split is None or split.number != 1 or split.count != count:
        raise ModelError(
            f"{label} is the first of {count} parts, but its name does not end in -00001-of-{count:05d}.gguf.",
            "Give the parts the names they were published with; llama.cpp finds the others by them.",
        )
    return split


def _read_part(split: SplitName, number: int, open_source: Opener) -> Header:
    name = split.part(number)
    try:
        source = open_source(name)
    except ModelNotFoundError as error:
        raise ModelNotFoundError(
            f"Part {number} of {split.count} of the split model is missing: {printable(name, 200)}.",
            "Download all parts into the same folder.",
        ) from error
    header = read_header(source, part=number - 1)
    claimed = _number(header, "split.no", source.label) + 1
    if claimed != number:
        raise ModelError(
            f"{source.label} is named part {number} but says it is part {claimed}.",
            "Give the parts the names they were published with.",
        )
    return header


def _check_set(headers: list[Header], label: str) -> None:
    names = [tensor.name for header in headers for tensor in header.tensors]
    declared = _number(headers[0], "split.tensors.count", label)
    if len(set(names)) != len(names) or (declared and declared != len(names)):
        raise ModelError(
            f"{label}: the parts do not belong together ({len(names)} tensors, {declared} declared).",
            "Download all parts again from one place.",
        )
