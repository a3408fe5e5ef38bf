"""Files that people send each other, and what a browser may be shown of them."""

from dataclasses import dataclass

PICTURE_STARTS = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif"}


@dataclass(frozen=True, slots=True)
class File:
    filename: str
    mime_type: str
    content: bytes


def picture_type(content: bytes) -> str | None:
    """The MIME type by the first bytes; None when it is no picture that is shown."""
    return next((kind for start, kind in PICTURE_STARTS.items() if content.startswith(start)), None)
