"""`splitter pull`: a model of the Hugging Face Hub to this computer, and which one where a repository holds several."""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from splitter.app.events import Events
from splitter.app.planning import fetch_model
from splitter.app.ranking import Ranking, rank, several_models
from splitter.app.wishes import Wishes, ask
from splitter.errors import DoesNotFitError, ModelError

BARE = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*(?:/.+)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Pulled:
    """Where the model lies now, and its size, all parts of a split set; `ranking` is the choice among a repository's
    files, None where one was named."""

    reference: str
    path: str
    size_bytes: int
    ranking: Ranking | None

    def data(self) -> dict[str, Any]:
        """As JSON has it."""
        reason = self.ranking.advice.reason if self.ranking else None
        return {"model": self.reference, "path": self.path, "bytes": self.size_bytes, "reason": reason}


def pull(wishes: Wishes, events: Events, to: str | None = None) -> Pulled:
    """Fetches the model that is named, or the one of a repository that this rig runs best. DoesNotFitError where none
    of several fits, ModelError where they are different models: then one has to be named.

    `to` puts it where another program finds it too: lm-studio, llama.cpp, koboldcpp or a folder.
    """
    from splitter.model.fetch import size_here
    from splitter.model.placing import place_named, put

    place = place_named(to)

    reference = _reference(ask(wishes).model())
    wishes = replace(wishes, values={**wishes.values, "model": reference})
    choice = several_models(wishes, events)
    ranking = None if choice is None else rank(choice, events)
    if ranking is not None:
        if ranking.recommended is None:
            named = f"name one: splitter pull {reference}/FILE.gguf; `splitter plan {reference}` lists them"
            error = ModelError if ranking.advice.fits() else DoesNotFitError
            raise error(f"{ranking.name}: {ranking.advice.reason}", named)
        reference = ranking.recommended
        events.say(f"{ranking.advice.recommended}: {ranking.advice.reason}")
    path = fetch_model(reference, events)
    if place is not None:
        path, way = put(place, reference, path)
        events.say(f"in {place.folder} ({place.reason}): {way}")
    else:
        events.say("in the Hugging Face cache, where splitter and llama.cpp's -hf find it")
    return Pulled(reference, path, size_here(path), ranking)


def _reference(text: str) -> str:
    """OWNER/REPO is the Hub's, unless it is a path here."""
    if text.lower().startswith("hf:"):
        return text
    if BARE.fullmatch(text) and not Path(text).exists():
        return f"hf:{text}"
    raise ModelError(f"{text} does not name a model of the Hugging Face Hub.", "Write hf:OWNER/REPO[/FILE.gguf].")
