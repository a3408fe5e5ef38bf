"""The account's template for a reply that the platform does not allow now. Pure."""

from collections.abc import Mapping
from typing import Any

import msgspec

from hub.model import Reply, Template
from hub.settings import ClosedTemplate
from hub.text import single_line

__all__ = ["announcement", "in_template"]

TEXT = "{text}"


def in_template(template: ClosedTemplate, reply: Reply) -> Reply | None:
    """*reply* as a template that says all of it; None when the template holds less than that."""
    text = (reply.text or "").strip()
    others = (reply.html, reply.attachments, reply.menu, reply.template, reply.location, reply.link)
    if not text or any(others) or "\n" in text or len(text) > template.max_characters:
        return None
    if not any(TEXT in value for value in template.params.values()):
        return None
    return _with(template, reply, text)


def announcement(template: ClosedTemplate, reply: Reply, text: str) -> Reply:
    """The template that tells the customer of *reply*, which waits: as much of *text* as it holds."""
    return _with(template, reply, single_line(text, template.max_characters))


def _with(template: ClosedTemplate, reply: Reply, text: str) -> Reply:
    params: Mapping[str, Any] = {
        name: value.replace(TEXT, text) for name, value in template.params.items()
    }
    return Reply(
        to=reply.to,
        thread_key=reply.thread_key,
        template=Template(template.id, params, template.url),
        message_id=reply.message_id,
        created_at=reply.created_at,
        last_inbound_at=reply.last_inbound_at,
        reply_context=msgspec.to_builtins(reply.reply_context),
    )
