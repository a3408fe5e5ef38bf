"""The pages about SMS tell of every setting and notice, and their settings load."""

import re
from pathlib import Path

import msgspec
import pytest

from adapters.sms_aliyun import AliyunSettings
from adapters.sms_http import GatewaySettings
from adapters.sms_tencent import TencentSettings
from adapters.sms_twilio import TwilioSettings
from hub.settings import load
from outbound._sms_templates import SmsTemplate

CHANNELS = Path(__file__).parents[2] / "docs" / "channels"
SETTINGS = {
    "sms_twilio": TwilioSettings,
    "sms_aliyun": AliyunSettings,
    "sms_tencent": TencentSettings,
    "sms_http": GatewaySettings,
}


def page(key: str) -> str:
    return (CHANNELS / f"{key}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("key", SETTINGS)
def test_every_setting_is_on_the_page(key: str) -> None:
    """With its name, in the table."""
    for one in msgspec.structs.fields(SETTINGS[key]):
        assert f"| `{one.name}` |" in page(key), one.name


def test_every_setting_of_a_template_is_on_the_page() -> None:
    """Of Alibaba Cloud, to which the other one leads."""
    for one in msgspec.structs.fields(SmsTemplate):
        assert f"| `{one.name}` |" in page("sms_aliyun"), one.name


@pytest.mark.parametrize("key", SETTINGS)
def test_the_settings_of_the_page_load(key: str, tmp_path: Path) -> None:
    """As they stand there, with the variables that they name and no others."""
    for number, block in enumerate(re.findall(r"```toml\n(.*?)```", page(key), re.DOTALL)):
        path = tmp_path / f"{number}.toml"
        path.write_text(block, encoding="utf-8")
        named = set(re.findall(r"\$\{([A-Z_]+)\}", block))
        settings = load(path, dict.fromkeys(named, "a-secret-of-some-length"))
        (plan,) = settings.accounts.values()
        assert plan.channel.key == key
