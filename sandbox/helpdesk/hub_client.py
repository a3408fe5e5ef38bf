"""What the helpdesk asks of the hub, through its public REST API only."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from sandbox.http import read_limited

Json = dict[str, Any]

ANSWER_LIMIT_BYTES = 4 * 1024 * 1024
FILE_LIMIT_BYTES = 25 * 1024 * 1024
TIMEOUT = aiohttp.ClientTimeout(total=15)


class HubError(Exception):
    """The hub said no, or was not there.

    ``status`` is its HTTP status, 0 when there was no answer; the text is the
    problem's own title and detail (RFC 9457).
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class HubClient:
    """A small client of ``/v1``."""

    def __init__(self, base_url: str, token: str = "") -> None:
        self.base_url = base_url.rstrip("/")
        self.token = token
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def reply(self, conversation_id: str, content: Json, *, key: str) -> Json:
        """Say something in a conversation; *key* makes a repeated call harmless.

        Raises:
            HubError
        """
        path = f"/v1/conversations/{conversation_id}/messages"
        return await self._call("POST", path, json=content, headers={"Idempotency-Key": key})

    async def set_state(self, conversation_id: str, state: str) -> Json:
        return await self._call(
            "PATCH", f"/v1/conversations/{conversation_id}", json={"state": state}
        )

    async def decide(self, message_id: str, decision: str) -> Json:
        """A person's word on a message: ``resend`` or ``cancel``."""
        return await self._call("POST", f"/v1/messages/{message_id}/{decision}", json={})

    async def upload(self, filename: str, mime_type: str, content: bytes) -> Json:
        form = aiohttp.FormData(quote_fields=False)
        form.add_field("file", content, filename=filename, content_type=mime_type)
        return await self._call("POST", "/v1/attachments", data=form)

    async def conversations(self, limit: int = 50) -> list[Json]:
        return _items(await self._call("GET", "/v1/conversations", params={"limit": str(limit)}))

    async def conversation(self, conversation_id: str) -> Json:
        return await self._call("GET", f"/v1/conversations/{conversation_id}")

    async def messages(self, conversation_id: str, limit: int = 50) -> list[Json]:
        path = f"/v1/conversations/{conversation_id}/messages"
        return _items(await self._call("GET", path, params={"limit": str(limit)}))

    async def ready(self) -> Json:
        """``{"ok", "status", "detail"}``; a hub that is not there is not ready, and no error."""
        try:
            async with self._http().get(f"{self.base_url}/ready") as response:
                text = (await read_limited(response.content, 20_000)).decode("utf-8", "replace")
                return {
                    "ok": response.status == 200,
                    "status": response.status,
                    "detail": text[:2000],
                }
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return {"ok": False, "status": 0, "detail": str(error)}

    async def file(self, url: str) -> tuple[str, bytes]:
        """Content type and bytes of an attachment. Only the hub's own URLs are followed.

        Raises:
            HubError
        """
        target = url if "://" in url else self.base_url + url
        for _ in range(3):
            if urlsplit(target)[:2] != urlsplit(self.base_url)[:2]:
                raise HubError(0, "the link leads away from the hub")
            try:
                async with self._http().get(
                    target, headers=self._proof, allow_redirects=False
                ) as response:
                    if response.status in (301, 302, 303, 307, 308):
                        target = str(response.url.join(URL(response.headers.get("Location", ""))))
                        continue
                    if response.status != 200:
                        raise HubError(response.status, response.reason or "")
                    return response.content_type, await read_limited(
                        response.content, FILE_LIMIT_BYTES
                    )
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise HubError(0, str(error)) from error
        raise HubError(0, "too many redirects")

    async def _call(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **more: Any
    ) -> Json:
        try:
            async with self._http().request(
                method,
                self.base_url + path,
                headers={**self._proof, **(headers or {})},
                allow_redirects=False,
                **more,
            ) as response:
                body = await read_limited(response.content, ANSWER_LIMIT_BYTES)
                answer = _decoded(body)
                if response.status >= 300:
                    raise HubError(response.status, _problem(response.status, answer))
                return answer
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise HubError(0, f"the hub did not answer: {error or type(error).__name__}") from error

    def _http(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=TIMEOUT)
        return self._session

    @property
    def _proof(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


def _decoded(body: bytes) -> Json:
    try:
        document = json.loads(body or b"{}")
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {"items": document}


def _problem(status: int, answer: Json) -> str:
    parts = [str(answer[name]) for name in ("title", "detail") if answer.get(name)]
    return ": ".join(parts) or f"the hub answered {status}"


def _items(answer: Json) -> list[Json]:
    for name in ("items", "data", "conversations", "messages"):
        found = answer.get(name)
        if isinstance(found, list):
            return [item for item in found if isinstance(item, dict)]
    return []
