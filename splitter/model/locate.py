"""Finds the model that a name means; a path is one already, and nothing is looked up for it."""

import os
from typing import TYPE_CHECKING

from splitter.errors import ModelError, ModelNotFoundError
from splitter.model.names import is_plain_path, listed, matching, nearest
from splitter.model.source import open_local
from splitter.printable import printable

if TYPE_CHECKING:
    from splitter.model.caches import Surroundings


def locate(reference: str, around: "Surroundings | None" = None) -> str:
    """The path of a model's name in the caches; a path or a remote reference comes back as it is.

    ModelError when several models answer to the name, ModelNotFoundError (open_local's sentence, with the nearest
    names) when none does. With HF_HUB_OFFLINE, hf:OWNER/REPO[/FILE] is looked for in the caches too.
    """
    if reference.lower().startswith(("hf:", "http://", "https://")):
        return _if_offline(reference, around)
    if not reference.strip() or is_plain_path(reference) or os.path.lexists(reference):
        return reference
    return _one(reference, reference, around)


def _if_offline(reference: str, around: "Surroundings | None") -> str:
    from splitter.model.hub import is_offline  # brings urllib along, which a local model does not need

    if not reference.lower().startswith("hf:") or not is_offline():
        return reference
    from splitter.model.hub_reference import parse_hub_reference

    wanted = parse_hub_reference(reference)
    return _one(f"{wanted.repo}/{wanted.file}" if wanted.file else wanted.repo, reference, around)


def _one(name: str, reference: str, around: "Surroundings | None") -> str:
    from splitter.model.found import find_models

    found = find_models(around).models
    matches = matching(name, found)
    if len(matches) == 1:
        return matches[0].path
    if matches:
        names = listed([f"{printable(model.name)} ({model.source})" for model in matches])
        raise ModelError(
            f"{printable(reference)} could mean {len(matches)} models.", f"Name one of them, or its path: {names}."
        )
    near = listed([printable(near) for near in nearest(name, found)])
    hint = f"Nearest in the caches: {near}." if near else "`splitter models` lists what the caches hold."
    if name != reference:
        raise ModelNotFoundError(f"{printable(reference)} is not in the caches, and HF_HUB_OFFLINE is set.", hint)
    try:
        open_local(reference)
    except ModelNotFoundError as error:
        raise ModelNotFoundError(error.message, f"{error.hint} {hint}".strip()) from None
    return reference
