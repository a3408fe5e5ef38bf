"""A NoneBot process: an application of OneBot that others wrote. ``python nonebot_app.py URL TOKEN``.

It answers "ping" with "pong", quoting it, and says what it understood of everything else.
"""

import sys

import nonebot
from nonebot import on_message, on_notice
from nonebot.adapters.onebot.v11 import (
    Adapter,
    Bot,
    GroupMessageEvent,
    MessageEvent,
    MessageSegment,
    NoticeEvent,
)


async def answer(bot: Bot, event: MessageEvent) -> None:
    """Plain text, whether it was addressed, and what was quoted."""
    said = event.get_plaintext().strip()
    if said == "ping":
        quoted = MessageSegment.reply(event.message_id) + MessageSegment.text("pong [&,]")
        await bot.send(event, quoted)
        return
    where = f" in {event.group_id}" if isinstance(event, GroupMessageEvent) else ""
    kinds = ",".join(segment.type for segment in event.original_message)
    to_me = " to me" if event.to_me else ""
    await bot.send(event, f"{event.sender.card or event.sender.nickname}{where}{to_me}: {kinds}")


async def tell(bot: Bot, event: NoticeEvent) -> None:
    """The name of the notice, to the one that it is about."""
    user_id = getattr(event, "user_id", None)
    await bot.send_private_msg(user_id=user_id, message=event.get_event_name())


def main() -> None:
    url, token = sys.argv[1:]
    settings = {"onebot_ws_urls": {url}, "onebot_access_token": token, "log_level": "WARNING"}
    nonebot.init(_env_file=None, driver="~aiohttp", **settings)
    nonebot.get_driver().register_adapter(Adapter)
    on_message().append_handler(answer)
    on_notice().append_handler(tell)
    nonebot.run()


if __name__ == "__main__":
    main()
