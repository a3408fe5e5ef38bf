"""Pulling: every item of every page, once, with the cursor that leads past it."""

import asyncio
import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from adapters._kefu_listener import DESKS, KefuListener, cursor_key
from adapters.wechat_kefu import KefuSettings
from hub.channel import Account, Bell, HttpAnswer
from hub.errors import BadCredentials, Rejected, SendError
from hub.fetch import ON_PREMISE, Fetcher
from hub.model import Checkpoint, InboundEvent, Secret
from hub.testing import HttpCall, Workbench, json_answer


class Store:
    """What was emitted; a checkpoint counts only together with its events."""

    def __init__(self) -> None:
        self.emitted: list[tuple[Sequence[InboundEvent], Checkpoint | None]] = []
        self.checkpoints: dict[str, Mapping[str, Any]] = {}

    async def __call__(
        self, events: Sequence[InboundEvent], checkpoint: Checkpoint | None = None
    ) -> None:
        self.emitted.append((events, checkpoint))
        if checkpoint is not None:
            self.checkpoints[checkpoint.key] = checkpoint.value

    async def checkpoint(self, key: str) -> Mapping[str, Any] | None:
        return self.checkpoints.get(key)

    @property
    def texts(self) -> list[str]:
        return [
            json.loads(event.body)["text"]["content"]
            for events, _ in self.emitted
            for event in events
            if b'"text"' in event.body
        ]


class Doorbell:
    """Bells that ring one wait after another, then the end."""

    def __init__(self, *bells: Bell | None) -> None:
        self.left = list(bells)

    async def wait(self, timeout: float) -> Bell | None:
        if timeout == 0.0:  # the listener only looks whether more have rung
            return None
        if not self.left:
            raise asyncio.CancelledError
        return self.left.pop(0)


def item(text: str, msgid: str | None = None, customer: str = "wm1") -> dict[str, Any]:
    return {
        "msgid": msgid or f"id-{text}",
        "open_kfid": "wk1",
        "external_userid": customer,
        "send_time": 1767323045,
        "origin": 3,
        "msgtype": "text",
        "text": {"content": text},
    }


def page(*items: Any, cursor: str, more: bool = False) -> HttpAnswer:
    facts = {"next_cursor": cursor, "has_more": int(more), "msg_list": list(items)}
    return json_answer({"errcode": 0, "errmsg": "ok", **facts})


def refusal(code: int) -> HttpAnswer:
    return json_answer({"errcode": code, "errmsg": "no"})


def platform(script: Callable[[HttpCall], HttpAnswer | Exception]) -> Workbench:
    def answer(call: HttpCall) -> HttpAnswer | Exception:
        if call.url.endswith("/gettoken"):
            return json_answer({"errcode": 0, "access_token": "TOKEN", "expires_in": 7200})
        return script(call)

    return Workbench(answer)


def pages(*answers: HttpAnswer | Exception) -> Workbench:
    left = list(answers)
    return platform(lambda _call: left.pop(0) if len(left) > 1 else left[0])


def account(
    desks: tuple[str, ...] = ("wk1",), *, profiles: bool = False, **settings: str
) -> Account[KefuSettings]:
    return Account(
        "shop",
        "wechat_kefu",
        KefuSettings(
            corp_id="ww0123456789abcdef",
            secret=Secret("s"),
            token=Secret("t"),
            aes_key=Secret("a" * 43),
            open_kfids=desks,
            profiles=profiles,
            **settings,
        ),
    )


async def listen(
    bench: Workbench,
    store: Store,
    *bells: Bell | None,
    desks: tuple[str, ...] = ("wk1",),
    profiles: bool = False,
) -> None:
    listener = KefuListener(account(desks, profiles=profiles), bench.tools)
    with contextlib.suppress(asyncio.CancelledError):
        await listener.listen(store, Doorbell(*bells))


def asked(bench: Workbench) -> list[dict[str, Any]]:
    return [call.json for call in bench.http.calls if call.url.endswith("/sync_msg")]


async def test_every_item_of_every_page() -> None:
    """Also those after a page that is empty and still says that there are more."""
    bench, store = (
        pages(
            page(item("1"), item("2"), cursor="a", more=True),
            page(cursor="b", more=True),
            page(item("3"), cursor="c"),
        ),
        Store(),
    )
    await listen(bench, store)
    assert store.texts == ["1", "2", "3"]
    assert [one.get("cursor") for one in asked(bench)] == [None, "a", "b"]
    assert store.checkpoints[cursor_key("wk1")] == {"cursor": "c"}


async def test_the_cursor_is_stored_with_its_items() -> None:
    """Never before, never after: in the same call."""
    bench, store = (
        pages(page(item("1"), cursor="a", more=True), page(item("2"), cursor="b")),
        Store(),
    )
    await listen(bench, store)
    kept = [(len(events), one.value if one else None) for events, one in store.emitted]
    assert kept == [(1, {"cursor": "a"}), (1, {"cursor": "b"})]


async def test_items_stay_as_they_were_sent() -> None:
    """Byte for byte, in order, each under its own id and its customer's order."""
    raw = b'{ "msgid" : "m1","open_kfid":"wk1","external_userid":"wm1", "x":1.0, "msgtype":"text"}'
    body = b'{"errcode":0,"next_cursor":"a","has_more":0,"msg_list":[' + raw + b"]}"
    bench, store = pages(HttpAnswer(200, {}, body)), Store()
    await listen(bench, store)
    ((event,), _) = store.emitted[0]
    assert event.body == raw
    assert (event.dedupe_key, event.order_key, event.proof) == ("kf:m1", "wk1:wm1", "sync_msg")
    assert event.headers == {"open_kfid": "wk1"}


@pytest.mark.parametrize("odd", [1, None, "x", [], {"msgtype": 5}, {"event": []}])
async def test_one_odd_item_stops_nothing(odd: Any) -> None:
    """It is kept like the others."""
    bench, store = pages(page(item("1"), odd, item("2"), cursor="a")), Store()
    await listen(bench, store)
    assert store.texts == ["1", "2"]
    assert len(store.emitted[0][0]) == 3


async def test_a_bell_brings_its_token() -> None:
    """And the pull goes on after the cursor of the last."""
    bench, store = pages(page(cursor="a")), Store()
    await listen(bench, store, Bell("wk1", {"token": "T1"}))
    assert [(one.get("token"), one.get("cursor")) for one in asked(bench)] == [
        (None, None),
        ("T1", "a"),
    ]


async def test_a_token_that_is_over_is_left_out_once() -> None:
    """95007, then without; refused again, it is the desk's trouble."""
    bench, store = pages(page(cursor="a"), refusal(95007), page(item("1"), cursor="b")), Store()
    await listen(bench, store, Bell("wk1", {"token": "T1"}))
    assert [one.get("token") for one in asked(bench)] == [None, "T1", None]
    assert store.texts == ["1"]
    with pytest.raises(Rejected):
        await listen(pages(refusal(95007)), Store())


async def test_a_cursor_that_is_refused_begins_anew() -> None:
    """With the oldest of three days; what is known already is not stored again by its key."""
    bench, store = pages(refusal(40058), page(item("1"), cursor="b")), Store()
    store.checkpoints[cursor_key("wk1")] = {"cursor": "old"}
    await listen(bench, store)
    assert [one.get("cursor") for one in asked(bench)] == ["old", None]
    assert store.checkpoints[cursor_key("wk1")] == {"cursor": "b"}


async def test_a_cursor_that_stands_still_ends_the_loop() -> None:
    """Rather than to ask for ever, it is shown as a failure."""
    with pytest.raises(Rejected, match="stands still"):
        await listen(pages(page(cursor="a", more=True)), Store())


async def test_a_page_that_is_too_large_is_asked_for_in_parts() -> None:
    """The limit shrinks until it fits what the hub's own client reads of an answer."""
    limits: list[int] = []

    async def sync_msg(request: web.Request) -> web.Response:
        asked = await request.json()
        limits.append(asked["limit"])
        items = [item(f"{n} {'x' * 2000}", msgid=f"m{n}") for n in range(600)]
        since = int(asked.get("cursor") or 0)
        until = min(since + asked["limit"], len(items))
        more = int(until < len(items))
        facts = {"next_cursor": str(until), "has_more": more, "msg_list": items[since:until]}
        return web.json_response({"errcode": 0, **facts})

    async def gettoken(_: web.Request) -> web.Response:
        return web.json_response({"errcode": 0, "access_token": "TOKEN", "expires_in": 7200})

    app = web.Application()
    app.router.add_post("/cgi-bin/kf/sync_msg", sync_msg)
    app.router.add_get("/cgi-bin/gettoken", gettoken)
    fetcher, store, bench = Fetcher(ON_PREMISE), Store(), Workbench()
    async with TestServer(app) as server:
        tools = msgspec.structs.replace(bench.tools, http=fetcher)
        listener = KefuListener(account(api_base=str(server.make_url("/"))), tools)
        with contextlib.suppress(asyncio.CancelledError):
            await listener.listen(store, Doorbell())
    await fetcher.close()

    assert limits == [1000, 250, 250, 250]
    assert [text.partition(" ")[0] for text in store.texts] == [str(n) for n in range(600)]


async def test_desks_of_the_settings_are_the_only_ones() -> None:
    """Another account of the hub may have the others: what is theirs must not come twice."""
    store, bench = Store(), pages(page(cursor="a"))
    store.checkpoints[DESKS] = {"known": ["wk1", "wk2"]}
    await listen(bench, store, Bell("wk2", {"token": "T"}), Bell("wk1", {"token": "U"}))
    assert [one["open_kfid"] for one in asked(bench)] == ["wk1", "wk1"]


async def test_a_wake_up_that_brings_nothing_looks_at_all() -> None:
    """A bell may have been lost while Redis was away."""
    bench = pages(page(cursor="a"))
    await listen(bench, Store(), None, desks=("wk1", "wk2"))
    assert [one["open_kfid"] for one in asked(bench)] == ["wk1", "wk2", "wk1", "wk2"]


async def test_a_desk_that_a_bell_names_is_kept() -> None:
    """The next owner looks at it too, without a bell."""
    listed = json_answer({"errcode": 0, "account_list": [{"open_kfid": "wk1", "name": "a"}]})

    def script(call: HttpCall) -> HttpAnswer:
        return listed if call.url.endswith("/account/list") else page(cursor="a")

    store = Store()
    await listen(platform(script), store, Bell("wk2", {"token": "T"}), desks=())
    assert store.checkpoints[DESKS] == {"known": ["wk1", "wk2"]}
    bench = platform(script)
    await listen(bench, store, desks=())
    assert [one["open_kfid"] for one in asked(bench)] == ["wk1", "wk2"]


async def test_without_desks_in_the_settings_all_are_pulled() -> None:
    """All that the app may manage."""

    def script(call: HttpCall) -> HttpAnswer:
        if call.url.endswith("/account/list"):
            return json_answer({"errcode": 0, "account_list": [{"open_kfid": "wk5", "name": "a"}]})
        return page(cursor="a")

    bench = platform(script)
    await listen(bench, Store(), desks=())
    assert [one["open_kfid"] for one in asked(bench)] == ["wk5"]


async def test_a_bell_that_names_no_desk_rings_for_all() -> None:
    """Rather too much than too little."""
    bench = pages(page(cursor="a"))
    await listen(bench, Store(), Bell("", {"token": "T"}), desks=("wk1", "wk2"))
    assert [one["open_kfid"] for one in asked(bench)] == ["wk1", "wk2", "wk1", "wk2"]


async def test_a_desk_that_is_refused_does_not_stop_the_others() -> None:
    """It is logged; the other's items are stored."""

    def script(call: HttpCall) -> HttpAnswer:
        gone = call.json["open_kfid"] == "wk1"
        return refusal(95004) if gone else page(item("1"), cursor="a")

    bench, store = platform(script), Store()
    await listen(bench, store, desks=("wk1", "wk2"))
    assert store.texts == ["1"]
    assert [line[1] for line in bench.log.lines] == ["desk_refused"]


@pytest.mark.parametrize("code,kind", [(60020, BadCredentials), (45009, SendError)])
async def test_trouble_with_the_account_is_shown(code: int, kind: type[SendError]) -> None:
    """The core shows it to the admin, and starts the listener again after a while."""
    with pytest.raises(kind):
        await listen(pages(refusal(code)), Store())


async def test_a_new_customers_name_comes_before_their_words() -> None:
    """In the same transaction; who is known is not asked for again, and a failure costs nothing."""
    profile = {"external_userid": "wm1", "nickname": "Lin"}
    seen: list[list[str]] = []

    def script(call: HttpCall) -> HttpAnswer:
        if call.url.endswith("/batchget"):
            seen.append(call.json["external_userid_list"])
            return (
                json_answer({"errcode": 0, "customer_list": [profile]})
                if len(seen) == 1
                else (refusal(48002))
            )
        cursor = call.json.get("cursor", "")
        following = {"": "a", "a": "b"}.get(cursor, "c")
        customer = "wm1" if cursor != "b" else "wm2"
        return page(item(following, customer=customer), cursor=following, more=following != "c")

    bench, store = platform(script), Store()
    await listen(bench, store, profiles=True)
    first = store.emitted[0][0]
    assert [event.proof for event in first] == ["customer/batchget", "sync_msg"]
    assert first[0].order_key == first[1].order_key == "wk1:wm1"
    assert first[1].headers == {"open_kfid": "wk1", "nickname": "Lin"}
    assert seen == [["wm1"], ["wm2"]]
    assert store.texts == ["a", "b", "c"]


@pytest.mark.parametrize("code, asked_again", [(45033, True), (48002, False)])
async def test_a_profile_that_could_not_be_had_is_asked_for_again(
    code: int, asked_again: bool
) -> None:
    """With the customer's next words; not where the app has no right to it."""
    seen: list[str] = []

    def script(call: HttpCall) -> HttpAnswer:
        if call.url.endswith("/batchget"):
            seen.extend(call.json["external_userid_list"])
            return refusal(code)
        following = "b" if call.json.get("cursor") else "a"
        return page(item(following, customer="wm1"), cursor=following, more=following == "a")

    bench, store = platform(script), Store()
    await listen(bench, store, profiles=True)
    assert store.texts == ["a", "b"]
    assert seen == ["wm1"] * (2 if asked_again else 1)
