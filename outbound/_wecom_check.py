"""``hub check`` for enterprise WeChat, as the app channel and customer service both have it."""

from typing import Any

from hub.channel import Account, Check
from hub.errors import SendError
from outbound._calls import callback_check
from outbound._wecom_api import CorpApi

__all__ = ["advice_on", "checked_callback", "checked_credentials", "checked_secrets"]


def checked_callback(
    account: Account[Any], public_url: str | None, where: str, more: str = ""
) -> Check:
    """What to paste under *where* in the console, and what *more* to do there."""
    advice = f"paste it under {where} → URL{more}"
    return callback_check(account, public_url, advice, "http and https only", _is_web)


def _is_web(url: str) -> bool:
    return url.startswith(("https://", "http://"))


def checked_secrets(account: Account[Any], where: str) -> Check:
    """Their lengths only: what is wrong in form is a mistake of the settings, told at the start."""
    token, key = account.settings.token.reveal(), account.settings.aes_key.reveal()
    detail = f"Token of {len(token)} characters, EncodingAESKey of {len(key)}"
    return Check(True, "token and key", detail, f"paste the same two under {where}")


async def checked_credentials(api: CorpApi) -> Check:
    """Whether the platform gives a token for the corp id and secret."""
    try:
        await api.fetch_token()
    except SendError as error:
        detail = f"{error.sentence} {error.detail}"
        return Check(False, "corp id and secret", detail, advice_on(error))
    return Check(True, "corp id and secret", "the platform gives a token for them")


def advice_on(error: SendError) -> str:
    """What an admin does about *error*."""
    return error.advice or "see the channel's page under docs/channels"
