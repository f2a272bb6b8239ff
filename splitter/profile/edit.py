"""One value of a profile changed in its text; comments, order and layout of everything else stay. Pure."""

from typing import Any

from splitter.errors import ProfileError
from splitter.profile.keys import BY_PATH, Key
from splitter.profile.profile import RIG_KEYS
from splitter.profile.schema import check_value, read_layer
from splitter.profile.write import yaml_value


def edit_profile(text: str, path: str, value: Any, source: str = "profile") -> str:
    """`text` with `path` set to `value`. A rig replaces the rig that was there.

    ProfileError for an unknown key, a wrong value, or a text that is no profile.
    """
    checked = check_value(path, value, source)
    kept = {key: old for key, old in read_layer(text, source).values.items() if not {key, path} <= set(RIG_KEYS)}
    edited = _edited(text, BY_PATH[path], yaml_value(checked))
    if read_layer(edited, source).values != {**kept, path: checked}:
        raise ProfileError(f"{source}: {path} cannot be set without rewriting the file", f"set {path} by hand")
    return edited


def _edited(text: str, key: Key, value: str) -> str:
    import yaml

    root: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    section = _child(root, key.section()) if root is not None and key.section() else root
    if section is None:
        return _append(text, key, value)
    if not isinstance(section, yaml.MappingNode):
        return _replace(text, section, _opened(text, section, key, value))
    found = _child(section, key.name())
    if found is not None:
        return _replace(text, found, value)
    if key.path in RIG_KEYS:
        return _replace(text, section, f"{{{key.name()}: {value}}}")
    return _append(text, key, value) if section is root else _insert(text, section, key, value)


def _child(node: Any, name: str) -> Any:
    pairs = node.value if node.id == "mapping" else ()
    return next((value for key, value in pairs if key.value == name), None)


def _opened(text: str, section: Any, key: Key, value: str) -> str:
    """What stands for a section written as one value (`engine: koboldcpp`, `rig: phoenix`) or left empty."""
    kind = text[section.start_mark.index : section.end_mark.index]
    if key.path == "engine.kind":
        return value
    both = f"kind: {kind}, " if kind and key.section() == "engine" else ""
    return f"{{{both}{key.name()}: {value}}}"


def _insert(text: str, section: Any, key: Key, value: str) -> str:
    """A new key in a section: at the end of `{...}`, or as the first line of a block."""
    if section.flow_style:
        end = section.end_mark.index - 1
        comma = ", " if section.value else ""
        return text[:end].rstrip() + f"{comma}{key.name()}: {value}" + text[end:]
    first = section.value[0][0].start_mark
    return f"{text[: first.index]}{key.name()}: {value}\n{' ' * first.column}{text[first.index :]}"


def _replace(text: str, node: Any, value: str) -> str:
    """The text of one value replaced; an empty value (`key:`) has no text yet, a block moves up to its key."""
    start, end = node.start_mark.index, node.end_mark.index
    if "\n" in text[start:end]:
        body = text[start:end].rstrip()
        return text[:start].rstrip() + f" {value}" + text[start + len(body) :]
    space = " " if text[start - 1 : start] == ":" else ""
    return text[:start] + space + value + text[end:]


def _append(text: str, key: Key, value: str) -> str:
    body = text if not text or text.endswith("\n") else text + "\n"
    line = f"{key.name()}: {value}\n"
    return body + (f"{key.section()}:\n  {line}" if key.section() else line)
