"""Where the hub may call: which addresses and URLs are refused, decided without sending a packet.

A name is judged again when it is connected to, by the address it then resolves to (``hub.fetch``), so
a name that changes its mind between check and call gains nothing.
"""

import ipaddress
import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import NamedTuple

from yarl import URL

__all__ = [
    "ON_PREMISE",
    "STRICT",
    "Policy",
    "forbidden_address",
    "forbidden_url",
    "is_private_host",
    "policy_for",
    "private_network",
]

Network = IPv4Network | IPv6Network


class Policy(NamedTuple):
    """What may be called. *allow_private* opens loopback, RFC 1918, CGNAT and ULA addresses only:
    never link-local (cloud metadata), multicast or reserved ones; *inside* opens those networks of them
    only. *ports* None is any port."""

    allow_private: bool = False
    allow_http: bool = False
    ports: frozenset[int] | None = frozenset({80, 443})
    inside: tuple[Network, ...] = ()


STRICT = Policy()
"""For URLs that anybody may have written: https, ordinary ports, public addresses."""

ON_PREMISE = Policy(allow_private=True, allow_http=True, ports=None)
"""For URLs that the admin has said may lead inside."""


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(text) for text in texts)


_METADATA = _networks("100.100.100.200/32", "168.63.129.16/32", "fd00:ec2::254/128")
_PRIVATE = _networks(
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "::1/128",
    "fc00::/7",
)
# Beyond what ``is_global`` refuses in Python 3.11: transition mechanisms that carry an IPv4 address
# inside, and blocks that are reserved or were given out since.
# Source: https://www.iana.org/assignments/iana-ipv4-special-registry, …/iana-ipv6-special-registry
_RESERVED = _networks(
    "192.0.0.0/24",  # protocol assignments
    "192.88.99.0/24",  # 6to4 relay anycast
    "224.0.0.0/4",  # multicast
    "240.0.0.0/4",
    "::/96",  # IPv4-compatible
    "64:ff9b::/96",  # NAT64
    "64:ff9b:1::/48",
    "100::/64",  # discard
    "100:0:0:1::/64",
    "2001::/23",  # Teredo, ORCHID, benchmarking
    "2002::/16",  # 6to4
    "3fff::/20",  # documentation
    "5f00::/16",  # segment routing
    "fe80::/10",
    "fec0::/10",  # site-local
    "ff00::/8",  # multicast
)


def _within(address: IPv4Address | IPv6Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks if network.version == address.version)


def private_network(text: str) -> Network:
    """A network of private or loopback addresses, such as ``10.1.0.0/16`` or ``192.168.1.7``.

    Raises:
        ValueError: it is none.
    """
    network = ipaddress.ip_network(text)
    if not any(
        network.version == one.version and network.subnet_of(one)  # type: ignore[arg-type]
        for one in _PRIVATE
    ):
        raise ValueError(f"found {text!r}, wants private addresses such as 10.1.0.0/16")
    return network


def forbidden_address(
    ip: str, *, allow_private: bool = False, inside: Iterable[Network] = ()
) -> str | None:
    """Why the hub must not connect to the address *ip*; None when it may."""
    try:
        address: IPv4Address | IPv6Address = ipaddress.ip_address(ip.partition("%")[0])
    except ValueError:
        return f"{ip!r} is not an address"
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if _within(address, _METADATA):
        return f"{address} is a cloud's metadata service"
    if _within(address, _PRIVATE):
        allowed = allow_private or _within(address, inside)
        return None if allowed else f"{address} is a private or loopback address"
    if _within(address, _RESERVED) or not address.is_global:
        return f"{address} is a reserved address"
    return None


_SHAPE = re.compile(r"(https?)://([^/?#]+)([/?#].*)?", re.IGNORECASE | re.DOTALL)
_UNSAFE = re.compile(r"[\x00-\x20\x7f\\\u0080-\u00a0\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff]")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_INSIDE_NAMES = ("localhost", "local", "internal", "localdomain", "home.arpa", "intranet", "lan")
_METADATA_NAMES = ("metadata", "metadata.tencentyun.com", "metadata.google.internal")


def _forbidden_name(host: str, policy: Policy) -> str | None:
    name = host.lower().removesuffix(".")
    labels = name.split(".")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        return "its host is not a name"
    if _NUMBER.fullmatch(labels[-1]):
        return "its host is a number, not a name"  # 2130706433, 0x7f.1 and 127.1 all mean 127.0.0.1
    if name in _METADATA_NAMES:
        return f"{name} is a cloud's metadata service"
    if policy.allow_private or policy.inside:
        return None  # its address is judged when it is known
    if len(labels) == 1 or any(name.endswith(f".{end}") for end in _INSIDE_NAMES):
        return f"{name} is a private name"
    return None


def _forbidden_host(host: str, policy: Policy) -> str | None:
    """*host* as :class:`yarl.URL` reads it, without brackets and in ASCII."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return _forbidden_name(host, policy)
    return forbidden_address(host, allow_private=policy.allow_private, inside=policy.inside)


def forbidden_url(url: str, policy: Policy = STRICT) -> str | None:
    """Why the hub must not call *url*, as far as its text tells; None when it may."""
    shape = _SHAPE.fullmatch(url)
    if shape is None:
        return "it is not an http or https URL"
    if _UNSAFE.search(url):
        return "it has a space, a control character or a backslash"
    if "@" in shape[2]:
        return "it has a user name in it"
    if "%" in shape[2]:
        return "its host has an escape in it"
    if shape[1].lower() == "http" and not policy.allow_http:
        return "it is not https"
    try:
        parsed = URL(url)
        host, port = parsed.raw_host, parsed.port
    except (ValueError, UnicodeError) as error:
        return f"it is not a URL: {error}"
    if not host:
        return "it has no host"
    if policy.ports is not None and port not in policy.ports:
        return f"port {port} is not one of {', '.join(map(str, sorted(policy.ports)))}"
    return _forbidden_host(host, policy)


def is_private_host(url: str) -> bool:
    """True when *url* names a private or loopback address or an inside name, as it stands."""
    return (
        forbidden_url(url, ON_PREMISE) is None
        and forbidden_url(url, ON_PREMISE._replace(allow_private=False)) is not None
    )


def policy_for(bases: Iterable[str]) -> Policy:
    """The policy for an account whose admin set the URLs *bases*: what they need, and no more."""
    policy = STRICT
    for base in bases:
        port = URL(base).port if forbidden_url(base, ON_PREMISE) is None else None
        if port is None:
            continue
        policy = Policy(
            policy.allow_private or is_private_host(base),
            policy.allow_http or base.lower().startswith("http:"),
            (policy.ports or frozenset()) | {port},
        )
    return policy
