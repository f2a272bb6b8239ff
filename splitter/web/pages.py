"""The pages: server-rendered, moved by htmx, live by server-sent events. Words of models and records are text here."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, PackageLoader

from splitter.app.events import Silent
from splitter.app.questions import QUESTIONS, answered
from splitter.bench.report.html_style import STYLE
from splitter.bench.report.svg_defs import definitions
from splitter.errors import SplitterError
from splitter.web.api import event, stream, ticks
from splitter.web.desk import Desk
from splitter.web.door import Door
from splitter.web.drawing import drawn, small_page
from splitter.web.gate import session_cookie
from splitter.web.live import Live
from splitter.web.measured import RecordPages
from splitter.web.plan_page import Plans
from splitter.web.reach import Reach
from splitter.web.work import LongWork, Works

KINDS = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".txt": "text/plain"}
PLACES = (
    ("/plan", "Plan"), ("/run", "Running"), ("/models", "Models"), ("/engines", "Engines"), ("/measure", "Measure"),
    ("/api", "API"),
)  # fmt: skip
BENCH_FIELDS = ("prompt_tokens", "generate", "label")


class Paper:
    """Templates with what every page has."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._templates = Environment(loader=PackageLoader("splitter.web"), autoescape=True)

    def page(self, template: str, here: str, title: str, /, **values: Any) -> HTMLResponse:
        """A whole page."""
        shared = {"title": title, **values, "here": here, "places": PLACES, "csrf": self._door.csrf()}
        return HTMLResponse(self.text(template, definitions=drawn(definitions()), **shared))

    def part(self, template: str, /, **values: Any) -> HTMLResponse:
        """A piece of one."""
        return HTMLResponse(self.text(template, **values))

    def text(self, template: str, /, **values: Any) -> str:
        """The template, filled in."""
        return self._templates.get_template(f"{template}.html").render(**values)


@dataclass(frozen=True)
class Room:
    """What the routes share."""

    reach: Reach
    works: Works
    door: Door
    paths: tuple[str, ...]

    @cached_property
    def paper(self) -> Paper:
        return Paper(self.door)

    @cached_property
    def plans(self) -> Plans:
        return Plans(Desk(), self.reach, self.paths)

    @cached_property
    def live(self) -> Live:
        return Live()

    @cached_property
    def measured(self) -> RecordPages:
        return RecordPages()


def pages(reach: Reach, works: Works, door: Door, paths: tuple[str, ...]) -> APIRouter:
    """All pages."""
    router = APIRouter(include_in_schema=False)
    room = Room(reach, works, door, paths)
    for add in (_static, _sessions, _plan, _running, _working, _watching, _models, _measuring):
        add(router, room)
    return router


def _static(router: APIRouter, room: Room) -> None:
    folder = files("splitter.web").joinpath("static")
    kept = {item.name: item.read_bytes() for item in folder.iterdir() if Path(item.name).suffix in KINDS}
    kept["report.css"] = STYLE.encode()

    @router.get("/static/{name}")
    def static(name: str) -> Response:
        if name not in kept:
            return Response(status_code=404)
        return Response(kept[name], media_type=KINDS[Path(name).suffix])

    @router.get("/alive")
    def alive() -> Response:
        return Response(status_code=204)

    @router.get("/api")
    def described() -> HTMLResponse:
        return room.paper.page("api", "/api", "HTTP API", questions=QUESTIONS.values())


def _sessions(router: APIRouter, room: Room) -> None:
    @router.get("/")
    def first() -> Response:
        return RedirectResponse("/plan", 303)

    @router.get("/login")
    def login() -> HTMLResponse:
        return HTMLResponse(small_page("who are you", "Give the key that `splitter ui` names.", login=True))

    @router.post("/login")
    async def opened(request: Request) -> Response:
        given = parse_qs((await request.body()).decode("utf-8", "replace")).get("key", [""])[0]
        if "origin" not in request.headers or not room.door.opens(given.strip()):
            return HTMLResponse(small_page("that key does not open", "Try again.", login=True), 401)
        answer = RedirectResponse("/plan", 303)
        answer.headers["set-cookie"] = session_cookie(room.door)
        return answer


def _plan(router: APIRouter, room: Room) -> None:
    @router.get("/plan")
    def plan(request: Request) -> HTMLResponse:
        return room.paper.page("plan", "/plan", "Plan", **room.plans.page(dict(request.query_params)))

    @router.get("/part/plan")
    def part(request: Request) -> HTMLResponse:
        return room.paper.part("plan_part", **room.plans.part(dict(request.query_params)))

    @router.get("/download/{kind}")
    def download(kind: str, request: Request) -> Response:
        try:
            name, content = room.plans.file(kind, dict(request.query_params))
        except SplitterError as error:
            return HTMLResponse(small_page(error.message, error.hint), 400)
        safe = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in name)
        return Response(content, media_type="application/octet-stream",
                        headers={"content-disposition": f'attachment; filename="{safe}"'})  # fmt: skip


def _running(router: APIRouter, room: Room) -> None:
    @router.get("/run")
    def run(work: str = "") -> HTMLResponse:
        shown = _shown(room, work) if work else {}
        return room.paper.page("run", "/run", "Running", instances=room.live.instances(), **shown)

    @router.get("/run/events")
    async def all_events(request: Request) -> Response:
        async def told() -> AsyncIterator[str]:
            seen = ""
            async for _ in ticks(request, 1.0):
                text = room.paper.text("instances_part", instances=room.live.instances())
                yield event("instances", text) if text != seen else ""
                seen = text

        return stream(told())

    @router.get("/run/{name}")
    def one(name: str) -> HTMLResponse:
        return room.paper.page("instance", "/run", name, **room.live.of(name))

    @router.get("/run/{name}/events")
    async def events(name: str, request: Request) -> Response:
        async def told() -> AsyncIterator[str]:
            async for _ in ticks(request, 1.0):
                yield event("live", room.paper.text("live_part", **room.live.of(name)))

        return stream(told())

    @router.get("/part/log/{name}")
    def log(name: str, find: str = "") -> HTMLResponse:
        return HTMLResponse(room.live.log(name, find))


def _working(router: APIRouter, room: Room) -> None:
    @router.post("/start/{what:path}")
    async def start(what: str, request: Request) -> Response:
        form = parse_qs((await request.body()).decode("utf-8", "replace"))
        values = {name: found[-1] for name, found in form.items() if found[-1] != ""}
        try:
            return _started(room, what, values)
        except SplitterError as error:
            return Response(f"{error.message}. {error.hint}".strip(), 400, media_type="text/plain")


def _watching(router: APIRouter, room: Room) -> None:
    @router.get("/work/{number}")
    def work(number: str) -> Response:
        try:
            return room.paper.page("work", "/measure", "Work", **_shown(room, number))
        except SplitterError as error:
            return HTMLResponse(small_page(error.message, "It ended long ago, or with the server."), 404)

    @router.get("/work/{number}/events")
    async def events(number: str, request: Request) -> Response:
        try:
            found = room.works.get(number)
        except SplitterError:
            return Response(status_code=204)

        return stream(_work_told(room, found, request))

    @router.post("/work/{number}/cancel")
    def cancel(number: str) -> Response:
        try:
            room.works.get(number).cancel()
        except SplitterError:
            return Response(status_code=404)
        return Response(status_code=204)


async def _work_told(room: Room, work: LongWork, request: Request) -> AsyncIterator[str]:
    """The work's state as markup, each time that it has news, till its end."""
    seen = -1
    async for _ in ticks(request):
        if work.version == seen:
            yield ""
            continue
        seen, ended = work.version, work.ended_at is not None
        yield event("work", room.paper.text("work_state", **_shown(room, work.id)))
        if ended:
            yield event("end", "")
            return


def _started(room: Room, what: str, values: dict[str, Any]) -> Response:
    """Starts what a page's button says, and says where to look."""
    if what == "measure":
        what, values = measure_values(values)
    elif what == "launch":
        values = room.plans.keywords(values)
    if what not in QUESTIONS or QUESTIONS[what].reads:
        raise SplitterError("there is nothing of that name to start", "reload the page")
    room.reach.check(values)
    if QUESTIONS[what].long:
        work = room.works.start(what, values)
        to = f"/run?work={work.id}" if what in {"launch", "restart"} else f"/work/{work.id}"
        return Response(status_code=204, headers={"HX-Redirect": to})
    answer = answered(what, values, Silent())
    if answer["status"] != "ok":
        item = answer["errors"][0]
        return Response(f"{item['message']}. {item['hint']}".strip(), 400, media_type="text/plain")
    return Response(status_code=204, headers={"HX-Refresh": "true"})


def measure_values(form: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    """The question that the measuring form asks, and its values: only those that it knows."""
    what = form.get("what", "bench")
    if what not in {"bench", "bench/alternatives", "tune", "calibrate"}:
        raise SplitterError(f"nothing is measured as {what!r}", "reload the page")
    own = {field.name for field in QUESTIONS[what].fields}
    wanted = {"model", "engine"} if "url" not in form or what != "bench" else set()
    return what, {name: value for name, value in form.items() if name in own | wanted and name != "what"}


def _shown(room: Room, number: str) -> dict[str, Any]:
    work = room.works.get(number)
    return {"work": work, "about": QUESTIONS[work.name].about, "links": tuple(_links(work))}


def _links(work: LongWork) -> list[tuple[str, str]]:
    """Where the answer leads."""
    data = (work.answer or {}).get("data") or {}
    if work.name in {"launch", "restart"} and data.get("name"):
        return [(f"/run/{data['name']}", f"Watch {data['name']}")]
    if work.name == "bench" and data.get("id"):
        return [(f"/record/{data['id']}", "The measurement")]
    rows = [row["record"]["id"] for row in data.get("alternatives", ())] if work.name == "bench/alternatives" else []
    if work.name == "pull" and data.get("path"):
        return [(f"/plan?{urlencode({'model': data['path']})}", "Plan it")]
    return [(f"/record/{number}", f"Measurement {number}") for number in rows if number]


def _models(router: APIRouter, room: Room) -> None:
    @router.get("/models")
    def models(request: Request) -> HTMLResponse:
        return room.paper.page("models", "/models", "Models", given=dict(request.query_params))

    @router.get("/part/models")
    def found(request: Request) -> HTMLResponse:
        return room.paper.part("models_part", **room.plans.models(dict(request.query_params)))

    @router.get("/part/rank")
    def ranked(request: Request) -> HTMLResponse:
        return room.paper.part("models_part", **room.plans.ranked(dict(request.query_params)))

    @router.get("/engines")
    def engines() -> HTMLResponse:
        return room.paper.page("engines", "/engines", "Engines", **room.plans.engines())

    @router.get("/part/doctor")
    def doctor() -> HTMLResponse:
        return room.paper.part("doctor_part", findings=answered("doctor", {}, Silent())["data"]["findings"])


def _measuring(router: APIRouter, room: Room) -> None:
    @router.get("/measure")
    def measure(request: Request) -> HTMLResponse:
        shown = {"given": dict(request.query_params), "models": room.plans.models_known(),
                 "engines": room.plans.engine_names(), "works": room.works.all()[::-1]}  # fmt: skip
        return room.paper.page("measure", "/measure", "Measure", records=room.measured.rows(), **shown)

    @router.get("/record/{number}")
    def record(number: int) -> Response:
        try:
            shown = room.measured.record(number)
        except SplitterError as error:
            return HTMLResponse(small_page(error.message, error.hint), 404)
        return room.paper.page("report", "/measure", f"Measurement {number}", **shown)

    @router.get("/compare")
    def compare(first: int = 0, second: int = 0) -> HTMLResponse:
        return room.paper.page("compare", "/measure", f"{first} over {second}", **room.measured.compared(first, second))
