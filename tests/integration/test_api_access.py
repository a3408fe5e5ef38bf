"""Who may do what: every route, every scope, and things of another queue."""

import re
from datetime import timedelta

import pytest

from hub import apitokens
from hub.core import now
from hub.ids import new_id, read_id, show_id
from hub.web.routes import Route
from tests.apikit import Api, Client, api

# What each route asks for. A route that is not listed here fails the test: say who may use it.
EXPECTED = {
    "GET /v1/conversations": "read",
    "GET /v1/conversations/{id}": "read",
    "PATCH /v1/conversations/{id}": "reply",
    "GET /v1/conversations/{id}/messages": "read",
    "POST /v1/conversations/{id}/messages": "reply",
    "GET /v1/messages": "read",
    "POST /v1/messages": "reply",
    "GET /v1/messages/{id}": "read",
    "GET /v1/messages/{id}/trace": "read",
    "POST /v1/messages/{id}/resend": "reply",
    "POST /v1/messages/{id}/cancel": "reply",
    "POST /v1/attachments": "reply",
    "GET /v1/attachments/{id}": "read",
    "GET /v1/attachments/{id}/content": None,
    "GET /v1/events": "read",
    "GET /v1/events/stream": "read",
    "GET /v1/deliveries": "admin",
    "POST /v1/deliveries/{id}/replay": "admin",
    "POST /v1/deliveries/replay": "admin",
    "POST /v1/destinations/{name}/restore": "admin",
    "POST /v1/destinations/{name}/test": "admin",
    "GET /v1/contacts/{id}": "read",
    "POST /v1/contacts/{id}/merge": "reply",
    "POST /v1/contacts/{id}/unmerge": "reply",
    "POST /v1/conversations/{id}/typing": "reply",
    "GET /v1/queues": "read",
    "POST /v1/queues/{name}/pause": "admin",
    "POST /v1/queues/{name}/resume": "admin",
    "GET /v1/accounts": "read",
    "GET /v1/channels": "read",
    "GET /v1/status": "read",
    "GET /metrics": "read",
    "GET /v1/openapi.json": None,
    "GET /v1/asyncapi.json": None,
    "GET /v1/schemas/{type}": None,
    "GET /v1/docs": None,
    "GET /v1/docs/{file}": None,
}
BODIES = {
    "PATCH /v1/conversations/{id}": {"state": "pending"},
    "POST /v1/conversations/{id}/messages": {"text": "hi"},
    "POST /v1/messages": {"account": "shop", "to": {"scheme": "test", "value": "x"}, "text": "hi"},
    "POST /v1/deliveries/replay": {"destination": "desk"},
    "POST /v1/contacts/{id}/merge": {"other": show_id("cnt", new_id()), "evidence": "said so"},
    "POST /v1/contacts/{id}/unmerge": {"merge": show_id("mrg", new_id())},
}
PREFIXES = {
    "contacts": "cnt",
    "conversations": "cnv",
    "messages": "msg",
    "deliveries": "dlv",
    "attachments": "att",
}
OTHERS = {"{type}": "message.received", "{file}": "docs.css", "{name}": "desk"}


def name_of(route: Route) -> str:
    return f"{route.method} {route.path}"


def path_of(route: Route, ids: dict[str, str]) -> str:
    path = route.path
    for part, value in OTHERS.items():
        path = path.replace(part, value)
    kind = path.split("/")[2] if path.count("/") > 1 else ""
    return path.replace("{id}", ids.get(kind, "none"))


async def tried(client: Client, route: Route, ids: dict[str, str]) -> int:
    body = BODIES.get(name_of(route), {} if route.method == "POST" else None)
    if route.path.endswith("/stream"):
        path = client.base + path_of(route, ids)
        headers = {"Authorization": f"Bearer {client.token}"} if client.token else {}
        async with client.http.get(path, headers=headers) as answer:
            return answer.status
    return (await client.call(route.method, path_of(route, ids), body)).status


async def ids_of(made: Api, client: Client) -> dict[str, str]:
    """Ids of one conversation, message and dead delivery that *client* may see."""
    conversation = (await client.get("/v1/conversations")).json["items"][0]["id"]
    messages = (await client.get(f"/v1/conversations/{conversation}/messages")).json
    await made.core.db.fetch("UPDATE deliveries SET state = 2")
    delivery = (await client.get("/v1/deliveries")).json["items"][0]["id"]
    message = messages["items"][0]["id"]
    attachment = new_id()
    await made.core.db.fetch(
        "INSERT INTO attachments (id, message_id, account, kind, state, source, tries, created_at) "
        "VALUES ($1, $2, 'shop', 'file', 'pending', '{}', 0, now())",
        attachment,
        read_id("msg", message),
    )
    contact = (await client.get(f"/v1/conversations/{conversation}")).json["contact"]["id"]
    return {
        "contacts": contact,
        "conversations": conversation,
        "messages": message,
        "deliveries": delivery,
        "attachments": show_id("att", attachment),
    }


async def test_every_route_is_listed_with_its_scope(database_url: str) -> None:
    """A new route has to say who may use it."""
    async with api(database_url) as made:
        assert {name_of(route): route.scope for route in made.web.routes} == EXPECTED


async def test_without_a_token_every_route_is_shut(database_url: str) -> None:
    """401 with a challenge, before anything is looked up; only the documents are open."""
    async with api(database_url) as made:
        for route in made.web.routes:
            for token in (None, "hub_live_x_y", "hub_live_" + show_id("", new_id())[1:] + "_z"):
                client = Client(made.http, made.base, token)
                status = await tried(client, route, {})
                signed = route.path.endswith("/content")  # open, but wants a signature
                open_to_all = 422 if signed else 200
                assert status == (open_to_all if route.scope is None else 401), route.path
        answer = await made.nobody.get("/v1/conversations")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


async def test_each_scope_opens_its_routes_only(database_url: str) -> None:
    """read, reply and admin; admin includes the others."""
    async with api(database_url) as made:
        await made.say({"id": "m1", "from": "ann", "text": "hello"})
        ids = await ids_of(made, await made.client())
        for scope in apitokens.SCOPES:
            client = await made.client(scope)
            for route in made.web.routes:
                status = await tried(client, route, ids)
                open_to = route.scope in (None, scope) or scope == "admin"
                assert (status != 403) == open_to, (scope, name_of(route), status)
                assert status < 500


async def test_what_belongs_to_another_queue_is_not_there(database_url: str) -> None:
    """404, the same as for an id that never was; lists, feed and dead letters leave it out."""
    async with api(database_url) as made:
        await made.say({"id": "m1", "from": "ann", "text": "secret-of-inbox"})
        ids = await ids_of(made, await made.client())
        nothing = {kind: show_id(PREFIXES[kind], new_id()) for kind in ids}
        foreign = await made.client("admin", queues=("sales",))
        for route in made.web.routes:
            if route.path.endswith("/content"):
                assert await tried(foreign, route, ids) == 422  # no signature
            elif "{id}" in route.path:
                assert await tried(foreign, route, ids) == 404, name_of(route)
                assert await tried(foreign, route, nothing) == 404, name_of(route)
            elif route.scope and not route.path.endswith("/stream"):
                body = BODIES.get(name_of(route))
                answer = await foreign.call(route.method, path_of(route, ids), body)
                assert "secret-of-inbox" not in answer.text
                if answer.status != 201:  # an upload is the caller's own
                    shown = re.search(r"(cnt|cnv|msg|dlv|att)_\w{26}", answer.text)
                    assert shown is None, name_of(route)
        rows = await made.core.db.fetch("SELECT FROM deliveries WHERE state = 2")
        assert rows  # and nothing was replayed


async def test_the_metrics_are_not_for_the_token_of_one_queue(database_url: str) -> None:
    """They name the others, and tell how much waits there."""
    async with api(database_url) as made:
        await made.say({"id": "m1", "from": "ann", "text": "hello"})
        foreign, everyone = await made.client("admin", queues=("sales",)), await made.client("read")
        assert 'queue="inbox"' in (await everyone.get("/metrics")).text
        answer = await foreign.get("/metrics")
        assert (answer.status, "inbox" in answer.text) == (403, False)


async def test_tokens_end(database_url: str) -> None:
    """Expired and revoked tokens are as good as none."""
    async with api(database_url) as made:
        db = made.core.db
        old = await apitokens.create(db, "old", expires_at=now() - timedelta(seconds=1))
        assert (await Client(made.http, made.base, old.token).get("/v1/status")).status == 401
        gone = await apitokens.create(db, "gone")
        row = (await db.fetch("SELECT id FROM api_tokens WHERE name = 'gone'"))[0]
        assert await apitokens.revoke(db, row["id"])
        assert not await apitokens.revoke(db, row["id"])
        assert (await Client(made.http, made.base, gone.token).get("/v1/status")).status == 401
        states = {one.name: one.state for one in await apitokens.listing(db)}
        assert states == {"old": "expired", "gone": "revoked"}


async def test_a_token_is_not_in_the_database(database_url: str) -> None:
    """Only its hash is."""
    async with api(database_url) as made:
        token = (await apitokens.create(made.core.db, "desk")).token
        secret = token.split("_", 3)[3]
        rows = await made.core.db.fetch("SELECT t::text AS shown FROM api_tokens t")
        assert not any(secret in row["shown"] for row in rows)


async def test_use_is_noted(database_url: str) -> None:
    """When a token was last used is told, to the minute."""
    async with api(database_url) as made:
        client = await made.client("read")
        await client.get("/v1/status")
        assert (await apitokens.listing(made.core.db))[0].last_used_at is not None


async def test_whoever_guesses_tokens_makes_no_good_one_bad(database_url: str) -> None:
    """A helpdesk that is told 401 gives up; what could not be looked up is tried again."""
    async with api(database_url) as made:
        good = (await apitokens.create(made.core.db, "desk")).token
        tokens = apitokens.Tokens(made.core.db, clock=lambda: 0.0)

        async def asked(token: str) -> type[Exception] | None:
            try:
                await tokens.caller(f"Bearer {token}")
            except apitokens.BadToken as error:
                return type(error)
            return None

        guesses = [f"hub_live_{show_id('tok', new_id())[4:]}_x" for _ in range(150)]
        answers = {await asked(one) for one in guesses}
        assert answers == {apitokens.BadToken, apitokens.NotLookedUp}
        assert await asked(good) is apitokens.NotLookedUp


@pytest.mark.parametrize("scopes, queues", [(("owner",), ("*",)), ((), ("*",)), (("read",), ())])
async def test_a_token_needs_known_scopes_and_a_queue(
    database_url: str, scopes: tuple[str, ...], queues: tuple[str, ...]
) -> None:
    """A mistake is told, and nothing is made."""
    async with api(database_url) as made:
        with pytest.raises(ValueError, match="scope"):
            await apitokens.create(made.core.db, "x", scopes=scopes, queues=queues)


async def test_other_methods_and_paths_are_problems(database_url: str) -> None:
    """405 says what is allowed, 404 is the same shape; both without a token."""
    async with api(database_url) as made:
        answer = await made.nobody.call("DELETE", "/v1/conversations")
        assert (answer.status, answer.headers["Allow"]) == (405, "GET")
        assert (await made.nobody.get("/v1/nothing")).json["status"] == 404
        assert (await made.nobody.get("/v1")).status == 404


async def test_every_answer_has_the_security_headers(database_url: str) -> None:
    """Also the refusals."""
    async with api(database_url) as made:
        client = await made.client()
        for path in (
            "/v1/status",
            "/v1/nothing",
            "/v1/docs",
            "/v1/messages/x",
            "/metrics",
            "/live",
        ):
            answer = await client.get(path)
            assert answer.headers["X-Content-Type-Options"] == "nosniff", path
            assert answer.headers["Server"] == "hub", path
