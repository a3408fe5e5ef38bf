"""The settings of the store."""

import re
from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta, Struct

from hub.model import Secret

__all__ = ["AttachmentSettings"]


class AttachmentSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[attachments]``: where files lie, and who looks at them. In force after a restart."""

    bucket: Annotated[
        str | None,
        Meta(
            description="Bucket of an S3-compatible service; unset: a folder in data_dir",
        ),
    ] = None
    prefix: Annotated[str, Meta(description="What names in the bucket begin with")] = ""
    endpoint: Annotated[str | None, Meta(description="The service's URL; unset: Amazon's own")] = (
        None
    )
    region: Annotated[str, Meta(description="The bucket's region")] = "us-east-1"
    path_style: Annotated[
        bool, Meta(description="True: the bucket is in the path; false: in the host name")
    ] = True
    access_key_id: Annotated[
        Secret | None, Meta(description="Unset: the machine's own identity")
    ] = None
    secret_access_key: Annotated[Secret | None, Meta(description="Goes with access_key_id")] = None
    clamd: Annotated[
        str | None,
        Meta(description='Virus scanner: "unix:/run/clamav/clamd.ctl" or "tcp:host:3310"'),
    ] = None

    def mistakes(self) -> Iterator[tuple[str, str]]:
        """What is wrong beyond types: (setting, what it wants)."""
        if (self.access_key_id is None) != (self.secret_access_key is None):
            yield "access_key_id", "goes with secret_access_key: both or none"
        if self.endpoint and not self.endpoint.startswith(("https://", "http://")):
            yield "endpoint", f"found {self.endpoint!r}, wants an http:// or https:// URL"
        if self.bucket == "" or (self.bucket is None and (self.endpoint or self.access_key_id)):
            yield "bucket", "is missing"
        if self.clamd and not re.fullmatch(r"unix:/.+|tcp:[^:]+:\d{1,5}", self.clamd):
            yield "clamd", f"found {self.clamd!r}, wants unix:/PATH or tcp:HOST:PORT"
