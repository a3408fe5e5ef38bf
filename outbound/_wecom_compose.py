"""What composing has in common for the channels of enterprise WeChat. Pure."""

import re
from collections.abc import Mapping
from typing import NamedTuple

from hub.errors import Unsupported
from hub.model import Draft, ReplyAttachment
from outbound._wechat_parts import fingerprint, kept, type_of
from outbound._wecom_api import MEDIA_LIMITS, call_url

__all__ = ["JSON", "MEDIA_FRESH_S", "File", "as_link", "cut_bytes", "file_of", "upload"]

JSON = {"content-type": "application/json; charset=utf-8"}
MEDIA_FRESH_S = 2.9 * 86400  # an uploaded file is kept for 3 days

# What has a kind of its own, and the ending that the platform wants the file name to have.
# Source: https://developer.work.weixin.qq.com/document/path/90253
_MEDIA_TYPES: Mapping[str, tuple[str, str]] = {
    "image/png": ("image", ".png"),
    "image/jpeg": ("image", ".jpg"),
    "image/jpg": ("image", ".jpg"),
    "audio/amr": ("voice", ".amr"),
    "video/mp4": ("video", ".mp4"),
}
_SAFE_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")
_NOT_IN_A_NAME = re.compile(r'[\x00-\x1f\x7f"\\/:*?<>|]')
_LONGEST_NAME = 120


class File(NamedTuple):
    """How an attachment is uploaded, and what had to be changed for it."""

    kind: str
    mime_type: str
    filename: str
    note: str | None = None


def file_of(attachment: ReplyAttachment) -> File | None:
    """How *attachment* can be sent; None: not at all, it is too large."""
    mime_type = type_of(attachment)
    kind, ending = _MEDIA_TYPES.get(mime_type, ("file", ""))
    if _size(attachment) > MEDIA_LIMITS[kind]:
        return None
    note = None
    if kind == "file" and attachment.kind != "file":
        note = f"{mime_type or attachment.kind} sent as a file: it cannot be shown here"
    return File(kind, mime_type or "application/octet-stream", _name(attachment, ending), note)


def _size(attachment: ReplyAttachment) -> int:
    return attachment.size_bytes or len(attachment.content or b"")


def _name(attachment: ReplyAttachment, ending: str) -> str:
    """The name that the platform gets; people see that of a file, so it keeps its characters."""
    given = attachment.filename or ""
    if ending:
        fits = _SAFE_NAME.fullmatch(given) and given.lower().endswith(ending)
        return given if fits else f"{attachment.kind}{ending}"
    return _NOT_IN_A_NAME.sub("_", given).strip(". ")[-_LONGEST_NAME:] or attachment.kind


def upload(
    api_base: str, attachment: ReplyAttachment, file: File, name: str, *, kind: str | None = None
) -> Draft:
    """The call that uploads *file*; its id is the result *name*."""
    kind = kind or file.kind
    return Draft(
        method="POST",
        url=call_url(api_base, "media/upload", type=kind),
        role="prepare",
        cost=0,
        form={"media": {"filename": file.filename, "content_type": file.mime_type}},
        result=name,
        fingerprint=fingerprint(f"{kind}:{name}", attachment),
        fresh_for_s=MEDIA_FRESH_S,
        extra={"attachment": kept(attachment)},
    )


def as_link(attachment: ReplyAttachment) -> str:
    """The line that stands for a file that is too large.

    Raises:
        Unsupported: it has no address.
    """
    what = attachment.filename or attachment.kind
    if not attachment.url:
        raise Unsupported(
            f"{what} ({_size(attachment)} bytes) cannot be sent here: PNG or JPEG and MP4 up to "
            "10 MB, AMR up to 2 MB, other files up to 20 MB"
        )
    return f"{what}: {attachment.url}"


def cut_bytes(text: str, limit: int) -> str:
    """*text* on one line, cut to *limit* UTF-8 bytes between characters."""
    line = " ".join(text.split())
    if len(line.encode()) <= limit:
        return line
    return line.encode()[: limit - 3].decode("utf-8", "ignore") + "…"
