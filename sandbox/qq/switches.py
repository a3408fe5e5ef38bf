"""What can go wrong with the QQ bot platform."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from sandbox.phones import Switch, SwitchBoard, Words
from sandbox.switches import TIMES, call_switches, described, times, well_again_switch

if TYPE_CHECKING:
    from sandbox.qq.simulator import QqSimulator

__all__ = ["qq_board"]

Asked = Mapping[str, str]


def qq_board(simulator: "QqSimulator") -> SwitchBoard:
    """The switches of *simulator*."""
    return SwitchBoard(_Switches(simulator).all(), lambda: _pending(simulator))


class _Switches:
    """Each switch, as what it does to the simulator."""

    def __init__(self, simulator: "QqSimulator") -> None:
        self._simulator = simulator

    def all(self) -> tuple[Switch, ...]:
        return (*self._rules(), *self._events(), *self._calls())

    def _rules(self) -> tuple[Switch, ...]:
        return (
            Switch(
                "expire_token",
                Words("Expire the token", "让令牌过期"),
                Words(
                    "Every access token is over now: the next call gets 11244.",
                    "所有令牌立即过期，下次调用得到 11244。",
                ),
                self._expire,
            ),
            Switch(
                "close_window",
                Words("Close the window", "关闭回复窗口"),
                Words(
                    "What this person wrote cannot be answered any more.", "此人的消息不能再回复。"
                ),
                self._close,
            ),
            Switch(
                "review",
                Words("Review the next message", "审核下一条消息"),
                Words(
                    "It is held until its review ends, with one of the switches below.",
                    "消息暂不发出，直到用下面的开关结束审核。",
                ),
                self._review,
                (TIMES,),
            ),
            Switch(
                "pass_review",
                Words("The review passes", "审核通过"),
                Words("All that is under review goes out.", "审核中的消息全部发出。"),
                self._pass,
            ),
            Switch(
                "refuse_review",
                Words("The review refuses", "审核不通过"),
                Words("Nothing that is under review goes out.", "审核中的消息全部拒绝。"),
                self._refuse,
            ),
        )

    def _events(self) -> tuple[Switch, ...]:
        return (
            Switch(
                "deliver_twice",
                Words("Deliver twice", "重复推送"),
                Words("The next events come twice.", "接下来的事件会重复一次。"),
                self._twice,
                (TIMES,),
            ),
            Switch(
                "cut",
                Words("Cut the gateway", "断开网关"),
                Words("Clients come back and resume.", "客户端会重连并续传。"),
                self._cut,
            ),
        )

    def _calls(self) -> tuple[Switch, ...]:
        return (
            *call_switches(self._simulator.faults, "/v2/", "50055001"),
            well_again_switch(self._simulator.faults, self._well),
        )

    def _expire(self, _asked: Asked) -> None:
        self._simulator.tokens.expire_all()

    def _close(self, asked: Asked) -> None:
        customer = asked["customer"]
        self._simulator.chats.close(f"c2c:{customer}" if customer else "")

    def _review(self, asked: Asked) -> None:
        self._simulator.api.audited += times(asked)

    async def _pass(self, _asked: Asked) -> None:
        for audit in list(self._simulator.api.under_review):
            await self._simulator.decide(audit)

    async def _refuse(self, _asked: Asked) -> None:
        for audit in list(self._simulator.api.under_review):
            await self._simulator.decide(audit, passed=False)

    def _twice(self, asked: Asked) -> None:
        self._simulator.pusher.twice += times(asked)

    def _cut(self, _asked: Asked) -> None:
        self._simulator.gateway.cut()

    def _well(self) -> None:
        simulator = self._simulator
        simulator.pusher.twice = simulator.api.audited = 0


def _pending(simulator: "QqSimulator") -> list[str]:
    states = {
        f"review × {simulator.api.audited}": simulator.api.audited > 0,
        f"under review: {len(simulator.api.under_review)}": bool(simulator.api.under_review),
        f"deliver twice × {simulator.pusher.twice}": simulator.pusher.twice > 0,
    }
    faults = map(described, simulator.faults.waiting())
    return [*faults, *(name for name, is_on in states.items() if is_on)]
