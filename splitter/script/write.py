"""Writes rendered files: whole or not at all, and never over a file of the user's own."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from splitter.errors import SplitterError, UsageError
from splitter.plan.plan import Plan
from splitter.script.file import MARK, ScriptFile
from splitter.whole_file import write_whole

MARK_WITHIN_BYTES = 512


def anchored(plan: Plan) -> Plan:
    """`plan` with its files named from the root, also those of hf: references that are here: a script may lie and run
    anywhere."""
    settings = plan.settings
    return replace(
        plan,
        facts=replace(plan.facts, path=_lying(plan.facts.path)),
        settings=replace(
            settings,
            mmproj=settings.mmproj and _lying(settings.mmproj),
            draft_model=settings.draft_model and _lying(settings.draft_model),
        ),
    )


def _lying(path: str) -> str:
    if not path.lower().startswith("hf:"):
        return absolute(path)
    from splitter.model.fetch import fetched  # it brings what downloads

    return absolute(fetched(path) or path)


def absolute(path: str) -> str:
    """`path` from the root if it is a file here; references and another system's paths stay as they are."""
    return str(Path(path).absolute()) if Path(path).is_file() else path


def write_files(files: Sequence[ScriptFile], folder: str, force: bool = False) -> tuple[Path, ...]:
    """Writes all `files` into `folder` (made when missing) and returns their paths.

    UsageError, before anything is written, when one would replace a file that splitter did not write, unless `force`.
    SplitterError when the system refuses.
    """
    directory = Path(folder).expanduser()
    targets = [directory / file.name for file in files]
    try:
        foreign = [path for path in targets if not force and _is_foreign(path)]
        if foreign:
            raise UsageError(f"{foreign[0]} exists and was not written by splitter", "choose --name, -o, or --force")
        directory.mkdir(parents=True, exist_ok=True)
        for file, target in zip(files, targets, strict=True):
            write_whole(target, file.content, 0o755 if file.executable else 0o644)
    except OSError as error:
        raise SplitterError(
            f"cannot write {error.filename or directory}: {error.strerror}", "choose another folder with -o"
        ) from error
    return tuple(targets)


def _is_foreign(path: Path) -> bool:
    if not path.exists():
        return False
    with path.open("rb") as file:
        beginning = file.read(MARK_WITHIN_BYTES)
    return not any(MARK.encode(encoding) in beginning for encoding in ("utf-8", "utf-16-le"))
