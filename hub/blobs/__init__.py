"""Where attachments lie: in a folder, or in a bucket when several hosts share the work."""

from pathlib import Path

from hub.blobs.contract import Blobs, Kept, Opened, StoreAway
from hub.blobs.folder import FolderBlobs
from hub.blobs.options import AttachmentSettings

__all__ = [
    "AttachmentSettings",
    "Blobs",
    "FolderBlobs",
    "Kept",
    "Opened",
    "StoreAway",
    "open_blobs",
]


def open_blobs(settings: AttachmentSettings, data_dir: Path) -> Blobs:
    """The store that *settings* name: a bucket, or else a folder below *data_dir*."""
    if settings.bucket is None:
        return FolderBlobs(data_dir / "media")
    from hub.blobs.bucket import BucketBlobs  # an optional dependency

    return BucketBlobs(settings)
