"""The switches that all three simulators of the WeChat family have."""

from collections.abc import Callable, Mapping
from typing import cast

from sandbox.phones import Field, Switch, SwitchBoard, Words
from sandbox.wechat.faults import Fault, FaultBox, FaultKind
from sandbox.wechat.push import Pusher
from sandbox.wechat.tokens import TokenOffice

TIMES = Field("count", Words("How often", "次数"), "1", "number")
SECONDS = Field("seconds", Words("Seconds", "秒数"), "10", "number")
HOWS = (
    ("errcode", Words("answer an error code", "返回错误码")),
    ("drop_request", Words("cut before it acts", "处理前断开")),
    ("drop_answer", Words("act, then cut", "处理后断开")),
    ("bad_gateway", Words("act, then 502", "处理后返回 502")),
)


def family_board(
    faults: FaultBox,
    tokens: TokenOffice,
    *,
    own: tuple[Switch, ...],
    delivery: tuple[Switch, ...],
    well_again: Callable[[], None],
    pending: Callable[[], list[str]],
) -> SwitchBoard:
    """The board of one simulator: the token, its *own* switches, calls, *delivery*, all well again."""

    def revoke(asked: Mapping[str, str]) -> None:
        tokens.revoke_all()

    def expire(asked: Mapping[str, str]) -> None:
        tokens.expire_all()

    def fail(asked: Mapping[str, str]) -> None:
        skip = max(0, int(float(asked["nth"])) - 1)
        kind = cast("FaultKind", asked["how"])
        faults.add(Fault(kind, path=asked["path"], code=int(float(asked["code"])), skip=skip))

    def slow(asked: Mapping[str, str]) -> None:
        faults.add(Fault("slow", _count(asked), seconds=float(asked["seconds"])))

    def stop(asked: Mapping[str, str]) -> None:
        faults.clear()
        well_again()

    switches = (
        Switch(
            "expire_token",
            Words("Expire the token", "让令牌过期"),
            Words(
                "Every access token is over now: the next call gets 42001.",
                "所有令牌立即过期，下次调用得到 42001。",
            ),
            expire,
        ),
        Switch(
            "revoke_token",
            Words("Revoke the token", "作废令牌"),
            Words(
                "Every access token is worthless, as after a change of the secret.",
                "所有令牌作废，如同重置了密钥。",
            ),
            revoke,
        ),
        *own,
        Switch(
            "fail_call",
            Words("Fail the n-th call", "让第 n 次调用失败"),
            Words(
                "Counted from now, among the calls whose path begins so.",
                "从现在起，按路径前缀计数。",
            ),
            fail,
            (
                Field("nth", Words("Which", "第几次"), "1", "number"),
                Field("path", Words("Path", "路径"), "/cgi-bin/"),
                Field("how", Words("How", "方式"), "errcode", options=HOWS),
                Field("code", Words("Error code", "错误码"), "-1", "number"),
            ),
        ),
        Switch(
            "slow",
            Words("Answer slowly", "缓慢应答"),
            Words(
                "The next calls wait, then act and answer.", "接下来的调用先等待，再处理并应答。"
            ),
            slow,
            (SECONDS, TIMES),
        ),
        *delivery,
        Switch(
            "well_again",
            Words("All well again", "恢复正常"),
            Words("Nothing more goes wrong by itself.", "不再出任何故障。"),
            stop,
        ),
    )
    return SwitchBoard(switches, lambda: [*map(_described, faults.waiting()), *pending()])


def window_switch(close: Callable[[str], None]) -> Switch:
    """Close the reply window of one customer, or of all."""

    def act(asked: Mapping[str, str]) -> None:
        close(asked["customer"])

    return Switch(
        "close_window",
        Words("Close the window", "关闭回复窗口"),
        Words(
            "This person may be told nothing until they write again.",
            "此人再次来信前，不能再回复。",
        ),
        act,
    )


def range_switch(take_out: Callable[[str], None]) -> Switch:
    """Enterprise WeChat has no reply window; a member may lose sight of the app instead."""

    def act(asked: Mapping[str, str]) -> None:
        take_out(asked["customer"])

    return Switch(
        "close_window",
        Words("Take the app away", "移出可见范围"),
        Words(
            "This member may not see the app until they write again: what is sent is invaliduser.",
            "此成员看不到应用，直到再次来信：发送得到 invaliduser。",
        ),
        act,
    )


def push_switches(pusher: Pusher) -> tuple[Switch, ...]:
    """Delivery of pushes: twice, and out of order."""

    def twice(asked: Mapping[str, str]) -> None:
        pusher.twice += _count(asked)

    def mix(asked: Mapping[str, str]) -> None:
        pusher.mixed.pairs += _count(asked)

    return (
        Switch(
            "deliver_twice",
            Words("Deliver twice", "重复推送"),
            Words(
                "The next pushes come again, byte for byte the same inside.",
                "接下来的推送会原样再来一次。",
            ),
            twice,
            (TIMES,),
        ),
        Switch(
            "out_of_order",
            Words("Deliver out of order", "乱序推送"),
            Words(
                "The next push waits until the one after it has arrived.",
                "下一条推送等后一条先到。",
            ),
            mix,
            (TIMES,),
        ),
    )


def pending_pushes(pusher: Pusher) -> list[str]:
    """What is still to happen to pushes."""
    found = {"deliver twice": pusher.twice, "out of order": pusher.mixed.pairs}
    return [f"{name} × {count}" for name, count in found.items() if count]


def calm(pusher: Pusher) -> None:
    """Pushes arrive once and in order."""
    pusher.twice = pusher.mixed.pairs = 0


def _described(fault: Fault) -> str:
    after = f" after {fault.skip}" if fault.skip else ""
    code = f" {fault.code}" if fault.kind == "errcode" else ""
    return f"{fault.kind}{code} × {fault.count}{after}"


def _count(asked: Mapping[str, str]) -> int:
    return max(1, int(float(asked["count"])))
