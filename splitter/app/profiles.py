"""The steps of `splitter profile new` and `splitter profile set`: values from a plan, a script or one by one."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from splitter.app.events import Events
from splitter.app.wishes import Wishes, ask
from splitter.errors import ProfileError, UsageError
from splitter.folders import config_folder
from splitter.profile.edit import edit_profile
from splitter.profile.files import PATH_KEYS, find_profile, read_text, save_profile
from splitter.profile.keys import BY_PATH, SYNONYMS, nearest
from splitter.profile.profile import RIG_KEYS, built_in, merge, to_request
from splitter.profile.schema import read_layer
from splitter.profile.write import command_values, plan_values
from splitter.shipped import shipped_folder
from splitter.whole_file import write_whole

GIVEN_KEYS = ("engine.path", "engine.version", "margin_mib")


def values_of_script(name: str, wishes: Wishes, events: Events) -> dict[str, Any]:
    """What the script `name` says, under what the command line says; doubts about the script are said."""
    from splitter.app.checking import read_file, text_of
    from splitter.app.taking_over import folder_of, model_in, program_of
    from splitter.engine.reading.kept import not_kept
    from splitter.engine.reading.value import SCRIPT_SUFFIXES

    if not name.lower().endswith(SCRIPT_SUFFIXES):
        raise UsageError(f"{name} is not a script that splitter can read", f"give one of {', '.join(SCRIPT_SUFFIXES)}")
    path = Path(name).expanduser()
    read = read_file(path, wishes)
    for notice in (*read.refusals, *read.notices):
        events.say(f"{path.name}: {notice.message}")
    values = {key: value for key, value in command_values(read).items() if value is not None}
    values = _anchored(values, path.parent)
    folder = folder_of(text_of(path) or "") if path.suffix.lower() in {".bat", ".cmd"} else None
    if folder and read.model and values["model"] == read.model:
        values["model"] = model_in(folder, read.model)
    lost = not_kept(read)
    if lost:
        events.say(f"{path.name}: left out, because a profile has no setting for it: {', '.join(lost)}")
    if any(word.split()[0] == "--launch" for word in lost):
        events.say("for --launch, use `splitter launch --open`")
    return values | program_of(read, path.parent) | _given(wishes)


def values_of_plan(wishes: Wishes, events: Events) -> dict[str, Any]:
    """The solved plan, fixed: planning with these values again gives the same."""
    from splitter.app.planning import plan_model

    planned = plan_model(wishes, events)
    values = plan_values(planned.plan, planned.task.server)
    return _anchored({**values, **rig_values(wishes)}, Path()) | _rig(wishes)


def rig_values(wishes: Wishes) -> dict[str, Any]:
    """The rig, engine and margins that were asked for, as the profile's keys; None where nothing was."""
    profile = ask(wishes).profile
    return {key: profile.get(key) for key in (*RIG_KEYS, *GIVEN_KEYS)} | _rig(wishes)


def _given(wishes: Wishes) -> dict[str, Any]:
    return {**wishes.values} | _rig(wishes)


def _rig(wishes: Wishes) -> dict[str, Any]:
    """The rig of the command line; nothing there means the machine at hand, whichever it is."""
    file = wishes.values.get("rig.file")
    return {"rig.file": str(Path(file).expanduser().resolve())} if file else {}


def _anchored(values: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Paths of files that lie beside `folder`'s script, from the root: a profile may lie and be used anywhere."""

    def absolute(key: str, value: Any) -> Any:
        path = folder / str(value)
        return str(path.resolve()) if key in PATH_KEYS and value and path.is_file() else value

    return {key: absolute(key, value) for key, value in values.items() if value is not None}


def value_of_words(key: str, words: str) -> Any:
    """The text of one command-line word as the profile key `key` wants it; left as it is where it makes no sense."""
    if key not in BY_PATH:
        best = SYNONYMS.get(key.lower()) or nearest(key.rpartition(".")[2], key.rpartition(".")[0])
        raise ProfileError(f"unknown key {key!r}", f"did you mean {best}?" if best else "see `splitter profile schema`")
    kind = BY_PATH[key].kind
    if kind in {"numbers", "texts"}:
        items = tuple(item.strip() for item in words.strip("[]").split(","))
        return tuple(_number(item) for item in items) if kind == "numbers" else items
    if kind == "boolean":
        return {"true": True, "on": True, "yes": True, "false": False, "off": False, "no": False}.get(words, words)
    return _number(words) if kind in {"integer", "number", "context"} else words


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def edit(name: str, key: str, words: str) -> tuple[Path, bool]:
    """The profile `name` with one value changed: where it lies now, and whether that is a copy of a shipped one."""
    path, target, copied = _own(name)
    edited = edit_profile(read_text(path), key, value_of_words(key, words), str(path))
    return _keep(edited, target), copied


def edit_text(name: str, edits: Callable[[str], str | None]) -> tuple[Path, bool, bool]:
    """The profile `name` as `edits` returns its text, and whether that changed it. ProfileError, and the old one stays,
    for text that makes no sense; what was typed is kept beside it."""
    path, target, copied = _own(name)
    text = read_text(path)
    edited = edits(text)
    if edited is None or edited == text:
        return path, False, False
    try:
        return _keep(edited, target), copied, True
    except ProfileError as error:
        beside = target.with_name(target.name + ".rejected")
        beside.parent.mkdir(parents=True, exist_ok=True)
        write_whole(beside, edited)
        raise ProfileError(error.message, f"{error.hint}; the profile is as it was, your text is in {beside}") from None


def _own(name: str) -> tuple[Path, Path, bool]:
    """The file of profile `name`, where an edited one goes, and whether that is a copy of a shipped one."""
    path = find_profile(name)
    copied = path.parent == shipped_folder("profiles")
    return path, config_folder() / "profiles" / path.name if copied else path, copied


def _keep(text: str, target: Path) -> Path:
    to_request(merge([built_in(), read_layer(text, str(target))], target.stem))
    return save_profile(text, str(target), overwrite=True)
