"""The switches of customer service: its feed, and what people of the enterprise do in WeCom itself."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from sandbox.phones import Field, NotPossible, Switch, Words
from sandbox.switches import TIMES, times
from sandbox.wechat_kefu.desks import QUEUED, Desks

if TYPE_CHECKING:
    from sandbox.wechat_kefu.simulator import KefuSimulator

SERVICER = "lisi"
SAID = Field("text", Words("Words", "内容"), "您好，我是客服李四。")


def desk_switches(simulator: "KefuSimulator") -> tuple[Switch, ...]:
    """A servicer answers, the session is queued or ended, the last message does not arrive."""

    def places(asked: Mapping[str, str]) -> list[tuple[str, str]]:
        """Every desk where the customer has been."""
        found = [
            (desk.open_kfid, customer)
            for desk in simulator.desks.all()
            for customer in desk.sessions
            if asked["customer"] in ("", customer)
        ]
        if not found:
            raise NotPossible("this customer has not written yet")
        return found

    async def answer(asked: Mapping[str, str]) -> None:
        for desk, customer in places(asked):
            simulator.answer_in_wecom(desk, customer, SERVICER, asked["text"])
            await simulator.ring(desk)

    async def end(asked: Mapping[str, str]) -> None:
        for desk, customer in places(asked):
            simulator.end(desk, customer)
            await simulator.ring(desk)

    def queue(asked: Mapping[str, str]) -> None:
        for desk, customer in places(asked):
            simulator.desks.get(desk).session(customer).state = QUEUED

    async def lose(asked: Mapping[str, str]) -> None:
        sent = simulator.log("send")
        for desk, customer in places(asked):
            ids = [one["msgid"] for one in sent if one["customer"] == customer and "msgid" in one]
            if not ids:
                raise NotPossible("nothing has been said to this customer yet")
            simulator.lose(desk, customer, ids[-1])
            await simulator.ring(desk)

    return (
        Switch(
            "servicer_answers",
            Words("A colleague answers in WeCom", "同事在企业微信里回复"),
            Words("They have the session from now on.", "此后会话由该同事接待。"),
            answer,
            (SAID,),
        ),
        Switch(
            "queue_session",
            Words("Put into WeCom's queue", "进入待接入池"),
            Words(
                "The session waits there for a person (95018).", "会话在待接入池中等人（95018）。"
            ),
            queue,
        ),
        Switch(
            "end_session",
            Words("End the session", "结束会话"),
            Words("With a code for one goodbye within 20 s.", "附 20 秒内可用一次的结束语凭证。"),
            end,
        ),
        Switch(
            "lose_last",
            Words("The last answer does not arrive", "最后一条发送失败"),
            Words(
                "msg_send_fail, fail_type 10: refused.", "msg_send_fail，fail_type 10：客户拒收。"
            ),
            lose,
        ),
    )


def feed_switches(desks: Desks) -> tuple[Switch, ...]:
    """Items that come twice, and out of order."""

    def twice(asked: Mapping[str, str]) -> None:
        desks.twice += times(asked)

    def mix(asked: Mapping[str, str]) -> None:
        desks.mixed += times(asked)

    return (
        Switch(
            "deliver_twice",
            Words("Deliver twice", "重复下发"),
            Words("The next items stand twice in the feed.", "接下来的消息在列表里出现两次。"),
            twice,
            (TIMES,),
        ),
        Switch(
            "out_of_order",
            Words("Deliver out of order", "乱序下发"),
            Words("The next item comes after the one behind it.", "下一条排到后一条之后。"),
            mix,
            (TIMES,),
        ),
    )


def pending_items(desks: Desks) -> list[str]:
    """What is still to happen to the feed."""
    found = {"deliver twice": desks.twice, "out of order": desks.mixed}
    return [f"{name} × {count}" for name, count in found.items() if count]
