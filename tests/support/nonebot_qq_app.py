"""A NoneBot process: a QQ bot that others wrote. ``python nonebot_qq_app.py API_BASE APP_ID SECRET``.

It says back what it understood, by its own gateway client and its own calls.
"""

import sys

import nonebot
from nonebot import on_message, on_notice
from nonebot.adapters.qq import Adapter, Bot
from nonebot.adapters.qq.event import (
    C2CMessageCreateEvent,
    FriendAddEvent,
    GroupAtMessageCreateEvent,
    InteractionCreateEvent,
    MessageEvent,
    NoticeEvent,
)


async def answer(bot: Bot, event: MessageEvent) -> None:
    """Plain text, who said it, and what came with it."""
    who = event.get_user_id()
    kinds = ",".join(segment.type for segment in event.get_message())
    if isinstance(event, C2CMessageCreateEvent | GroupAtMessageCreateEvent):
        await bot.send(event, f"{who[:6]}: {event.get_plaintext().strip()} ({kinds})")


async def tell(bot: Bot, event: NoticeEvent) -> None:
    """A new friend is greeted, a tap is acknowledged."""
    if isinstance(event, FriendAddEvent):
        await bot.send_to_c2c(event.openid, "welcome", event_id=event.event_id)
    if isinstance(event, InteractionCreateEvent):
        await bot.put_interaction(interaction_id=event.id, code=0)


def main() -> None:
    base, app_id, secret = sys.argv[1:]
    intent = {"c2c_group_at_messages": True, "interaction": True}
    bots = [{"id": app_id, "token": "", "secret": secret, "intent": intent}]
    settings = {
        "qq_api_base": base,
        "qq_auth_base": f"{base}/app/getAppAccessToken",
        "qq_bots": bots,
        "log_level": "WARNING",
    }
    nonebot.init(_env_file=None, driver="~aiohttp", **settings)
    nonebot.get_driver().register_adapter(Adapter)
    on_message().append_handler(answer)
    on_notice().append_handler(tell)
    nonebot.run()


if __name__ == "__main__":
    main()
