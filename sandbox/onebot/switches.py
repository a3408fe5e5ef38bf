"""What can go wrong with an implementation and its connections."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from sandbox.phones import Field, Switch, SwitchBoard, Words
from sandbox.wechat.faults import Fault, FaultKind

if TYPE_CHECKING:
    from sandbox.onebot.simulator import OneBotSimulator

__all__ = ["onebot_board"]

Asked = Mapping[str, str]
TIMES = Field("count", Words("How often", "次数"), "1", "number")
SECONDS = Field("seconds", Words("Seconds", "秒数"), "10", "number")
HOWS = (
    ("errcode", Words("answer a retcode", "返回错误码")),
    ("drop_request", Words("cut before it acts", "处理前断开")),
    ("drop_answer", Words("act, then cut", "处理后断开")),
    ("late", Words("act, and answer late", "处理后延迟应答")),
)


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
            Switch(
                "fail_call",
                Words("Fail the n-th call", "让第 n 次调用失败"),
                Words(
                    "Counted from now, among the actions that begin so.",
                    "从现在起，按动作名前缀计数。",
                ),
                self._fail,
                (
                    Field("nth", Words("Which", "第几次"), "1", "number"),
                    Field("path", Words("Action", "动作"), "send_"),
                    Field("how", Words("How", "方式"), "errcode", options=HOWS),
                    Field("code", Words("retcode", "错误码"), "1200", "number"),
                ),
            ),
            Switch(
                "slow",
                Words("Answer slowly", "缓慢应答"),
                Words("The next calls wait, then act and answer.", "接下来的调用先等待再处理。"),
                self._slow,
                (SECONDS, TIMES),
            ),
            Switch(
                "well_again",
                Words("All well again", "恢复正常"),
                Words("Nothing more goes wrong by itself.", "不再出任何故障。"),
                self._well,
            ),
        )

    async def _cut(self, _asked: Asked) -> None:
        await self._simulator.cut()

    def _half_open(self, _asked: Asked) -> None:
        self._simulator.go_deaf()

    def _no_history(self, _asked: Asked) -> None:
        self._simulator.actions.tells_history = False

    def _twice(self, asked: Asked) -> None:
        self._simulator.repeats += _count(asked)

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

    def _fail(self, asked: Asked) -> None:
        kind = cast("FaultKind", asked["how"])
        skip = max(0, int(float(asked["nth"])) - 1)
        code = int(float(asked["code"]))
        self._simulator.faults.add(
            Fault(kind, path=asked["path"], code=code, skip=skip, seconds=60.0)
        )

    def _slow(self, asked: Asked) -> None:
        self._simulator.faults.add(Fault("slow", _count(asked), seconds=float(asked["seconds"])))

    def _well(self, _asked: Asked) -> None:
        simulator = self._simulator
        simulator.faults.clear()
        simulator.repeats = 0
        simulator.is_online = simulator.actions.tells_history = True
        simulator.events.format = "array"
        self._set_muted(False)


def _pending(simulator: "OneBotSimulator") -> list[str]:
    faults: list[Any] = [
        f"{fault.kind} × {fault.count}{f' after {fault.skip}' if fault.skip else ''}"
        for fault in simulator.faults.waiting()
    ]
    states = {
        "account offline": not simulator.is_online,
        "no history": not simulator.actions.tells_history,
        "CQ strings": simulator.events.format == "string",
        "muted": any(group.is_muted for group in simulator.world.groups.values()),
        f"deliver twice × {simulator.repeats}": simulator.repeats > 0,
    }
    return [*faults, *(name for name, is_on in states.items() if is_on)]


def _count(asked: Asked) -> int:
    return max(1, int(float(asked["count"])))
