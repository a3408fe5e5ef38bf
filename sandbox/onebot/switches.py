"""What can go wrong with an implementation and its connections."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from sandbox.phones import Switch, SwitchBoard, Words
from sandbox.switches import TIMES, call_switches, described, times, well_again_switch

if TYPE_CHECKING:
    from sandbox.onebot.simulator import OneBotSimulator

__all__ = ["onebot_board"]

Asked = Mapping[str, str]


def onebot_board(simulator: "OneBotSimulator") -> SwitchBoard:
    """The switches of *simulator*."""
    return SwitchBoard(_Switches(simulator).all(), lambda: _pending(simulator))


class _Switches:
    """Each switch, as what it does to the simulator."""

    def __init__(self, simulator: "OneBotSimulator") -> None:
        self._simulator = simulator

    def all(self) -> tuple[Switch, ...]:
        return (*self._connection(), *self._account(), *self._calls())

    def _connection(self) -> tuple[Switch, ...]:
        return (
            Switch(
                "cut",
                Words("Cut the connection", "断开连接"),
                Words("It comes back by itself.", "几秒后自动重连。"),
                self._cut,
            ),
            Switch(
                "half_open",
                Words("Half-open connection", "半开连接"),
                Words(
                    "Nothing moves any more, and nobody is told; the hub finds out.",
                    "连接不再收发数据，也不关闭，由中枢自行发现。",
                ),
                self._half_open,
            ),
            Switch(
                "no_history",
                Words("No history", "不提供历史消息"),
                Words(
                    "As go-cqhttp: what was missed cannot be asked for.",
                    "如 go-cqhttp：无法查询断线期间的消息。",
                ),
                self._no_history,
            ),
            Switch(
                "deliver_twice",
                Words("Deliver twice", "重复推送"),
                Words("The next events come twice.", "接下来的事件会重复一次。"),
                self._twice,
                (TIMES,),
            ),
            Switch(
                "strings",
                Words("Write CQ strings", "使用 CQ 码字符串"),
                Words("Messages come as strings, not as arrays.", "消息以字符串上报，而非数组。"),
                self._strings,
            ),
        )

    def _account(self) -> tuple[Switch, ...]:
        return (
            Switch(
                "offline",
                Words("Account offline", "账号掉线"),
                Words("Heartbeats say that QQ has signed it out.", "心跳显示账号已下线。"),
                self._offline,
            ),
            Switch(
                "muted",
                Words("Mute the account", "禁言"),
                Words("It may not speak in groups.", "账号在群里被禁言。"),
                self._mute,
            ),
            Switch(
                "forget",
                Words("Forget the messages", "遗忘消息编号"),
                Words(
                    "As after a restart: older messages cannot be quoted.",
                    "如同重启之后：旧消息不能再引用。",
                ),
                self._forget,
            ),
        )

    def _calls(self) -> tuple[Switch, ...]:
        return (
            *call_switches(
                self._simulator.faults,
                "send_",
                "1200",
                ways=("errcode", "drop_request", "drop_answer", "late"),
                named=Words("Action", "动作"),
                help=Words(
                    "Counted from now, among the actions that begin so.",
                    "从现在起，按动作名前缀计数。",
                ),
            ),
            well_again_switch(self._simulator.faults, self._well),
        )

    async def _cut(self, _asked: Asked) -> None:
        await self._simulator.cut()

    def _half_open(self, _asked: Asked) -> None:
        self._simulator.go_deaf()

    def _no_history(self, _asked: Asked) -> None:
        self._simulator.actions.tells_history = False

    def _twice(self, asked: Asked) -> None:
        self._simulator.repeats += times(asked)

    def _strings(self, _asked: Asked) -> None:
        self._simulator.events.format = "string"

    def _offline(self, _asked: Asked) -> None:
        self._simulator.is_online = False

    def _mute(self, _asked: Asked) -> None:
        self._set_muted(True)

    def _set_muted(self, is_muted: bool) -> None:
        for group in self._simulator.world.groups.values():
            group.is_muted = is_muted

    def _forget(self, _asked: Asked) -> None:
        self._simulator.world.forget()

    def _well(self) -> None:
        simulator = self._simulator
        simulator.repeats = 0
        simulator.is_online = simulator.actions.tells_history = True
        simulator.events.format = "array"
        self._set_muted(False)


def _pending(simulator: "OneBotSimulator") -> list[str]:
    states = {
        "account offline": not simulator.is_online,
        "no history": not simulator.actions.tells_history,
        "CQ strings": simulator.events.format == "string",
        "muted": any(group.is_muted for group in simulator.world.groups.values()),
        f"deliver twice × {simulator.repeats}": simulator.repeats > 0,
    }
    faults = map(described, simulator.faults.waiting())
    return [*faults, *(name for name, is_on in states.items() if is_on)]
