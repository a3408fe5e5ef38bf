"""What the error codes of message/send and media/upload mean; all of them come inside HTTP 200.

Sources: [D] https://developer.work.weixin.qq.com/document/path/90313,
[G] errcodes/mod.go of xen0n/go-workwx, [O] reports in the developers' forum.
"""

from collections.abc import Mapping

from hub.errors import BadCredentials, RecipientGone, Rejected, SendError
from outbound._wecom_api import CORP_ERRORS

__all__ = ["ERRORS"]

ERRORS: Mapping[int, type[SendError]] = {
    **CORP_ERRORS,
    40003: RecipientGone,  # [D] userid unknown
    40056: BadCredentials,  # [D] agent_id is not one of this enterprise
    40096: RecipientGone,  # [D] external_userid of another enterprise
    60111: RecipientGone,  # [D] no such member
    81013: RecipientGone,  # [D] nobody of those named may see the app
    82001: Rejected,  # [D] nobody is named
    84061: RecipientGone,  # [D] not a contact of the member
    301002: BadCredentials,  # [D] the secret is that of another app than agent_id
}
