"""Every call of an account leaves by its own proxy, whose address the platforms have listed."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from hub.model import Attachment
from hub.running import opened
from sandbox.wechat import WeChatSimulator
from sandbox.wechat_kefu import KefuSimulator
from sandbox.wecom import WeComSimulator

Simulator = WeChatSimulator | WeComSimulator | KefuSimulator

PLATFORMS: dict[str, Callable[[], Simulator]] = {
    "wechat": WeChatSimulator,
    "wecom": WeComSimulator,
    "wechat_kefu": KefuSimulator,
}
ASKED = {
    "wechat": ["stable_token", "customservice/getkflist", "media/get"],
    "wecom": ["gettoken", "agent/get", "media/get"],
    "wechat_kefu": ["gettoken", "kf/account/list", "media/get"],
}
"""What each call is for: a token, the question of ``hub check``, and a file."""


class Proxy:
    """Forwards each request, and writes down where it went."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    async def forward(self, request: web.Request) -> web.Response:
        self.seen.append(request.raw_path)
        async with (
            aiohttp.ClientSession() as session,
            session.request(
                request.method, request.raw_path, data=await request.read(), headers=request.headers
            ) as answer,
        ):
            body = await answer.read()
            return web.Response(status=answer.status, body=body, content_type=answer.content_type)

    @property
    def calls(self) -> list[str]:
        """The calls in their order, without their queries; repeats are left out."""
        paths = (path.partition("?")[0].rpartition("/cgi-bin/")[2] for path in self.seen)
        return list(dict.fromkeys(paths))


@asynccontextmanager
async def platform_of(channel: str) -> AsyncIterator[Simulator]:
    simulator = PLATFORMS[channel]()
    await simulator.start()
    try:
        yield simulator
    finally:
        await simulator.stop()


def config_of(channel: str, simulator: Simulator, folder: Path, proxy: str) -> Path:
    """A configuration with one account, ``shop``, behind *proxy*."""
    made: Any = simulator.credentials
    own = {
        "wechat": lambda: {"app_id": made.app_id, "app_secret": made.app_secret},
        "wecom": lambda: {"corp_id": made.corp_id, "secret": made.secret},
        "wechat_kefu": lambda: {"corp_id": made.corp_id, "secret": made.secret},
    }[channel]()
    common = {"channel": channel, "token": made.token, "aes_key": made.aes_key, "proxy": proxy}
    values = common | own | {"api_base": simulator.api_base}
    lines = [f'{name} = "{value}"' for name, value in values.items()]
    if channel == "wecom":
        lines.append(f"agent_id = {made.agent_id}")
    config = folder / "hub.toml"
    text = ["[hub]", f'data_dir = "{folder}"', "port = 0", "[accounts.shop]", *lines, ""]
    config.write_text("\n".join(text))
    return config


@pytest.mark.parametrize("channel", sorted(PLATFORMS))
async def test_every_call_leaves_by_the_accounts_proxy(
    channel: str,
    tmp_path: Path,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    aiohttp_server: Any,
) -> None:
    """For a token, for the check and for a file; nothing reaches the platform beside it."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.delenv("REDIS_URL", raising=False)
    proxy, app = Proxy(), web.Application()
    app.router.add_route("*", "/{tail:.*}", proxy.forward)
    address = f"http://127.0.0.1:{(await aiohttp_server(app)).port}"
    async with platform_of(channel) as simulator:
        if isinstance(simulator, KefuSimulator):
            simulator.desks.open("shop")
        kept = simulator.media.put("image", "a.jpg", b"\xff\xd8\xff\xe0 a picture")
        config = config_of(channel, simulator, tmp_path, address)
        async with opened(config, "test") as core:
            running = core.accounts.get("shop")
            assert running is not None
            assert running.checker is not None
            assert running.media is not None
            findings = [one async for one in running.checker.check(None)]
            named = Attachment(kind="image", source={"media_id": kept.media_id})
            content = b"".join([piece async for piece in running.media.open(named)])

    assert [one.name for one in findings if not one.ok] == ["callback URL"]
    assert content == kept.content
    assert proxy.calls == ASKED[channel]
    assert all(path.startswith(simulator.api_base) for path in proxy.seen)
