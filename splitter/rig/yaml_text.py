"""YAML text -> plain mappings and lists. Pure; yaml is imported when first needed."""

from typing import Any

from splitter.errors import RigError
from splitter.safe_yaml import check_yaml

MAX_DEPTH = 8


def parse_yaml(text: str, where: str) -> Any:
    """The document in `text`: dicts, lists and scalars, a key repeated in a mapping being an error.

    Anchors, aliases and tags other than YAML's own are refused, for a few bytes of them describe gigabytes or code.
    Raises RigError that names `where` and the line.
    """
    import yaml

    try:
        check_yaml(text, where, RigError, MAX_DEPTH, "a rig file takes a line per card")
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        return None if node is None else _plain(loader, node, where)
    except yaml.YAMLError as problem:
        raise RigError(f"{where}{_line(problem)} is not valid YAML", "check indentation, colons and quotes") from None
    except ValueError as problem:
        raise RigError(f"{where} holds a value that cannot be read: {problem}", "quote texts") from None


def _plain(loader: Any, node: Any, where: str) -> Any:
    import yaml

    if isinstance(node, yaml.SequenceNode):
        return [_plain(loader, item, where) for item in node.value]
    if not isinstance(node, yaml.MappingNode):
        return loader.construct_object(node)
    found: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        key = _plain(loader, key_node, where)
        if not isinstance(key, str):
            raise RigError(f"{where}, line {key_node.start_mark.line + 1}: '{key}' is not a key", "keys are words")
        if key in found:
            raise RigError(f"{where}, line {key_node.start_mark.line + 1}: '{key}' is given twice", "keep one")
        found[key] = _plain(loader, value_node, where)
    return found


def _line(problem: Any) -> str:
    mark = getattr(problem, "problem_mark", None)
    return f", line {mark.line + 1}," if mark else ""
