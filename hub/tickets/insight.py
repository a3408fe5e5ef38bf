"""What a connector may know of the conversation behind one of its tickets."""

from uuid import UUID

from hub.core import Core
from hub.destination import Line, PostFile
from hub.ids import show_id
from hub.store import tickets as rows

__all__ = ["TicketInsight"]

LINES = 30


class TicketInsight:
    """Looks into the conversations of one destination's tickets, and into no others."""

    def __init__(self, core: Core, destination: str) -> None:
        self._core = core
        self._name = destination

    async def lines(self, ticket: str) -> list[Line] | None:
        """The latest messages, in their order; None: that is no ticket of this destination."""
        conversation_id = await rows.conversation_of(self._core.db, self._name, ticket)
        if conversation_id is None:
            return None
        found = await rows.latest_lines(self._core.db, conversation_id, LINES)
        return [
            Line(
                is_ours=row["direction"] == "outbound",
                who=row["who"] or "",
                text=row["text"] or "",
                at=row["created_at"],
                status=row["status"],
                files=await self._files(row["id"]),
            )
            for row in reversed(found)
        ]

    async def _files(self, message_id: UUID) -> tuple[tuple[str, str], ...]:
        found = await rows.stored_files(self._core.db, message_id)
        return tuple(
            (show_id("att", row["id"]), row["filename"] or f"{row['kind']}-{row['id'].hex[-6:]}")
            for row in found
        )

    async def file(self, ticket: str, key: str) -> PostFile | None:
        """A file of that conversation; None: it is none of its files, or not kept."""
        row = await rows.file_of_ticket(self._core.db, self._name, ticket, key)
        content = await self._core.media.blobs.read(row["sha256"]) if row is not None else None
        if row is None or content is None:
            return None
        return PostFile(
            key=key,
            filename=row["filename"] or key,
            mime_type=row["mime_type"] or "application/octet-stream",
            content=content,
        )
