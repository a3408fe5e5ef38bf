"""The switches that all three simulators of the WeChat family have."""

from collections.abc import Callable, Mapping

from sandbox.faults import FaultBox
from sandbox.phones import Switch, SwitchBoard, Words
from sandbox.switches import TIMES, call_switches, described, times, well_again_switch
from sandbox.wechat.push import Pusher
from sandbox.wechat.tokens import TokenOffice


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
        *call_switches(faults, "/cgi-bin/", "-1"),
        *delivery,
        well_again_switch(faults, well_again),
    )
    return SwitchBoard(switches, lambda: [*map(described, faults.waiting()), *pending()])


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
        pusher.twice += times(asked)

    def mix(asked: Mapping[str, str]) -> None:
        pusher.mixed.pairs += times(asked)

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
