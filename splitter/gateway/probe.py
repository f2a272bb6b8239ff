"""Asks backends over HTTP how they are, from a thread: the same questions that a launch asks its engine."""

import http.client
from dataclasses import dataclass
from typing import cast

from splitter.engine.http import Answer
from splitter.gateway.described import Described, Kind, described, kind_of, pulse_of
from splitter.gateway.standing import Pulse
from splitter.run.endpoint import PAGE_BYTES, ask

PROBE_S = 2.0  # how long a page may take


@dataclass(frozen=True, slots=True)
class Probed:
    """A probe's result; `described` None: not asked, or not ready."""

    pulse: Pulse
    kind: Kind | None = None
    described: Described | None = None


def probe(url: str, api_key: str | None, kind: Kind | None, *, describe: bool) -> Probed:
    """How the server at `url` is; its kind is found out where it is not known, and what it holds where asked for."""

    def page(path: str) -> Answer:
        return ask(url, path, api_key=api_key, timeout_s=PROBE_S, most_bytes=PAGE_BYTES)

    try:
        kind = kind or kind_of(page)
        if kind is None:
            return Probed("loading")
        pulse = cast("Pulse", pulse_of(kind, page))
        return Probed(pulse, kind, described(page) if describe and pulse == "ready" else None)
    except TimeoutError:
        return Probed("silent", kind)
    except (OSError, http.client.HTTPException):
        return Probed("absent", kind)
