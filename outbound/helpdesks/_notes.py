"""What agents read in a ticket, in the same words for every helpdesk."""

from collections.abc import Mapping

from hub.destination import Case, Post, Told

__all__ = ["titled", "told_text", "with_footer"]

_TOLD: Mapping[str, str] = {
    "failed": "Not delivered to the customer",
    "unknown": "It may or may not have reached the customer",
    "held": "Held back until the customer writes or the platform lets it go",
}
_EXCERPT = 200


def told_text(told: Told) -> str | None:
    """The note for a reply that did not simply go out; None: there is nothing to tell."""
    if (said := _TOLD.get(told.status)) is None:
        return None
    reason = f": {told.reason}" if told.reason else "."
    return f"{said}{reason}\n> {told.text.strip()[:_EXCERPT]}"


def titled(case: Case, limit: int) -> str:
    """A ticket's title: the channel, who it is, and the subject of a mail."""
    who = case.name or case.address.value
    subject = f": {case.subject}" if case.subject else ""
    return f"{case.channel_title} · {who}{subject}"[:limit]


def with_footer(text: str, post: Post) -> str:
    """*text* with what the channel allows under a customer's message: deadline, replies left."""
    if post.role == "contact" and post.footer:
        return f"{text}\n\n— {post.footer}"
    return text
