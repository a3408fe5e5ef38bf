"""What the error codes of WeChat customer service mean; all of them come inside HTTP 200.

Sources: [D] https://developer.work.weixin.qq.com/document/path/94670 and …/path/94698,
[G] errcodes/mod.go of xen0n/go-workwx, [O] reports of developers.
"""

from collections.abc import Mapping

from hub.errors import BadCredentials, RecipientGone, Rejected, SendError, WindowClosed
from outbound._wecom_api import CORP_ERRORS

__all__ = ["ERRORS", "EXPLAINED", "REPEATED", "explained"]

REPEATED = "95033"  # [O] this msgid has been sent: ours are never used for two messages

ERRORS: Mapping[int, type[SendError]] = {
    **CORP_ERRORS,
    40096: RecipientGone,  # [G] external_userid is no customer of this enterprise
    95000: Rejected,  # [G] open_kfid is malformed
    95001: WindowClosed,  # [D] 5 replies to the last message are used up
    95002: WindowClosed,  # [D] 48 hours since the last message are over
    95003: BadCredentials,  # [G] the enterprise is not verified and has used up its customers
    95004: Rejected,  # [D] the customer-service account is deleted, or another enterprise's
    95007: Rejected,  # [D] the token of a callback is no longer good
    95008: Rejected,  # [G] more than 10 items in a menu
    95009: Rejected,  # [G] type of a menu's item
    95011: BadCredentials,  # [G] the secret of the other kind of access
    95012: BadCredentials,  # [G] the same
    95013: WindowClosed,  # [D] the session has ended
    95014: Rejected,  # [G] not a servicer
    95016: Rejected,  # [D] the session cannot be moved that way
    95017: BadCredentials,  # [G] the interface is switched off for customer service
    95018: WindowClosed,  # [D] the session's state allows no message of the interface
    95019: Rejected,  # [G] the servicer pauses
    95022: Rejected,  # [G] location_type
    95023: BadCredentials,  # [G] the right was given to another app
    95030: Rejected,  # [G] this type is forbidden to the app's maker
    95031: WindowClosed,  # [G] the customer has not written within 48 hours
    95033: Rejected,  # [O] repeated msgid; a repeat of ours is a success, see REPEATED
}

# In a sentence, where the platform's own words do not tell what to do.
EXPLAINED: Mapping[str, str] = {
    "95001": "5 replies to the customer's last message are used up; the customer has to write again",
    "95002": "the customer's last message is more than 48 hours old; the customer has to write again",
    "95013": "the session has ended; the customer has to write again",
    "95016": "the session cannot be taken over by the hub: somebody moved it at the same moment",
    "95018": (
        "the session is not with the hub: it has ended, or a person serves the customer in WeCom; "
        "under 微信客服 let the app, and no person, receive new sessions"
    ),
    "95031": "the customer has not written within 48 hours",
}


def explained(error: SendError) -> SendError:
    """*error* with a sentence that tells what to do, before the platform's own words."""
    sentence = EXPLAINED.get(error.external_code or "")
    if sentence is None:
        return error
    return type(error)(
        f"{sentence} ({error.detail})",
        external_code=error.external_code,
        trace_id=error.trace_id,
        retry_after=error.retry_after,
        advice=error.advice,
    )
