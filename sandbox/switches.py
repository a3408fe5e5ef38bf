"""The switches that the simulators have in common: a call fails or waits, and all is well again."""

from collections.abc import Callable, Mapping, Sequence
from typing import cast

from sandbox.faults import Fault, FaultBox, FaultKind
from sandbox.phones import Field, Switch, Words

__all__ = ["TIMES", "call_switches", "described", "times", "well_again_switch"]

TIMES = Field("count", Words("How often", "次数"), "1", "number")
SECONDS = Field("seconds", Words("Seconds", "秒数"), "10", "number")
WAYS: Mapping[FaultKind, Words] = {
    "errcode": Words("answer an error code", "返回错误码"),
    "drop_request": Words("cut before it acts", "处理前断开"),
    "drop_answer": Words("act, then cut", "处理后断开"),
    "bad_gateway": Words("act, then 502", "处理后返回 502"),
    "late": Words("act, and answer late", "处理后延迟应答"),
}
PATH = Words("Path", "路径")
BY_PATH = Words(
    "Counted from now, among the calls whose path begins so.", "从现在起，按路径前缀计数。"
)


def call_switches(
    faults: FaultBox,
    path: str,
    code: str,
    *,
    ways: Sequence[FaultKind] = ("errcode", "drop_request", "drop_answer", "bad_gateway"),
    named: Words = PATH,
    help: Words = BY_PATH,  # noqa: A002 - the switch's own word
) -> tuple[Switch, Switch]:
    """Fail the n-th call whose name begins with *path*, at first by *code*; answer slowly."""

    def fail(asked: Mapping[str, str]) -> None:
        skip = max(0, int(float(asked["nth"])) - 1)
        kind = cast("FaultKind", asked["how"])
        faults.add(Fault(kind, path=asked["path"], code=int(float(asked["code"])), skip=skip))

    def slow(asked: Mapping[str, str]) -> None:
        faults.add(Fault("slow", times(asked), seconds=float(asked["seconds"])))

    how = tuple((way, WAYS[way]) for way in ways)
    return (
        Switch(
            "fail_call",
            Words("Fail the n-th call", "让第 n 次调用失败"),
            help,
            fail,
            (
                Field("nth", Words("Which", "第几次"), "1", "number"),
                Field("path", named, path),
                Field("how", Words("How", "方式"), "errcode", options=how),
                Field("code", Words("Error code", "错误码"), code, "number"),
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
    )


def well_again_switch(faults: FaultBox, also: Callable[[], None]) -> Switch:
    """No fault waits any more; *also* is what the simulator itself sets right."""

    def stop(asked: Mapping[str, str]) -> None:
        faults.clear()
        also()

    return Switch(
        "well_again",
        Words("All well again", "恢复正常"),
        Words("Nothing more goes wrong by itself.", "不再出任何故障。"),
        stop,
    )


def described(fault: Fault) -> str:
    """A fault that is still to happen, for people."""
    after = f" after {fault.skip}" if fault.skip else ""
    code = f" {fault.code}" if fault.kind == "errcode" else ""
    return f"{fault.kind}{code} × {fault.count}{after}"


def times(asked: Mapping[str, str]) -> int:
    """How often, as it was filled in; once at least."""
    return max(1, int(float(asked["count"])))
