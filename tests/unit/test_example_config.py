"""The example configuration is one that loads."""

from pathlib import Path

from hub.settings import load

ROOT = Path(__file__).parents[2]
SECRETS = {
    "WECHAT_APP_SECRET": "0123456789abcdef0123456789abcdef",
    "WECHAT_TOKEN": "tokentoken",
    "WECHAT_AES_KEY": "Zm9vYmFyYmF6cXV1eDAxMjM0NTY3ODlhYmNkZWZnaGk",
    "MAIL_PASSWORD": "authorization-code",
    "DESK_WEBHOOK_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
}


def test_the_example_loads() -> None:
    """Whoever copies it gets no mistake but their own."""
    settings = load(ROOT / "config" / "hub.example.toml", SECRETS)
    assert set(settings.accounts) == {"shop", "support"}
    assert set(settings.queues) == {"sales", "after-sales", "inbox"}
