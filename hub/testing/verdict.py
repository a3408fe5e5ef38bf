"""How a check says no."""

from hub.testing.kit import ChannelKit

__all__ = ["expect", "hidden"]

_MIN_SECRET = 6


def expect(claim: bool, otherwise: str) -> None:
    """Raise AssertionError with *otherwise* unless *claim* holds."""
    if not claim:
        raise AssertionError(otherwise)


def hidden(kit: ChannelKit, *texts: str) -> None:
    """Expect that none of the account's secrets stands in *texts*."""
    for secret in kit.secrets:
        for text in texts:
            seen = len(secret) >= _MIN_SECRET and secret in text
            expect(not seen, "a secret of the account can be read in a repr, log, draft or error")
