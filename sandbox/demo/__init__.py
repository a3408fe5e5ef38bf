"""The demo: simulators and a helpdesk in one process, so that a newcomer sees the hub at work.

The order of things: make or load the secrets, pick ports, make the :class:`Demo`, write its
``settings_toml`` for the hub, ``start``, start the hub, ``join`` it. Nothing here is needed in
production.
"""

import asyncio
import contextlib
from pathlib import Path
from typing import TypeVar

from sandbox.demo.mail import SHOP_ADDRESS, MailPart
from sandbox.demo.onebot import OneBotPart
from sandbox.demo.part import DemoPart, DemoPorts, DemoSecrets, Place, account_toml, quoted
from sandbox.demo.qq import QqPart
from sandbox.demo.sms import SmsPart
from sandbox.demo.wechat import WeChatPart
from sandbox.demo.wechat_kefu import KefuPart
from sandbox.demo.wecom import WeComPart
from sandbox.helpdesk import PEOPLE, Helpdesk, HelpdeskSite, HubClient, HubError, Phone
from sandbox.mail import MailPair
from sandbox.wechat import WeChatSimulator

__all__ = [
    "PARTS",
    "SHOP_ADDRESS",
    "Demo",
    "DemoPart",
    "DemoPorts",
    "DemoSecrets",
    "Place",
    "account_toml",
    "quoted",
]

README = Path(__file__).resolve().parents[2] / "README.md"
"""Shown on the page where the checkout has it; an installed package has none."""

PARTS: tuple[type[DemoPart], ...] = (
    WeChatPart,
    KefuPart,
    WeComPart,
    QqPart,
    OneBotPart,
    SmsPart,
    MailPart,
)
"""The platforms of the demo; their apps stand on the phones in this order."""

AnyPart = TypeVar("AnyPart", bound=DemoPart)

_REST_TOML = """\
[queues.sales]

[queues.support]

[destinations.demo]
type = "webhook"
url = "http://127.0.0.1:{port}/webhook"
secret = {secret}
queues = ["*"]
allow_private = true

[[routes]]
channel = "email"
queue = "support"

[[routes]]
queue = "sales"
"""


class Demo:
    """Simulators, helpdesk and page, started and stopped together."""

    def __init__(
        self,
        hub_url: str,
        ports: DemoPorts,
        demo_secrets: DemoSecrets,
        *,
        api_page: str = "/v1/docs",
        readme: Path | None = README,
    ) -> None:
        self.ports = ports
        self.secrets = demo_secrets
        self.hub_url = hub_url
        place = Place(hub_url, ports, demo_secrets, PEOPLE)
        self.parts = [make(place) for make in PARTS]
        self.hub = HubClient(hub_url)
        apps = [part.app for part in self.parts if part.app is not None]
        self.phone = Phone(apps, PEOPLE, mail=self.mail, shop_address=SHOP_ADDRESS)
        names: dict[str, str] = {}
        for part in self.parts:
            names |= part.names(PEOPLE)
        secret = demo_secrets.webhook_secret
        self.desk = Helpdesk(hub=self.hub, webhook_secret=secret, names=names)
        self.site = HelpdeskSite(
            self.desk, self.phone, token=demo_secrets.page_token, api_page=api_page, readme=readme
        )

    def part(self, kind: type[AnyPart]) -> AnyPart:
        """The part of type *kind*."""
        return next(part for part in self.parts if isinstance(part, kind))

    @property
    def wechat(self) -> WeChatSimulator:
        return self.part(WeChatPart).simulator

    @property
    def mail(self) -> MailPair:
        return self.part(MailPart).mail

    @property
    def page_url(self) -> str:
        """The link to print; it carries the key to the page."""
        return self.site.url

    def settings_toml(self) -> str:
        """The hub's configuration for the demo, in the format of ``config/hub.toml``."""
        head = "# Written by the demo at its start. Your own settings belong in config/hub.toml."
        hub = f"[hub]\npublic_url = {quoted(self.hub_url)}\n"
        accounts = [part.settings_toml() for part in self.parts]
        secret = quoted(self.secrets.webhook_secret)
        rest = _REST_TOML.format(port=self.ports["helpdesk"], secret=secret)
        return "\n".join([head, "", hub, *accounts, rest])

    async def start(self) -> None:
        """Listen on all ports. The hub is not needed yet."""
        for part in self.parts:
            await part.start()
        await self.site.start(self.ports["helpdesk"])

    async def join(self, hub_token: str) -> None:
        """The hub is there: fetch what it already knows."""
        self.hub.token = hub_token
        with contextlib.suppress(HubError):
            await self.desk.restore()

    async def stop(self) -> None:
        await self.site.stop()
        await self.desk.close()
        for part in reversed(self.parts):
            await part.stop()

    async def first_round_trips(self, timeout: float = 60.0) -> dict[str, float]:
        """Carry one message there and back on every platform: seconds by its name.

        Raises:
            TimeoutError: an answer did not come back in time.
            ConnectionError: the hub did not take a message.
        """
        trips = [part.greet(self.desk, timeout) for part in self.parts]
        seconds = await asyncio.gather(*trips)
        return {part.name: taken for part, taken in zip(self.parts, seconds, strict=True)}
