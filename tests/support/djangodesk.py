"""The real django-helpdesk as a test's helpdesk, and an agent who works in it by its pages."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

__all__ = ["Agent", "DjangoDesk", "django_desk"]

PROGRAM = Path(__file__).with_name("django_desk.py")
AGENT_ID, HUB_ID = 1, 2


class DjangoDesk:
    """The server's process; it may be stopped and started again."""

    def __init__(self, folder: Path, port: int, callback_url: str) -> None:
        self.folder = folder
        self.port = port
        self.callback_url = callback_url
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        env = os.environ | {
            "DESK_DIR": str(self.folder),
            "HELPDESK_NEW_TICKET_WEBHOOK_URLS": self.callback_url,
            "HELPDESK_FOLLOWUP_WEBHOOK_URLS": self.callback_url,
        }
        with (self.folder / "desk.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                str(PROGRAM),
                f"127.0.0.1:{self.port}",
                env=env,
                stdout=log,
                stderr=log,
            )
        async with asyncio.timeout(60), aiohttp.ClientSession() as http:
            while True:
                try:
                    async with http.get(f"{self.url}/api/") as answer:
                        if answer.status in (200, 403):
                            return
                except aiohttp.ClientError:
                    pass
                if self._process.returncode is not None:
                    raise RuntimeError((self.folder / "desk.log").read_text()[-4000:])
                await asyncio.sleep(0.05)

    async def stop(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


class Agent:
    """A person at the helpdesk: pages with forms, as a browser uses them; the API to look."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self.http = http
        self.url = url

    async def log_in(self) -> None:
        token = await self._token("/login/")
        form = {
            "username": "agent",
            "password": "agent-pass",
            "csrfmiddlewaretoken": token,
            "next": "/",
        }
        async with self.http.post(f"{self.url}/login/", data=form, allow_redirects=False) as answer:
            assert answer.status == 302, await answer.text()

    async def _token(self, path: str) -> str:
        async with self.http.get(self.url + path) as answer:
            text = await answer.text()
        found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', text)
        assert found, text[:2000]
        return found[1]

    async def get(self, path: str) -> Any:
        """What its API shows."""
        headers = {"Authorization": aiohttp.encode_basic_auth("agent", "agent-pass")}
        async with self.http.get(f"{self.url}/api/{path}", headers=headers) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def tickets(self) -> list[dict[str, Any]]:
        found = (await self.get("tickets/?page_size=200"))["results"]
        return sorted(found, key=lambda one: one["id"])

    async def update(
        self,
        ticket: dict[str, Any],
        comment: str = "",
        *,
        public: bool = True,
        status: int | None = None,
        owner: int | None = None,
        file: tuple[str, bytes] | None = None,
    ) -> None:
        """Fill in the form of the ticket's page."""
        now = await self.get(f"tickets/{ticket['id']}/")
        form = aiohttp.FormData(quote_fields=False)
        form.add_field("csrfmiddlewaretoken", await self._token(f"/tickets/{ticket['id']}/"))
        fields = {
            "title": now["title"],
            "queue": now["queue"],
            "priority": now["priority"],
            "comment": comment,
            "new_status": now["status"] if status is None else status,
        }
        if public:
            fields["public"] = "1"
        if owner is not None:
            fields["owner"] = owner
        for name, value in fields.items():
            form.add_field(name, str(value))
        if file is not None:
            form.add_field("attachment", file[1], filename=file[0])
        page = f"{self.url}/tickets/{ticket['id']}/update/"
        async with self.http.post(page, data=form, allow_redirects=False) as answer:
            assert answer.status == 302, await answer.text()


@asynccontextmanager
async def django_desk(
    folder: Path, port: int, callback_url: str
) -> AsyncIterator[tuple[DjangoDesk, Agent]]:
    """A server with nothing in it, and an agent who has logged in."""
    desk = DjangoDesk(folder, port, callback_url)
    await desk.start()
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar) as http:
        agent = Agent(http, desk.url)
        try:
            await agent.log_in()
            yield desk, agent
        finally:
            await desk.stop()
