"""Putting something into a ticket once, whatever ends in between.

The intent to post is on disk before the call, its outcome after it: a post that nobody confirmed is
looked up at the helpdesk and never repeated blindly.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import msgspec

from hub.core import Core
from hub.destination import Case, Post, PostFile, Ticket
from hub.errors import Ambiguous, Rejected, SendError, Unknowable, Unreachable
from hub.failpoints import failpoint
from hub.store import Transaction
from hub.store import tickets as rows
from hub.tickets.desks import RunningDesk

__all__ = ["Posting", "Unsure", "post_note"]

UNSURE_TIMES = 2
"""A helpdesk that has not answered may still take a post for so many time-outs; it is not posted again
before."""

GATEWAY_ERRORS = ("502", "503", "520", "521", "522", "523", "525", "526", "530")
"""What stands before a helpdesk answers so (those from 520 on are Cloudflare's); what it passed on, and
did not, is seen by looking it up."""
GATEWAY_TIMEOUTS = ("504", "524")


class Unsure(Ambiguous):
    """A post was not answered and is not there; it may still come."""

    code = "unsure"


class Posting:
    """The posts of one conversation.

    *insists*: a person has something replayed, so what nobody can look up is posted once more.
    """

    def __init__(
        self, core: Core, running: RunningDesk, conversation_id: UUID, *, insists: bool = False
    ) -> None:
        self._core = core
        self._running = running
        self._desk = running.desk
        self._name = running.name
        self._conversation_id = conversation_id
        self._insists = insists

    def hub_post(self, key: str, text: str, role: Any, files: tuple[PostFile, ...] = ()) -> Post:
        """Something that the hub itself has to say."""
        return Post(key=key, role=role, text=text, at=self._core.clock(), files=files)

    async def open(self, case: Case, post: Post, gone: Ticket | None = None) -> Ticket:
        """The ticket of *case*, made once, with *post* in it.

        *gone* was deleted at the helpdesk, and is replaced once there is the other, not before: a gateway
        may say so of every ticket there is.
        """
        first = msgspec.structs.replace(post, files=())  # they follow, each once
        keys = [case.key, post.key]
        if gone is not None:
            await rows.forget_made(self._core.db, self._name, case.key)
        before = await self.begin(keys, case.key)
        here = (None, case.key, gone.ref if gone else None)
        if post.key in before and (where := before[post.key].where) not in here:
            await rows.forget_post(self._core.db, self._name, [case.key])
            return await self._resume(case, str(where), post)
        made: tuple[Ticket, str | None] | None = None
        if case.key in before:
            made = await self._found_ticket(case, first, is_same=post.key in before)
            self._check_age(before[case.key], made)
        if made is None:
            await self._begin_again(before)
            try:
                made = await self._desk.open(case, first)
            except Ambiguous as error:
                made = await self._surely(self._desk.find_ticket(case, first), error, keys)
            except SendError:
                await rows.forget_post(self._core.db, self._name, keys)
                raise
        ticket, ref = made
        failpoint("tickets.opened")
        await self._keep_ticket(case, ticket, keys if ref else [case.key], ref or "", gone)
        if ref is None:  # the ticket was made, and its first message was not
            await rows.forget_post(self._core.db, self._name, [post.key])
        if ref is None or post.files:
            await self.add(ticket, post)
        return ticket

    async def _resume(self, case: Case, where: str, post: Post) -> Ticket:
        """Go on with a post where it was begun: the conversation has been opened once more since, and a
        post that nobody confirmed is looked up there, not here."""
        ticket = await rows.ticket_of(self._core.db, self._name, where)
        if ticket is not None:
            await self.add(ticket, post)
            return ticket
        number = int(where.rpartition(":")[2])
        return await self.open(msgspec.structs.replace(case, number=number), post)

    async def _found_ticket(
        self, case: Case, post: Post, *, is_same: bool
    ) -> tuple[Ticket, str | None] | None:
        """The ticket of a case that was begun before; *is_same*: by this very post.

        Another message makes another ticket, where nobody can tell what became of the first.
        """
        try:
            return await self._desk.find_ticket(case, post)
        except Unknowable:
            if is_same and not self._insists:
                raise
            return None

    async def _keep_ticket(
        self, case: Case, ticket: Ticket, keys: list[str], ref: str, gone: Ticket | None
    ) -> None:
        async def work(tx: Transaction) -> None:
            now = self._core.clock()
            if gone is not None:
                await rows.replace_ticket(
                    tx, self._name, self._conversation_id, gone.ref, ticket.ref
                )
            await rows.insert_ticket(
                tx,
                self._name,
                self._conversation_id,
                case.number,
                ticket,
                self._running.poll_s,
                now,
            )
            await rows.finish_post(tx, self._name, keys, ticket.ref, ref, now)

        await self._core.db.transaction(work)

    async def add(self, ticket: Ticket, post: Post) -> None:
        """Put *post* into the ticket once; files that are too many for one post make further ones."""
        each = self._desk.files_each
        rest = post.files[each:]
        await self._add_one(ticket, msgspec.structs.replace(post, files=post.files[:each]))
        for start in range(0, len(rest), each):
            some = rest[start : start + each]
            names = ", ".join(file.filename for file in some)
            await self._add_one(ticket, self.hub_post(some[0].key, names, post.role, some))

    async def _add_one(self, ticket: Ticket, post: Post) -> None:
        files = [file.key for file in post.files if file.key != post.key]
        before = await self.begin([post.key, *files], ticket.ref)
        known = {key for key, begun in before.items() if begun.done}
        if post.key in known:
            left = tuple(file for file in post.files if file.key not in known)
            if left:  # those of a message that opened its ticket
                names = ", ".join(file.filename for file in left)
                more = self.hub_post(f"{post.key}/files", names, post.role, left)
                await self.add(ticket, more)
            return
        if known:  # a file that went by itself before
            kept = tuple(file for file in post.files if file.key not in known)
            post = msgspec.structs.replace(post, files=kept)
        keys = [post.key, *(key for key in files if key not in known)]
        ref = None
        if post.key in before:
            ref = await self._found(ticket, post)
            self._check_age(before[post.key], ref)
        if ref is None:
            await self._begin_again(before)
            try:
                ref = await self._desk.add(ticket, post)
            except Ambiguous as error:
                ref = await self._surely(self._found(ticket, post), error, keys)
            except SendError:
                await rows.forget_post(self._core.db, self._name, keys)
                raise
        failpoint("tickets.added")
        await self.finish(keys, ticket, ref)

    async def _found(self, ticket: Ticket, post: Post) -> str | None:
        """The post at the helpdesk, where nobody confirmed it; not one that another post is known to be."""
        try:
            candidates = await self._desk.find(ticket, post)
        except Unknowable:
            if not self._insists:
                raise
            candidates = ()
        taken = await rows.own_refs(self._core.db, self._name, candidates)
        return next((ref for ref in candidates if ref not in taken), None)

    def _check_age(self, begun: rows.Begun, found: Any) -> None:
        """Raises Unsure while a post that is not found may still be on its way."""
        left = UNSURE_TIMES * self._running.plan.timeout_s - begun.age_s
        if found is None and left > 0 and not self._insists:
            raise Unsure("a post was not answered; it may still come", retry_after=left)

    async def begin(self, keys: list[str], where: str | None = None) -> dict[str, rows.Begun]:
        """Write down what is going to be posted; those of *keys* that were begun before."""
        return await rows.begin_post(
            self._core.db, self._name, keys, self._conversation_id, self._core.clock(), where
        )

    async def _begin_again(self, before: Mapping[str, rows.Begun]) -> None:
        """What was not found is posted once more, and may be on its way from now on."""
        keys = [key for key, begun in before.items() if not begun.done]
        if keys:
            await rows.renew_post(self._core.db, self._name, keys, self._core.clock())

    async def finish(self, keys: list[str], ticket: Ticket, ref: str) -> None:
        """Write down that the helpdesk has it."""

        async def work(tx: Transaction) -> None:
            await rows.finish_post(tx, self._name, keys, ticket.ref, ref, self._core.clock())

        await self._core.db.transaction(work)

    async def _surely(self, find: Any, error: Ambiguous, keys: list[str]) -> Any:
        """What *find* finds of a post whose outcome is not known.

        One that was answered with an error and is not there, although the helpdesk is well, is refused; by
        what stands before the helpdesk, it is not.
        """
        found = await find
        if found is not None:
            return found
        if error.external_code in (None, *GATEWAY_TIMEOUTS):  # nobody answered: it may still come
            raise error
        await rows.forget_post(self._core.db, self._name, keys)
        if error.external_code in GATEWAY_ERRORS:
            raise Unreachable(error.detail, external_code=error.external_code) from error
        raise Rejected(f"it answers, and does not take this: {error.detail}") from error


async def post_note(
    core: Core, running: RunningDesk, conversation_id: UUID, ticket: Ticket, key: str, text: str
) -> None:
    """Tell the agents of *ticket* something, once for each *key*."""
    posting = Posting(core, running, conversation_id)
    await posting.add(ticket, posting.hub_post(key, text, "hub"))
