"""A group's robot, or a mail address, as the smallest helpdesk: agents answer on a page of the hub.

The link is all that proves an agent, so it is signed, for one ticket, and over after a while. Looking at the
page changes nothing, for chats fetch links to preview them.
"""

from collections.abc import AsyncIterator, Mapping
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

from adapters.helpdesks._answer_page import file_answer, message_page, page
from hub.channel import Check, IntakeRequest, NotAuthentic, NotRecognised, Response
from hub.destination import Callback, Destination, Heard, Line, Seen, Ticket
from outbound.helpdesks._answer_links import Asked
from outbound.helpdesks.group_robot import GroupRobotApi, GroupRobotSettings

__all__ = ["DESTINATION", "GroupRobot"]

MOST_CHARACTERS = 10_000
_FIELDS = 20


class GroupRobot(GroupRobotApi):
    """The connector."""

    async def accept(self, request: IntakeRequest) -> Callback:
        """As :class:`hub.destination.Desk` says: the page, one of its files, or an answer."""
        asked = _asked(request)
        if not self.links.is_genuine(asked):
            raise NotAuthentic("the link is not of this hub")
        if request.received_at.timestamp() > int(asked.expires):
            return _shown(
                message_page(410, "链接已过期，请使用最新消息中的链接。 This link is over.")
            )
        lines = await self._lines(asked.ticket)
        if lines is None:
            return _shown(message_page(404, "请稍后再试。 Not ready yet, please try again."))
        query = self.links.query(asked.ticket, int(asked.expires))
        if request.method == "POST":
            return self._answered(request, asked.ticket, lines, query)
        if request.method not in ("GET", "HEAD"):
            raise NotRecognised(f"method {request.method}")
        if (key := request.single("file")) is not None:
            return _shown(await self._file(asked.ticket, key))
        told = "已收到，正在发送。 Sent." if request.single("done") else ""
        return _shown(self._page(asked.ticket, lines, query, told))

    async def _lines(self, ticket: str) -> list[Line] | None:
        insight = self._tools.insight
        found = await insight.lines(ticket) if insight is not None else None
        return list(found) if found is not None else None

    async def _file(self, ticket: str, key: str) -> Response:
        insight = self._tools.insight
        found = await insight.file(ticket, key) if insight is not None else None
        return file_answer(found) if found is not None else message_page(404, "文件不存在 No file")

    def _page(
        self, ticket: str, lines: list[Line], query: str, told: str = "", draft: str = ""
    ) -> Response:
        zone = ZoneInfo(self.settings.time_zone)
        return page(lines, query, self.links.once(ticket), zone, told=told, draft=draft)

    def _answered(
        self, request: IntakeRequest, ticket: str, lines: list[Line], query: str
    ) -> Callback:
        """The form; sent twice, it is one answer."""
        self._check_origin(request)
        form = _form(request)
        mark = self.links.mark_of(ticket, form.get("once", ""))
        text = form.get("text", "").replace("\r\n", "\n").replace("\0", "").strip()
        if mark is None:
            raise NotAuthentic("the form is not of this hub")
        if not text or len(text) > MOST_CHARACTERS:
            told = f"请输入 1 至 {MOST_CHARACTERS} 个字 Please write something"
            return _shown(self._page(ticket, lines, query, told, text[:MOST_CHARACTERS]))
        heard = Heard(
            ref=f"{ticket}:{mark}",
            order=int(request.received_at.timestamp() * 1000),
            kind="reply",
            text=text,
            author=" ".join(form.get("name", "").split())[:40] or None,
        )
        seen = Seen(ticket=ticket, items=(heard,), state="resolved" if "close" in form else None)
        response = Response(303, b"", {"location": f"?{query}&done=1", "cache-control": "no-store"})
        return Callback(seen=seen, proven=True, final=True, response=response)

    def _check_origin(self, request: IntakeRequest) -> None:
        """Raises NotAuthentic for a form on somebody else's page."""
        origin = urlsplit(request.headers.get("origin", ""))
        own = urlsplit(self._tools.callback_url or "")
        if origin.netloc and own.netloc and origin[:2] != own[:2]:
            raise NotAuthentic("the form is on another page")

    async def look(self, ticket: Ticket, after: int | None) -> Seen:
        """As :class:`hub.destination.Desk` says: a group cannot be read; answers come by the page."""
        return Seen(ticket=ticket.ref)

    async def check(self, callback_url: str | None) -> AsyncIterator[Check]:
        """Where it goes, and whether there is an address for links."""
        mail = self.settings.mail
        yield Check(True, "group", f"mail to {mail.to}" if mail else "a robot (not called now)")
        yield Check(
            callback_url is not None,
            "links",
            "lead to the hub" if callback_url else "hub.public_url is not set",
            None if callback_url else "Without hub.public_url nobody can answer.",
        )


def _shown(response: Response) -> Callback:
    return Callback(seen=None, proven=True, response=response)


def _asked(request: IntakeRequest) -> Asked:
    """What the link says; a field that stands twice could hide one of its values."""
    found = [request.single(name) or "" for name in ("ticket", "expires", "signature")]
    if not all(found) or len(found[0]) > 100:
        raise NotAuthentic("the link is not whole")
    return Asked(*found)


def _form(request: IntakeRequest) -> Mapping[str, str]:
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        raise NotRecognised("it is no form")
    try:
        text = request.body.decode("utf-8")
        found = parse_qs(text, keep_blank_values=True, max_num_fields=_FIELDS, errors="strict")
    except ValueError as error:
        raise NotRecognised("the form cannot be read") from error
    return {name: values[0] for name, values in found.items()}


DESTINATION = Destination(
    key="group_robot",
    title="Group robot or mail address",
    settings=GroupRobotSettings,
    desk=GroupRobot,
    docs_url="https://developer.work.weixin.qq.com/document/path/91770",
)
