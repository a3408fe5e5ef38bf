"""The helpdesk's web side: the webhook, the page, what the page asks, and live news by SSE."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

from aiohttp import BodyPartReader, web

from sandbox.files import File, picture_type
from sandbox.helpdesk.desk import Helpdesk
from sandbox.helpdesk.faults import DeskFault
from sandbox.helpdesk.guard import Guard
from sandbox.helpdesk.hub_client import HubError
from sandbox.helpdesk.phone import Phone
from sandbox.http import Handler, serve
from sandbox.phones import NotPossible

Json = dict[str, Any]

MAX_REQUEST_BYTES = 12 * 1024 * 1024
NEWS_KEPT_PER_PAGE = 500
HEARTBEAT_SECONDS = 15.0
READY_EVERY_SECONDS = 4.0
STATIC_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


class HelpdeskSite:
    """Serves one helpdesk on loopback.

    Args:
        phone: the customers' side; without it the page shows the desk alone.
        control: whether ``/_control`` answers, for tests in other processes.
        readme: shown under ``/readme``.
        api_page: where the hub explains its API.
    """

    def __init__(
        self,
        desk: Helpdesk,
        phone: Phone | None = None,
        *,
        token: str | None = None,
        control: bool = False,
        readme: Path | None = None,
        api_page: str = "/v1/docs",
    ) -> None:
        self.guard = Guard(token)
        self.port = 0
        self._desk = desk
        self._phone = phone
        self._control = control
        self._readme = readme
        self._api_page = api_page
        self._runner: web.AppRunner | None = None
        self._pages: set[asyncio.Queue[tuple[str, Json] | None]] = set()
        self._watcher: asyncio.Task[None] | None = None
        self._ready: Json | None = None

    @property
    def url(self) -> str:
        """The link to print: it carries the key to the page."""
        return f"http://127.0.0.1:{self.port}/?token={self.guard.token}"

    @property
    def webhook_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/webhook"

    async def start(self, port: int = 0) -> None:
        app = web.Application(
            middlewares=[self.guard.middleware], client_max_size=MAX_REQUEST_BYTES
        )
        app.add_routes(self._routes())
        self._runner, self.port = await serve(app, "127.0.0.1", port)
        self._desk.listeners.append(self._publish)
        if self._phone is not None:
            self._phone.listeners.append(self._publish)
        self._watcher = asyncio.get_running_loop().create_task(self._watch_hub())

    async def stop(self) -> None:
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)
        for page in list(self._pages):
            page.put_nowait(None)
        if self._publish in self._desk.listeners:
            self._desk.listeners.remove(self._publish)
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def _routes(self) -> list[web.RouteDef]:
        routes = [
            web.post("/webhook", self._desk.receive),
            web.get("/", self._page),
            web.get("/static/{name}", self._static),
            web.get("/readme", self._readme_page),
            web.get("/api/state", self._state),
            web.get("/api/news", self._news),
            web.get("/api/conversations/{id}", self._conversation),
            web.post("/api/conversations/{id}/reply", _asked(self._reply)),
            web.post("/api/conversations/{id}/read", _asked(self._read)),
            web.post("/api/conversations/{id}/state", _asked(self._set_state)),
            web.post("/api/messages/{id}/{decision:resend|cancel}", _asked(self._decide)),
            web.post("/api/attachments", _mapped(self._upload)),
            web.get("/api/attachments/{id}", _mapped(self._attachment)),
        ]
        if self._phone is not None:
            routes += [
                web.post("/api/phone/{person}/mail", _asked(self._phone_mail)),
                web.post("/api/phone/{person}/{app}/{chat}", _mapped(self._phone_act)),
                web.post("/api/switch/{app}/{switch}", _asked(self._switch)),
                web.get("/api/media/{app}/{media_id}", _mapped(self._phone_media)),
            ]
        if self._control:
            routes += [
                web.get("/_control/log", self._log),
                web.post("/_control/fault", _asked(self._fault)),
            ]
        return routes

    # The page ------------------------------------------------------------

    async def _page(self, request: web.Request) -> web.Response:
        html = (
            resources.files("sandbox")
            .joinpath("templates", "helpdesk.html")
            .read_text(encoding="utf-8")
        )
        return web.Response(text=html, content_type="text/html")

    async def _static(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        kind = STATIC_TYPES.get(Path(name).suffix)
        file = resources.files("sandbox").joinpath("static", name)
        if kind is None or "/" in name or not file.is_file():
            raise web.HTTPNotFound
        return web.Response(body=file.read_bytes(), content_type=kind, charset="utf-8")

    async def _readme_page(self, request: web.Request) -> web.Response:
        if self._readme is None or not self._readme.is_file():
            raise web.HTTPNotFound
        return web.Response(
            text=self._readme.read_text(encoding="utf-8"), content_type="text/plain"
        )

    async def _state(self, request: web.Request) -> web.Response:
        """Everything the page needs to begin, or to begin again after a broken connection."""
        return web.json_response(
            {
                "conversations": [each.summary() for each in self._desk.inbox.conversations()],
                "health": self._desk.health(),
                "hub": self._ready or await self._desk.hub.ready(),
                "phone": self._phone.state() if self._phone else None,
                "links": {
                    "readme": "/readme" if self._readme and self._readme.is_file() else None,
                    "api": self._desk.hub.base_url + self._api_page,
                },
            }
        )

    async def _conversation(self, request: web.Request) -> web.Response:
        conversation = self._desk.inbox.get(request.match_info["id"])
        if conversation is None:
            raise web.HTTPNotFound
        return web.json_response(
            {
                "conversation": conversation.summary(),
                "messages": list(conversation.messages.values()),
            }
        )

    # Live news -----------------------------------------------------------

    async def _news(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events. A page that falls behind is cut off and begins again."""
        response = web.StreamResponse(
            headers={
                "Content-Type": "text/event-stream",
                "Cache-Control": "no-store",
                "X-Accel-Buffering": "no",
            }
        )
        await response.prepare(request)
        page: asyncio.Queue[tuple[str, Json] | None] = asyncio.Queue(NEWS_KEPT_PER_PAGE)
        self._pages.add(page)
        try:
            await response.write(b"retry: 1000\n\n")
            while news := await _next(page):
                await response.write(news)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._pages.discard(page)
        return response

    def _publish(self, topic: str, news: Json) -> None:
        for page in list(self._pages):
            try:
                page.put_nowait((topic, news))
            except asyncio.QueueFull:
                self._pages.discard(page)
                page.get_nowait()
                page.put_nowait(None)

    async def _watch_hub(self) -> None:
        while True:
            ready = await self._desk.hub.ready()
            if ready != self._ready:
                self._ready = ready
                self._publish("hub", ready)
            await asyncio.sleep(READY_EVERY_SECONDS)

    # What an agent does --------------------------------------------------

    async def _reply(self, request: web.Request, asked: Json) -> Json:
        content: Json = {}
        if isinstance(asked.get("text"), str) and asked["text"].strip():
            content["text"] = asked["text"]
        if asked.get("attachments"):
            content["attachments"] = [{"id": str(each)} for each in asked["attachments"]]
        if isinstance(asked.get("choices"), list) and asked["choices"]:
            content["menu"] = _menu(content.pop("text", ""), asked["choices"])
        if not content:
            raise NotPossible("nothing to send")
        return await self._desk.answer(
            request.match_info["id"], content, key=str(asked.get("key") or "") or None
        )

    async def _read(self, request: web.Request, asked: Json) -> Json:
        self._desk.read(request.match_info["id"])
        return {}

    async def _set_state(self, request: web.Request, asked: Json) -> Json:
        await self._desk.set_state(request.match_info["id"], str(asked.get("state")))
        return {}

    async def _decide(self, request: web.Request, asked: Json) -> Json:
        await self._desk.decide(request.match_info["id"], request.match_info["decision"])
        return {}

    async def _upload(self, request: web.Request) -> web.Response:
        file = await _uploaded(request)
        return web.json_response(
            await self._desk.hub.upload(file.filename, file.mime_type, file.content)
        )

    async def _attachment(self, request: web.Request) -> web.Response:
        attachment = self._desk.inbox.find_attachment(request.match_info["id"])
        if attachment is None or not attachment.get("url"):
            raise web.HTTPNotFound
        _, content = await self._desk.hub.file(str(attachment["url"]))
        return _file(content, attachment.get("filename") or attachment["id"])

    # What a customer does ------------------------------------------------

    async def _phone_act(self, request: web.Request) -> web.Response:
        """``{"action", "fields"}`` as JSON, or as the field ``asked`` of a form with a file."""
        file: File | None = None
        if request.content_type == "application/json":
            body = await request.read()
        elif request.content_type.startswith("multipart/"):
            body, file = await _asked_with_file(request)
        else:
            return web.json_response({"error": "send application/json"}, status=415)
        asked = _object(body)
        fields, where = asked.get("fields"), request.match_info
        await self._needed_phone.act(
            where["person"],
            where["app"],
            where["chat"],
            str(asked.get("action")),
            fields if isinstance(fields, dict) else {},
            file,
        )
        return web.json_response({})

    async def _switch(self, request: web.Request, asked: Json) -> Json:
        fields, where = asked.get("fields"), request.match_info
        return await self._needed_phone.throw(
            where["app"],
            where["switch"],
            str(asked.get("person")),
            fields if isinstance(fields, dict) else {},
        )

    async def _phone_mail(self, request: web.Request, asked: Json) -> Json:
        await self._needed_phone.mail(request.match_info["person"], asked)
        return {}

    async def _phone_media(self, request: web.Request) -> web.Response:
        found = self._needed_phone.file(request.match_info["app"], request.match_info["media_id"])
        return _file(found.content, found.filename)

    @property
    def _needed_phone(self) -> Phone:
        assert self._phone is not None  # noqa: S101 - the routes exist only with a phone
        return self._phone

    # Tests ---------------------------------------------------------------

    async def _log(self, request: web.Request) -> web.Response:
        after, kind = int(request.query.get("after", 0)), request.query.get("kind")
        entries = self._desk.journal.entries(kind, after=after)
        return web.json_response({"entries": entries, "last": len(self._desk.journal)})

    async def _fault(self, request: web.Request, asked: Json) -> Json:
        """A ``DeskFault`` as JSON; an empty object: be good again."""
        self._desk.misbehave(DeskFault(**asked) if asked else None)
        return {}


async def _next(page: "asyncio.Queue[tuple[str, Json] | None]") -> bytes | None:
    """The next piece of the event stream; None when the page is cut off."""
    try:
        async with asyncio.timeout(HEARTBEAT_SECONDS):
            news = await page.get()
    except TimeoutError:
        return b": still here\n\n"
    if news is None:
        return None
    topic, document = news
    return f"event: {topic}\ndata: {json.dumps(document, ensure_ascii=False)}\n\n".encode()


def _mapped(act: Callable[[web.Request], Awaitable[web.Response]]) -> Handler:
    """Turn what can go wrong into an answer that the page can show."""

    async def handler(request: web.Request) -> web.StreamResponse:
        try:
            return await act(request)
        except (NotPossible, TypeError, ValueError) as error:
            return web.json_response({"error": str(error)}, status=400)
        except HubError as error:
            return web.json_response({"error": str(error), "hub_status": error.status}, status=502)

    return handler


def _asked(act: Callable[[web.Request, Json], Awaitable[Json]]) -> Handler:
    async def read_and_act(request: web.Request) -> web.Response:
        if request.content_type != "application/json":
            return web.json_response({"error": "send application/json"}, status=415)
        return web.json_response(await act(request, _object(await request.read())))

    return _mapped(read_and_act)


def _menu(title: str, labels: list[Any]) -> Json:
    """A menu as the hub's API takes it; the choices are numbered from 1."""
    choices = [{"id": str(n), "label": str(label)} for n, label in enumerate(labels, start=1)]
    return {"title": title, "choices": choices}


def _object(body: bytes) -> Json:
    """
    Raises:
        NotPossible: it is no JSON object.
        ValueError: it is no JSON.
    """
    asked = json.loads(body or b"{}")
    if not isinstance(asked, dict):
        raise NotPossible("send a JSON object")
    return asked


async def _asked_with_file(request: web.Request) -> tuple[bytes, File | None]:
    """The field ``asked`` of a form, and its file."""
    asked, file = b"", None
    async for part in await request.multipart():
        if not isinstance(part, BodyPartReader):
            continue
        if part.filename:
            kind = part.headers.get("Content-Type", "application/octet-stream")
            file = File(part.filename, kind, bytes(await part.read()))
        elif part.name == "asked":
            asked = bytes(await part.read())
    return asked, file


async def _uploaded(request: web.Request) -> File:
    """
    Raises:
        NotPossible: there is no file in the form.
    """
    if not request.content_type.startswith("multipart/"):
        raise NotPossible("send a form with a file")
    async for part in await request.multipart():
        if isinstance(part, BodyPartReader) and part.filename:
            kind = part.headers.get("Content-Type", "application/octet-stream")
            return File(part.filename, kind, bytes(await part.read()))
    raise NotPossible("there is no file in the form")


def _file(content: bytes, filename: str) -> web.Response:
    """Pictures are shown, judged by their bytes; everything else is only downloaded."""
    kind = picture_type(content)
    disposition = "inline" if kind else f"attachment; filename*=UTF-8''{quote(str(filename))}"
    headers = {
        "Content-Disposition": disposition,
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }
    return web.Response(
        body=content, content_type=kind or "application/octet-stream", headers=headers
    )
