"""The demo: simulators and a helpdesk in one process, so that a newcomer sees the hub at work.

The order of things: make or load the secrets, pick ports, write
``demo_settings_toml`` for the hub, start the hub, then ``Demo.start``. Nothing
here is needed in production.
"""

import asyncio
import contextlib
import json
import os
import secrets
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sandbox.helpdesk import Helpdesk, HelpdeskSite, HubClient, HubError, Phone, new_webhook_secret
from sandbox.mail import MailPair
from sandbox.wechat import WeChatCredentials, WeChatSimulator

README = Path(__file__).resolve().parents[1] / "README.md"
"""Shown on the page where the checkout has it; an installed package has none."""

SHOP_ADDRESS = "support@shop.example"
WECHAT_ACCOUNT = "shop"
MAIL_ACCOUNT = "support"

WECHAT_GREETING = "你好，请问今天几点关门？"
WECHAT_ANSWER = "您好！今天营业到晚上九点，欢迎光临。"
MAIL_SUBJECT = "Where is my order?"
MAIL_GREETING = "Hello, I ordered a lamp on Monday. Could you tell me when it will arrive?"
MAIL_ANSWER = (
    "Hello Mia, your lamp left our warehouse this morning and should be with you tomorrow."
)
GREETERS = {"wechat": "lin", "mail": "mia"}


@dataclass(frozen=True, slots=True)
class DemoSecrets:
    """Everything secret in the demo; all of it is made up at the first start."""

    wechat: WeChatCredentials = field(default_factory=WeChatCredentials, repr=False)
    webhook_secret: str = field(default_factory=new_webhook_secret, repr=False)
    mail_password: str = field(default_factory=lambda: secrets.token_urlsafe(16), repr=False)
    page_token: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)

    @classmethod
    def load_or_make(cls, path: Path) -> "DemoSecrets":
        """The secrets in *path*, made there (mode 0600) when it is missing or unreadable.

        They are kept because the hub's database knows the account by its app
        id; the page's token is new at every start.
        """
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            document = json.loads(path.read_text(encoding="utf-8"))
            wechat = WeChatCredentials(**document["wechat"])
            return cls(wechat, document["webhook_secret"], document["mail_password"])
        made = cls()
        made._save(path)
        return made

    def _save(self, path: Path) -> None:
        document = asdict(self)
        del document["page_token"]
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(f".{os.getpid()}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(document, file)
        draft.replace(path)


@dataclass(frozen=True, slots=True)
class DemoPorts:
    """Where the demo listens, all on 127.0.0.1."""

    helpdesk: int
    wechat: int
    imap: int
    smtp: int

    @classmethod
    def pick(cls) -> "DemoPorts":
        """Four free ports. They are free now; whoever is quick may still take one."""
        with contextlib.ExitStack() as stack:
            sockets = [stack.enter_context(socket.socket()) for _ in range(4)]
            for each in sockets:
                each.bind(("127.0.0.1", 0))
            return cls(*(int(each.getsockname()[1]) for each in sockets))


def demo_settings_toml(ports: DemoPorts, demo_secrets: DemoSecrets, hub_url: str) -> str:
    """The hub's configuration for the demo, in the format of ``config/hub.toml``."""
    wechat = demo_secrets.wechat
    return f"""\
# Written by the demo at its start. Your own settings belong in config/hub.toml.

[hub]
public_url = {_quoted(hub_url)}

[accounts.{WECHAT_ACCOUNT}]
channel = "wechat"
app_id = {_quoted(wechat.app_id)}
app_secret = {_quoted(wechat.app_secret)}
token = {_quoted(wechat.token)}
aes_key = {_quoted(wechat.aes_key)}
original_id = {_quoted(wechat.original_id)}
mode = "safe"
api_base = "http://127.0.0.1:{ports.wechat}"

[accounts.{MAIL_ACCOUNT}]
channel = "email"
address = {_quoted(SHOP_ADDRESS)}
imap_host = "127.0.0.1"
imap_port = {ports.imap}
imap_security = "none"
smtp_host = "127.0.0.1"
smtp_port = {ports.smtp}
smtp_security = "none"
username = {_quoted(SHOP_ADDRESS)}
password = {_quoted(demo_secrets.mail_password)}
initial_lookback_days = 1

[queues.sales]

[queues.support]

[destinations.demo]
type = "webhook"
url = "http://127.0.0.1:{ports.helpdesk}/webhook"
secret = {_quoted(demo_secrets.webhook_secret)}
queues = ["*"]
allow_private = true

[[routes]]
channel = "email"
queue = "support"

[[routes]]
queue = "sales"
"""


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """One message there and back on each channel, and how long it took in seconds."""

    wechat_seconds: float
    mail_seconds: float


class Demo:
    """Simulators, helpdesk and page, started and stopped together."""

    def __init__(
        self,
        hub_url: str,
        hub_token: str,
        ports: DemoPorts,
        demo_secrets: DemoSecrets,
        *,
        api_page: str = "/v1/docs",
        readme: Path | None = README,
    ) -> None:
        credentials = demo_secrets.wechat
        self.ports = ports
        self.wechat = WeChatSimulator(
            **asdict(credentials), callback_url=f"{hub_url}/in/wechat/{WECHAT_ACCOUNT}"
        )
        self.mail = MailPair({SHOP_ADDRESS: demo_secrets.mail_password})
        self.phone = Phone(self.wechat, self.mail, SHOP_ADDRESS)
        self.desk = Helpdesk(
            hub=HubClient(hub_url, hub_token),
            webhook_secret=demo_secrets.webhook_secret,
            names=self.phone.names,
        )
        self.site = HelpdeskSite(
            self.desk, self.phone, token=demo_secrets.page_token, api_page=api_page, readme=readme
        )

    @property
    def page_url(self) -> str:
        """The link to print; it carries the key to the page."""
        return self.site.url

    async def start(self) -> None:
        """Listen on all ports, and fetch what the hub already knows."""
        await self.wechat.start(self.ports.wechat)
        await self.mail.start(self.ports.imap, self.ports.smtp)
        await self.phone.open_mailboxes()
        self._welcome_everyone()
        await self.site.start(self.ports.helpdesk)
        with contextlib.suppress(HubError):
            await self.desk.restore()

    async def stop(self) -> None:
        await self.site.stop()
        await self.desk.close()
        await self.mail.close()
        await self.wechat.stop()

    async def first_round_trip(self, timeout: float = 60.0) -> RoundTrip:
        """Carry one message there and back on both channels, through the hub.

        Raises:
            TimeoutError: an answer did not come back in time.
            ConnectionError: the hub did not take the WeChat push.
        """
        wechat, mail = await asyncio.gather(
            self._wechat_round_trip(timeout), self._mail_round_trip(timeout)
        )
        return RoundTrip(wechat, mail)

    async def _wechat_round_trip(self, timeout: float) -> float:
        self.desk.answer_greeting(WECHAT_GREETING, WECHAT_ANSWER)
        openid, started = self.phone.openid(GREETERS["wechat"]), time.monotonic()
        seen = max((bubble.number for bubble in self.wechat.phone(openid)), default=0)
        result = await self.wechat.push_text(openid, WECHAT_GREETING)
        if not result.acked:
            raise ConnectionError(
                f"the hub did not take the message: {result.outcome} {result.status} {result.errors}"
            )
        await self.wechat.wait_for_answer(openid, after=seen, timeout=timeout)
        return time.monotonic() - started

    async def _mail_round_trip(self, timeout: float) -> float:
        self.desk.answer_greeting(MAIL_GREETING, MAIL_ANSWER)
        await self.mail.wait_until_watched(SHOP_ADDRESS, timeout=timeout)
        person, started = self.phone.people[GREETERS["mail"]], time.monotonic()
        letter = await self.mail.send_as(
            person.mail, SHOP_ADDRESS, MAIL_SUBJECT, MAIL_GREETING, name=person.name
        )
        await self.mail.wait_for_letter(person.mail, after=letter.number, timeout=timeout)
        return time.monotonic() - started

    def _welcome_everyone(self) -> None:
        """The hub may remember conversations of an earlier start: the simulator must know their people.

        Their reply window opens again, because its end went with the old process.
        """
        for key in self.phone.people:
            customer = self.wechat.customers.meet(self.phone.openid(key))
            customer.open_allowance("message", self.wechat.clock())


@contextlib.asynccontextmanager
async def running_demo(demo: Demo) -> AsyncIterator[Demo]:
    """Start *demo*, and stop it whatever happens."""
    try:
        await demo.start()
        yield demo
    finally:
        await demo.stop()


async def run_demo(
    hub_url: str,
    hub_token: str,
    ports: DemoPorts,
    demo_secrets: DemoSecrets,
    *,
    when_ready: Callable[[dict[str, Any]], None] | None = None,
    **more: Any,
) -> None:
    """Run the demo until it is cancelled.

    When the first messages have gone there and back, *when_ready* is called
    with ``{"url", "wechat_seconds", "mail_seconds"}``; without it that is
    printed as one line of JSON.
    """
    async with running_demo(Demo(hub_url, hub_token, ports, demo_secrets, **more)) as demo:
        trip = await demo.first_round_trip()
        facts = {"url": demo.page_url, **asdict(trip)}
        if when_ready is not None:
            when_ready(facts)
        else:
            sys.stdout.write(json.dumps(facts) + "\n")
            sys.stdout.flush()
        await asyncio.Event().wait()


def _quoted(text: str) -> str:
    """A TOML basic string: JSON's escapes are among TOML's."""
    return json.dumps(text)
