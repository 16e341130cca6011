"""The routes of the page: itself, and what it asks for."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from autoal.errors import AutoALError
from autoal.labeling.guard import Guard

if TYPE_CHECKING:  # torch takes seconds to import, and the page is there before
    from autoal.labeling.desk import Desk

__all__ = ["Place", "make_app"]

FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
"""All there is to serve of files of ours, by the whole path."""
STARTING = {"phase": "starting"}
WAIT_S = 1.0


class Place:
    """Where the desk will stand: a page is served from the first moment on, the desk takes seconds."""

    def __init__(self) -> None:
        self.desk: Desk | None = None
        self.taken = threading.Event()

    def take(self, desk: Desk) -> None:
        self.desk = desk
        self.taken.set()


def make_app(place: Place, token: str, embedded: bool = False) -> Guard:
    """The ASGI application. Without the token nothing but the empty page is given out."""

    async def view(request: Request) -> Response:
        if place.desk is None:  # held back a moment, so that the page hears of it at once, without asking all the time
            await run_in_threadpool(place.taken.wait, WAIT_S)
        if place.desk is None:
            return JSONResponse(STARTING)
        return JSONResponse(await run_in_threadpool(place.desk.view))

    async def picture(request: Request) -> Response:
        if place.desk is None:
            return _wrong(503, "the session is being opened; try again")
        try:
            found = await run_in_threadpool(place.desk.picture, request.path_params["row"])
        except AutoALError as error:
            return _wrong(404, str(error))
        return Response(found.content, media_type=found.media_type)

    def doing(act: Callable[[Desk, dict[str, Any]], None]) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> Response:
            desk = place.desk
            if desk is None:
                return _wrong(503, "the session is being opened; try again")
            try:
                given = json.loads(await request.body() or b"{}")
                if not isinstance(given, dict):
                    raise TypeError("wanted an object")
            except (ValueError, TypeError, RecursionError) as error:
                return _wrong(400, f"the request is not JSON as wanted ({error})")

            def work() -> dict[str, Any]:
                act(desk, given)
                return desk.view()

            try:
                return JSONResponse(await run_in_threadpool(work))
            except (KeyError, TypeError) as error:
                return _wrong(400, f"the request lacks something, or holds another type than wanted ({error})")
            except AutoALError as error:
                return _wrong(409, str(error))

        return endpoint

    actions: dict[str, Callable[[Desk, dict[str, Any]], None]] = {
        "label": lambda desk, given: desk.label(_row(given), _text(given, "label")),
        "skip": lambda desk, given: desk.skip(_row(given), foreign=given.get("foreign") is True),
        "undo": lambda desk, given: desk.undo(),
        "class": lambda desk, given: desk.add_class(_text(given, "name")),
        "retry": lambda desk, given: desk.retry(),
    }
    routes = [
        *(Route(path, _file(*about), methods=["GET"]) for path, about in FILES.items()),
        Route("/api/view", view, methods=["GET"]),
        Route("/api/picture/{row:int}", picture, methods=["GET"]),
        *(Route(f"/api/{name}", doing(act), methods=["POST"]) for name, act in actions.items()),
    ]
    return Guard(Starlette(routes=routes), token, embedded)


def _file(name: str, media_type: str) -> Callable[[Request], Any]:
    content = (Path(__file__).with_name("page") / name).read_bytes()

    async def endpoint(request: Request) -> Response:
        return Response(content, media_type=media_type)

    return endpoint


def _row(given: dict[str, Any]) -> int:
    row = given["row"]
    if not isinstance(row, int) or isinstance(row, bool):
        raise TypeError("row")
    return row


def _text(given: dict[str, Any], name: str) -> str:
    value = given[name]
    if not isinstance(value, str):
        raise TypeError(name)
    return value


def _wrong(status: int, message: str) -> Response:
    return JSONResponse({"error": message}, status)
