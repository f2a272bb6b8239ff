"""YAML text -> a tree of plain values that remember their line. Pure; yaml is imported when first needed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from splitter.errors import ProfileError
from splitter.safe_yaml import check_yaml

MAX_DEPTH = 6

Scalar = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Node:
    """A YAML value and the line (from 1) it stands on: a scalar, a tuple of nodes or a mapping of nodes."""

    value: "Scalar | tuple[Node, ...] | Mapping[str, Node]"
    line: int

    def plain(self) -> Any:
        """The value without its lines: scalars, tuples and dicts."""
        if isinstance(self.value, tuple):
            return tuple(item.plain() for item in self.value)
        if isinstance(self.value, Mapping):
            return {key: item.plain() for key, item in self.value.items()}
        return self.value


def parse_tree(text: str, where: str) -> Mapping[str, Node]:
    """The document in `text`, which must be one mapping (an empty file is an empty one).

    Only plain data is let in: no tags, anchors or aliases, of bounded size (safe_yaml), at most MAX_DEPTH levels;
    everything else is a ProfileError that names `where` and the line.
    """
    import yaml

    try:
        check_yaml(text, where, ProfileError, MAX_DEPTH, "a profile has two levels")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as problem:
        raise _syntax_error(problem, where) from None
    if root is None:
        return {}
    if not isinstance(root, yaml.MappingNode):
        raise ProfileError(f"{where} contains no keys and values", "write lines such as `model: FILE.gguf`")
    return _convert_mapping(root, where)


def _syntax_error(problem: Any, where: str) -> ProfileError:
    mark = getattr(problem, "problem_mark", None)
    place = f"{where}:{mark.line + 1}" if mark else where
    reason = getattr(problem, "problem", None) or getattr(problem, "reason", None) or "unreadable"
    return ProfileError(f"{place}: not valid YAML: {reason}", "check indentation, colons and quotes on that line")


def _convert(node: Any, where: str) -> Node:
    import yaml

    line = node.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode):
        return Node(tuple(_convert(item, where) for item in node.value), line)
    if isinstance(node, yaml.MappingNode):
        return Node(_convert_mapping(node, where), line)
    return Node(_scalar(node, where), line)


def _convert_mapping(node: Any, where: str) -> dict[str, Node]:
    import yaml

    out: dict[str, Node] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            raise ProfileError(f"{where}:{line}: a key must be one word", "write `key: value`")
        if key_node.value in out:
            raise ProfileError(f"{where}:{line}: the key {key_node.value!r} appears twice", "keep one of them")
        value = _convert(value_node, where)
        out[key_node.value] = Node(value.value, line) if not isinstance(value.value, Mapping) else value
    return out


def _scalar(node: Any, where: str) -> Scalar:
    """The scalar as YAML 1.1 reads it; dates stay the text they were written as."""
    import yaml

    if node.tag == "tag:yaml.org,2002:timestamp":
        return str(node.value)
    try:
        value = yaml.constructor.SafeConstructor().construct_object(node)
    except (yaml.YAMLError, ValueError, OverflowError):
        line = node.start_mark.line + 1
        raise ProfileError(f"{where}:{line}: {node.value[:40]!r} cannot be read", "put it in quotes") from None
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return str(node.value)
