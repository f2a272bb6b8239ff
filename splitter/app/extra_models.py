"""The headers of the models beside the main one: a draft model (-md) and a multimodal projector (-mm)."""

from collections.abc import Callable
from dataclasses import replace

from splitter.app.events import Events
from splitter.errors import ModelError
from splitter.model.facts import ModelFacts
from splitter.model.load import load_model
from splitter.model.locate import locate
from splitter.model.read_facts import kind_of
from splitter.plan.extra_models import ExtraModels
from splitter.plan.request import Request


def with_extra_models(request: Request, events: Events, fetched: Callable[[str], str] | None = None) -> Request:
    """`request` with the headers of the models it names; `fetched` brings a remote one here. Raises as load_model."""
    fixed, headers = dict(request.fixed), {}
    for name, read in (("draft_model", read_draft), ("mmproj", read_projector)):
        if fixed.get(name):
            fixed[name], headers[name] = _read(fixed[name], read, events, fetched)
    return replace(request, fixed=fixed, draft=headers.get("draft_model"), projector=headers.get("mmproj"))


def _read(
    named: str, read: Callable[[str], ModelFacts], events: Events, fetched: Callable[[str], str] | None
) -> tuple[str, ModelFacts]:
    reference = locate(named)
    reference = fetched(reference) if fetched else reference
    with events.step(f"reading the header of {reference}"):
        return reference, read(reference)


def known_extra_models(draft_model: str | None, mmproj: str | None) -> ExtraModels:
    """What can be read of the models that a written command names; the plan then warns of the others."""
    return ExtraModels(
        _or_none(read_draft, draft_model) if draft_model else None,
        _or_none(read_projector, mmproj) if mmproj else None,
    )


def _or_none(read: Callable[[str], ModelFacts], reference: str) -> ModelFacts | None:
    try:
        return read(reference)
    except ModelError:
        return None


def read_draft(reference: str) -> ModelFacts:
    """The header of a language model."""
    return _of_kind(reference, "model", "-md", "a language model")


def read_projector(reference: str) -> ModelFacts:
    """The header of a projector."""
    return _of_kind(reference, "mmproj", "-mm", "a multimodal projector (its architecture is clip)")


def _of_kind(reference: str, wanted: str, flag: str, what: str) -> ModelFacts:
    facts = load_model(reference)
    if kind_of(facts) != wanted:
        raise ModelError(f"{flag} takes {what}; {reference} is not one.", f"Give {flag} another file.")
    return facts
