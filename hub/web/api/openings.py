"""Writing first: to somebody who has no conversation yet, where the channel allows it."""

from typing import Annotated

from aiohttp import web
from msgspec import Meta, Struct

from hub.conversations import told
from hub.core import Core
from hub.feed import NewEvent, publish
from hub.ids import new_id
from hub.model import Address, ConversationRef
from hub.replies import Accepted, Author, ReplyRequest, accept, plain
from hub.settings import AccountPlan
from hub.store import Transaction
from hub.store.conversations import ConversationRow, lock_conversations, make_conversations
from hub.store.filing import contacts_of
from hub.store.inbox import short_key
from hub.web.api.messages import KEY_HEADERS, TAG, said
from hub.web.problems import invalid, not_found
from hub.web.routes import Call, Nothing, RouteTable
from hub.web.shapes import Message

table = RouteTable()


class Recipient(Struct, frozen=True, forbid_unknown_fields=True):
    """Where somebody is reached; `scope` may be left out: the account knows it."""

    scheme: Annotated[str, Meta(min_length=1, max_length=32)]
    value: Annotated[str, Meta(min_length=1, max_length=512)]
    scope: Annotated[str, Meta(max_length=128)] = ""


class Opening(ReplyRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A message that opens a conversation: what a reply has, and where it goes."""

    account: Annotated[str, Meta(description="The account that writes")]
    to: Recipient
    queue: Annotated[
        str | None, Meta(description="Whose conversation it is; default_queue if unset")
    ] = None


@table.add(
    "POST",
    "/v1/messages",
    tag=TAG,
    scope="reply",
    body=Opening,
    answer=Message,
    status=202,
    problems=(404, 409),
    headers=KEY_HEADERS,
)
async def open_conversation(call: Call[Nothing, Opening]) -> web.Response:
    """Write first.

    Only on channels whose capabilities say `proactive`. Whoever has a conversation with the account
    already is written to there.
    """
    core, asked = call.core, call.body
    plan = core.settings.accounts.get(asked.account)
    if plan is None:
        raise invalid("no such account", pointer="/account")
    if not plan.channel.capabilities.proactive:
        raise invalid(f"{plan.channel.title} lets nobody write first", pointer="/account")
    queue = asked.queue or core.settings.hub.default_queue
    if queue not in core.settings.queues or not call.caller.sees(queue):
        raise invalid("no such queue, or not for this token", pointer="/queue")
    author = Author(call.caller.name, call.caller.token_id, call.queues)

    async def work(tx: Transaction) -> Accepted:
        place, rung = await _place(core, tx, asked, plan, queue)
        if not call.caller.sees(place.queue):
            raise not_found()
        accepted = await accept(core, tx, {"id": place.id}, plain(asked), author=author)
        return accepted._replace(destinations=accepted.destinations | rung)

    return await said(call, work)


def _home(to: Recipient, plan: AccountPlan) -> tuple[Address, ConversationRef]:
    """The recipient's address as the account writes it: another one would be somebody else's."""
    address = Address(to.scheme, "", to.value)
    home = ConversationRef(thread_key=address.value)
    if plan.channel.opens is not None:
        address, home = plan.channel.opens(address, plan.account)
    if to.scheme != address.scheme:
        raise invalid(f"this account writes to {address.scheme} addresses", pointer="/to/scheme")
    if to.scope not in ("", address.scope):
        raise invalid("is not the scope of this account; leave it out", pointer="/to/scope")
    return address, home


async def _place(
    core: Core, tx: Transaction, asked: Opening, plan: AccountPlan, queue: str
) -> tuple[ConversationRow, frozenset[str]]:
    """The conversation with the recipient, locked, made where there is none; and whom to ring."""
    address, home = _home(asked.to, plan)
    key = (asked.account, short_key(home.thread_key or address.value))
    if found := await lock_conversations(tx, [key]):
        return found[0], frozenset()
    now = core.clock()
    contact = (await contacts_of(tx, {address: None}, now))[address]
    made = ConversationRow(
        id=new_id(),
        account=asked.account,
        channel=plan.channel.key,
        thread_key=key[1],
        contact_id=contact,
        address=address,
        is_group=home.is_group,
        queue=queue,
        state="open",
        case_number=1,
        last_seq=0,
        subject=asked.subject,
        tags=[],
        reply_context="{}",
        last_inbound_at=None,
        created_at=now,
    )
    if not await make_conversations(tx, [made], now):  # somebody was faster
        return (await lock_conversations(tx, [key]))[0], frozenset()
    data = {"conversation": told(made)}
    event = NewEvent("conversation.created", data, made.account, made.queue, made.id)
    return made, await publish(tx, core.settings, [event], now)
