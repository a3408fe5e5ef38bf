"""One call of an action, by HTTP or through the connection, and what its answer means.

Source: https://github.com/botuniverse/onebot-11 (api/public.md, communication/http.md, ws.md)
"""

from base64 import b64encode
from collections.abc import Mapping
from typing import Any

import msgspec

from hub.channel import Account, HttpAnswer, MediaStore, Tools
from hub.errors import Ambiguous, SendError
from hub.model import ReplyAttachment
from outbound.onebot.errors import STATUSES, error_of

__all__ = ["CALL_S", "FILE_MARK", "UPLOAD_S", "Actions", "judge", "with_file"]

CALL_S = 20.0
UPLOAD_S = 150.0
"""How long an action may take; a file goes through QQ's own servers before there is an answer."""

FILE_MARK = "base64://{{file}}"
"""Stands in an action's parameters where the bytes of its file will be."""


def judge(facts: Any) -> Any:
    """The ``data`` of an answer that says "ok"; ``async`` is taken as ok, its data is nothing.

    Raises:
        SendError: the implementation refused, or what it said cannot be read.
    """
    if not isinstance(facts, Mapping) or "status" not in facts:
        raise Ambiguous("the answer is none of OneBot's")
    if facts["status"] in ("ok", "async") or facts.get("retcode") in (0, 1):
        return facts.get("data")
    texts = (str(facts.get(name) or "") for name in ("message", "wording", "msg"))
    raise error_of(str(facts.get("retcode")), next(filter(None, texts), ""))


async def with_file(
    params: Mapping[str, Any], file: ReplyAttachment | None, media: MediaStore
) -> dict[str, Any]:
    """*params* with the bytes of *file* where their mark stands."""
    if file is None:
        return dict(params)
    content = f"base64://{b64encode(await media.read(file)).decode()}"

    def fill(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: fill(item) for name, item in value.items()}
        if isinstance(value, list):
            return [fill(item) for item in value]
        return content if value == FILE_MARK else value

    filled: dict[str, Any] = fill(dict(params))
    return filled


class Actions:
    """Calls actions of an account's implementation; the connection may be held by another process."""

    def __init__(self, account: Account[Any], tools: Tools) -> None:
        self._settings = account.settings
        self._tools = tools

    async def call(
        self,
        action: str,
        params: Mapping[str, Any],
        *,
        file: ReplyAttachment | None = None,
        timeout: float = CALL_S,
    ) -> Any:
        """The ``data`` of the answer.

        Raises:
            SendError: there is none; the class says whether anything can have happened.
        """
        if self._settings.api_base:
            filled = await with_file(params, file, self._tools.media)
            return judge(await self._post(action, filled, timeout))
        question = {"action": action, "params": dict(params), "timeout": timeout}
        if file is not None:
            question["file"] = msgspec.to_builtins(file)
        answer = await self._tools.relay.ask(question, timeout=timeout + 2.0)
        return judge(answer)

    async def _post(self, action: str, params: Mapping[str, Any], timeout: float) -> Any:
        token = self._settings.access_token
        headers = {"authorization": f"Bearer {token.reveal()}"} if token else {}
        url = f"{self._settings.api_base.rstrip('/')}/{action}"
        answer = await self._tools.http("POST", url, headers=headers, json=params, timeout=timeout)
        if answer.status != 200:
            raise _refused(answer)
        try:
            return answer.json()
        except ValueError:
            raise Ambiguous("the answer is not JSON") from None


def _refused(answer: HttpAnswer) -> SendError:
    kind = STATUSES.get(answer.status, Ambiguous)
    after = answer.headers.get("retry-after", "")
    return kind(
        f"HTTP {answer.status}",
        external_code=answer.status,
        retry_after=float(after) if after.isascii() and after.isdigit() else None,
    )
