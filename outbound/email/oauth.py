"""Login by OAuth 2: access tokens of a mailbox, fetched once for all processes, renewed when refused."""

from collections.abc import Mapping
from typing import Any

from hub.channel import Token, Tools
from hub.errors import BadCredentials, Unreachable
from outbound.email.settings import EmailSettings

__all__ = ["MailTokens", "token_url"]

# Where tokens come from, and what they are to be good for. Sources:
# https://developers.google.com/identity/protocols/oauth2/web-server#offline
# https://learn.microsoft.com/en-us/exchange/client-developer/legacy-protocols/how-to-authenticate-an-imap-pop-smtp-application-by-using-oauth
_URLS: Mapping[str, str] = {
    "google": "https://oauth2.googleapis.com/token",
    "microsoft": "https://login.microsoftonline.com/common/oauth2/v2.0/token",
}
_SCOPES: Mapping[str, str] = {
    "microsoft": "https://outlook.office.com/IMAP.AccessAsUser.All "
    "https://outlook.office.com/SMTP.Send offline_access",
}
_OF_THE_APPLICATION = "https://outlook.office365.com/.default"
_USUAL_LIFE_S = 3600.0
# What the token server says → it will say so again.
_FINAL = ("invalid_grant", "invalid_client", "unauthorized_client", "invalid_request")


def token_url(settings: EmailSettings) -> str:
    """Where the account's tokens come from."""
    return settings.oauth_token_url or _URLS.get(settings.oauth_provider, "")


class MailTokens:
    """The access tokens of one mailbox."""

    def __init__(self, settings: EmailSettings, tools: Tools) -> None:
        self._settings = settings
        self._tools = tools

    async def get(self, *, unlike: str | None = None) -> str:
        """A token that is good; *unlike* is one that the mail server has just refused.

        Raises:
            BadCredentials: the token server refuses the account.
            Unreachable: it cannot be asked now.
        """
        return await self._tools.tokens.get("oauth", self._fetch, unlike=unlike)

    async def _fetch(self) -> Token:
        answer = await self._tools.http("POST", token_url(self._settings), form=self._form())
        found = _object(answer.json) if answer.body else {}
        value = found.get("access_token")
        if answer.status == 200 and isinstance(value, str) and value:
            return Token(value, float(found.get("expires_in") or _USUAL_LIFE_S))
        reason = str(found.get("error") or answer.status)
        detail = f"token server: {reason} {found.get('error_description') or ''}".strip()[:300]
        if reason in _FINAL or answer.status in (400, 401, 403):
            raise BadCredentials(detail, external_code=reason)
        raise Unreachable(detail, external_code=reason)

    def _form(self) -> Mapping[str, Any]:
        settings = self._settings
        form = {
            "client_id": settings.oauth_client_id,
            "client_secret": settings.oauth_client_secret.reveal(),
        }
        if not settings.oauth_refresh_token:
            return form | {"grant_type": "client_credentials", "scope": _OF_THE_APPLICATION}
        form |= {
            "grant_type": "refresh_token",
            "refresh_token": settings.oauth_refresh_token.reveal(),
        }
        scope = _SCOPES.get(settings.oauth_provider, "")
        return form | ({"scope": scope} if scope else {})


def _object(read: Any) -> Mapping[str, Any]:
    try:
        found = read()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
