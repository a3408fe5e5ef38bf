"""What is configured and installed, and how it is doing."""

from collections.abc import Mapping
from datetime import timedelta

from msgspec import Struct

from hub import registry
from hub.channel import Capabilities, Channel
from hub.status import AccountStatus, StatusReport, status
from hub.web.routes import Call, Nothing, RouteTable

table = RouteTable()
TAG = "Hub"


class ChannelCapabilities(Struct, frozen=True, kw_only=True):
    """What a channel can carry; null where there is no limit. Times are in seconds, sizes in bytes."""

    max_text_bytes: int | None
    max_text_characters: int | None
    attachments: Mapping[str, int]
    reply_window_s: float | None
    allowance: int | None
    receipts: tuple[str, ...]
    quoting: bool
    recall: bool
    proactive: bool
    menus: bool
    templates: bool


class ChannelInfo(Struct, frozen=True, kw_only=True):
    """An installed channel, from which package; *error* says why it does not load."""

    key: str
    title: str | None
    package: str
    version: str
    docs_url: str | None
    capabilities: ChannelCapabilities | None
    error: str | None


class AccountInfo(Struct, frozen=True, kw_only=True):
    """A configured account and how it is doing."""

    name: str
    channel: str
    enabled: bool
    callback: str | None
    capabilities: ChannelCapabilities
    status: AccountStatus


class AccountList(Struct, frozen=True):
    """All accounts."""

    items: tuple[AccountInfo, ...]


class ChannelList(Struct, frozen=True):
    """All installed channels."""

    items: tuple[ChannelInfo, ...]


def _seconds(span: timedelta | None) -> float | None:
    return None if span is None else span.total_seconds()


def _capabilities(one: Capabilities) -> ChannelCapabilities:
    return ChannelCapabilities(
        max_text_bytes=one.max_text_bytes,
        max_text_characters=one.max_text_characters,
        attachments=one.attachments,
        reply_window_s=_seconds(one.reply_window),
        allowance=one.allowance,
        receipts=one.receipts,
        quoting=one.quoting,
        recall=one.recall,
        proactive=one.proactive,
        menus=one.menus,
        templates=one.templates,
    )


@table.add("GET", "/v1/accounts", tag=TAG, scope="read", answer=AccountList)
async def list_accounts(call: Call[Nothing, Nothing]) -> AccountList:
    """List the accounts.

    *callback* is the path at which the platform calls, where it does; a secret segment is not shown.
    """
    report = await status(call.core, call.queues)
    return AccountList(
        tuple(
            AccountInfo(
                name=one.name,
                channel=one.channel,
                enabled=one.enabled,
                callback=_callback(plan.channel, one.name),
                capabilities=_capabilities(plan.channel.capabilities),
                status=one,
            )
            for one in report.accounts
            if (plan := call.core.settings.accounts.get(one.name)) is not None
        )
    )


def _callback(channel: Channel, account: str) -> str | None:
    called = channel.adapter is not None or channel.socket is not None
    return f"/in/{channel.key}/{account}" if called else None


@table.add("GET", "/v1/channels", tag=TAG, scope="read", answer=ChannelList, tagged=True)
async def list_channels(_call: Call[Nothing, Nothing]) -> ChannelList:
    """List the installed channels.

    With what each can do, and the package that it comes from.
    """
    return ChannelList(
        tuple(
            ChannelInfo(
                key=one.key,
                title=channel.title if channel else None,
                package=one.package,
                version=one.version,
                docs_url=channel.docs_url if channel else None,
                capabilities=_capabilities(channel.capabilities) if channel else None,
                error=one.error,
            )
            for one in registry.installed()
            if (channel := registry.channels().get(one.key)) or one.value is None
        )
    )


@table.add("GET", "/v1/status", tag=TAG, scope="read", answer=StatusReport)
async def get_status(call: Call[Nothing, Nothing]) -> StatusReport:
    """Read how everything is doing.

    Per account and destination green, yellow or red, with one sentence on what to do.
    """
    return await status(call.core, call.queues)
