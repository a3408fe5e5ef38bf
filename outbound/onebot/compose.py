"""From a reply to the actions that say it: always arrays of segments, never CQ strings. Pure.

What a person wrote stands in text segments only, so that it cannot become a CQ code.

Source: https://github.com/botuniverse/onebot-11 (api/public.md, message/segment.md)
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from hub.errors import Unsupported
from hub.model import Draft, Link, Menu, Reply, ReplyAttachment
from hub.text import clean, single_line, split_text
from outbound._plain import text_of_html
from outbound._wechat_parts import kept, noted, place_line
from outbound.onebot.calls import CALL_S, FILE_MARK, UPLOAD_S

__all__ = ["FILE_LIMITS", "TEXT_LIMIT", "Peer", "compose", "peer_of"]

TEXT_LIMIT = 3000
"""Characters of one message. QQ publishes no limit; longer ones are refused or folded."""

FILE_LIMITS: Mapping[str, int] = {
    "image": 10 << 20,
    "voice": 10 << 20,
    "video": 30 << 20,
    "file": 30 << 20,
}
"""Bytes. A file travels as base64 inside of one frame, and NapCat takes frames of 50 MB."""

_SEGMENTS = {"image": "image", "voice": "record", "video": "video"}
_GRACE_S = 10.0
_JSON = {"content-type": "application/json; charset=utf-8", "authorization": "Bearer ***"}


class Peer(NamedTuple):
    """Whom an action speaks to; *group_id* beside a user is the group shared with a stranger."""

    user_id: int | None
    group_id: int | None

    @property
    def is_group(self) -> bool:
        return self.user_id is None

    @property
    def params(self) -> dict[str, int]:
        """As actions name it."""
        named = {"user_id": self.user_id, "group_id": self.group_id}
        return {name: number for name, number in named.items() if number is not None}


def peer_of(reply: Reply) -> Peer:
    """Whom *reply* goes to: its address is a number, or ``group:`` and one.

    Raises:
        Unsupported: it is neither.
    """
    kind, _, number = reply.to.value.rpartition(":")
    whole = number.isascii() and number.isdigit() and len(number) < 19
    if kind not in ("", "private", "group") or not whole:
        raise Unsupported(f"{reply.to.value} is no QQ number or group")
    if kind == "group":
        return Peer(None, int(number))
    shared = str(reply.reply_context.get("group_id") or "")
    return Peer(int(number), int(shared) if shared.isascii() and shared.isdigit() else None)


def compose(reply: Reply, api_base: str | None) -> Sequence[Draft]:
    """The actions that say *reply*, in order; as HTTP calls to *api_base*, else as frames.

    Raises:
        Unsupported: there is nothing to say, or something that cannot be said here.
    """
    if reply.template:
        raise Unsupported("this channel has no templates")
    drafts = _Composer(reply, api_base).drafts()
    if not drafts:
        raise Unsupported("there is nothing to say")
    return drafts


class _Composer:
    """Takes one reply apart; what it had to change stands in *notes*."""

    def __init__(self, reply: Reply, api_base: str | None) -> None:
        self._reply = reply
        self._peer = peer_of(reply)
        self._api_base = api_base
        self._notes: list[str] = []
        self._quote = reply.in_reply_to

    def drafts(self) -> list[Draft]:
        """The text first, then each file as a message of its own."""
        files = list(self._files())
        lines = [*self._lines(), *files_as_lines(files)]
        texts = split_text("\n".join(lines), TEXT_LIMIT, unit="characters") if lines else []
        made = [self._message([_text(part)], text=part) for part in texts]
        made += [self._file(one) for one in files if not isinstance(one, str)]
        return noted(made, self._notes)

    def _lines(self) -> Iterator[str]:
        reply = self._reply
        if reply.subject:
            self._notes.append("subject left out: this channel has none")
        if reply.text and reply.text.strip():
            yield clean(reply.text)
        elif reply.html:
            self._notes.append("html sent as text")
            yield from filter(None, [clean(text_of_html(reply.html))])
        if reply.location:
            self._notes.append("location sent as text: few implementations send one")
            yield place_line(reply.location)
        if reply.link:
            self._notes.append("link sent as text: few implementations send a card")
            yield _link_line(reply.link)
        if reply.menu:
            self._notes.append("menu sent as text: this channel has none")
            yield _menu_lines(reply.menu)

    def _files(self) -> Iterator[ReplyAttachment | str]:
        """Each file, or the line that stands for one that is too large."""
        for one in self._reply.attachments:
            size = one.size_bytes or len(one.content or b"")
            if size <= FILE_LIMITS[one.kind]:
                yield one
                continue
            what = one.filename or one.kind
            if not one.url:
                raise Unsupported(
                    f"{what} ({size} bytes) cannot be sent here: images and voice up to 10 MB, "
                    "video and other files up to 30 MB"
                )
            self._notes.append(f"{what} sent as a link: it is too large for this channel")
            yield f"{what}: {one.url}"

    def _file(self, one: ReplyAttachment) -> Draft:
        if segment := _SEGMENTS.get(one.kind):
            return self._message([_segment(segment, file=FILE_MARK)], file=one)
        name = single_line(one.filename or "file", 200).replace("/", "_").replace("\\", "_")
        where = {"group_id": self._peer.group_id} if self._peer.is_group else self._peer.params
        action = "upload_group_file" if self._peer.is_group else "upload_private_file"
        return self._call(action, {**where, "file": FILE_MARK, "name": name}, file=one)

    def _message(
        self,
        segments: list[Mapping[str, Any]],
        *,
        text: str | None = None,
        file: ReplyAttachment | None = None,
    ) -> Draft:
        if self._quote:
            segments.insert(0, _segment("reply", id=self._quote))
            self._quote = None
        action = "send_group_msg" if self._peer.is_group else "send_private_msg"
        return self._call(action, {**self._peer.params, "message": segments}, text=text, file=file)

    def _call(
        self,
        action: str,
        params: Mapping[str, Any],
        *,
        text: str | None = None,
        file: ReplyAttachment | None = None,
    ) -> Draft:
        by_http = self._api_base is not None
        return Draft(
            method="POST" if by_http else "WS",
            url=f"{(self._api_base or '').rstrip('/')}/{action}",
            headers=_JSON if by_http else {},
            json=params if by_http else {"action": action, "params": params},
            text=text,
            timeout_s=(UPLOAD_S if file else CALL_S) + _GRACE_S,
            extra={"action": action} | ({"attachment": kept(file)} if file else {}),
        )


def files_as_lines(files: Sequence[ReplyAttachment | str]) -> Iterator[str]:
    """The lines among *files*."""
    return (one for one in files if isinstance(one, str))


def _segment(kind: str, **data: str) -> Mapping[str, Any]:
    return {"type": kind, "data": data}


def _text(text: str) -> Mapping[str, Any]:
    return _segment("text", text=text)


def _link_line(link: Link) -> str:
    return "\n".join(filter(None, (link.title, link.description, link.url)))


def _menu_lines(menu: Menu) -> str:
    listed = [f"{number}. {one.label}" for number, one in enumerate(menu.choices, 1)]
    return "\n".join([menu.title, *listed, *filter(None, [menu.footer])])
