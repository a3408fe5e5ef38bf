"""Marks by which an answer finds back to its conversation where mail programs lose the thread."""

import base64
import hashlib
import hmac

from outbound.email.settings import EmailSettings

__all__ = ["SUBJECT_TAG_CHARACTERS", "TAG_CHARACTERS", "known_ids", "tag_of", "tagged_address"]

TAG_CHARACTERS = 16
SUBJECT_TAG_CHARACTERS = 10


def tag_of(settings: EmailSettings, thread_key: str, contact: str) -> str | None:
    """The tag of a conversation: 80 bits that nobody can guess, in letters that survive lower case.

    None: the account uses no tags.
    """
    if not settings.tags:
        return None
    key = settings.tag_secret.reveal().encode()
    digest = hmac.digest(key, f"{thread_key}\0{contact}".encode(), hashlib.sha256)
    return base64.b32encode(digest[:10]).decode("ascii").lower()


def tagged_address(address: str, tag: str) -> str:
    """*address* with the tag as its detail (RFC 5233): ``support+tag@shop.example``."""
    local, _, domain = address.rpartition("@")
    return f"{local}+{tag}@{domain}"


def known_ids(settings: EmailSettings, tag: str | None) -> list[str]:
    """The external ids under which the core is to remember the conversation for later hints."""
    if tag is None:
        return []
    found = [f"tag:{tag}"] if "address" in settings.tags else []
    return found + (
        [f"subject:{tag[:SUBJECT_TAG_CHARACTERS]}"] if "subject" in settings.tags else []
    )
