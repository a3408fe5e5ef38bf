"""Fetches what customers sent: by the address in the event, else through the implementation.

Sources: https://github.com/botuniverse/onebot-11 (api/public.md: get_image, get_record);
go-cqhttp and NapCat (get_file, get_group_file_url, get_private_file_url).
"""

import binascii
from base64 import b64decode
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from hub.channel import Account, Tools
from hub.errors import Rejected, SendError, Unreachable
from hub.model import Attachment
from outbound.onebot.calls import UPLOAD_S, Actions

__all__ = ["OneBotMedia"]

Ask = tuple[str, Mapping[str, Any]]


class OneBotMedia:
    """The address in an event holds for some hours only; then the implementation has a newer one."""

    def __init__(self, account: Account[Any], tools: Tools) -> None:
        self._actions = Actions(account, tools)
        self._tools = tools

    async def open(self, attachment: Attachment) -> AsyncIterator[bytes]:
        """The bytes; see :class:`hub.channel.MediaSource`."""
        yield await self._read(attachment)

    async def _read(self, attachment: Attachment) -> bytes:
        failure: SendError = Rejected("the event names no file that can be fetched")
        url = str(attachment.source.get("url") or "")
        if url.startswith(("http://", "https://")):
            try:
                return await self._get(url)
            except SendError as error:
                failure = error
        for action, params in _ways(attachment):
            try:
                return await self._asked(action, params)
            except SendError as error:
                failure = error if error.retryable or not failure.retryable else failure
        raise failure

    async def _get(self, url: str) -> bytes:
        answer = await self._tools.http("GET", url)
        if answer.status != 200:
            kind = Unreachable if answer.status >= 500 else Rejected
            raise kind(f"HTTP {answer.status}", external_code=answer.status)
        return answer.body

    async def _asked(self, action: str, params: Mapping[str, Any]) -> bytes:
        """The file that *action* answers with: its bytes, or an address of them."""
        data = await self._actions.call(action, params, timeout=UPLOAD_S / 3)
        facts = data if isinstance(data, Mapping) else {}
        if content := facts.get("base64"):
            try:
                return b64decode(str(content), validate=True)
            except binascii.Error as error:
                raise Rejected(f"{action} gave no base64") from error
        url = str(facts.get("url") or "")
        if url.startswith(("http://", "https://")):
            return await self._get(url)
        raise Rejected("the implementation keeps the file on its own machine only")


def _ways(attachment: Attachment) -> Iterator[Ask]:
    """Actions that may bring the file, likeliest first."""
    source = attachment.source
    file, file_id = source.get("file"), source.get("file_id")
    if file_id and source.get("group_id"):
        yield "get_group_file_url", {"group_id": int(source["group_id"]), "file_id": file_id}
    elif file_id and attachment.kind == "file":
        yield "get_private_file_url", {"file_id": file_id}
    if file and attachment.kind in ("image", "sticker"):
        yield "get_image", {"file": file}
    if file and attachment.kind == "voice":
        yield "get_record", {"file": file, "out_format": "mp3"}
    if file or file_id:
        yield "get_file", {"file_id": file_id or file, "file": file or file_id}
