"""Server-side request forgery: the shared corpus of addresses and URLs, and not one packet.

The corpus lies beside the repository, or where HUB_SHARED says; without it these tests are skipped.
"""

import asyncio
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from hub.fetch import STRICT, Fetcher, Forbidden, Policy, forbidden_address, forbidden_url
from hub.guard import is_private_host, policy_for
from tests.support.shared_material import SHARED

CORPUS = SHARED / "corpora/badinput/authored"
PLAIN = Policy(allow_http=True)
"""Public addresses, but http too: the corpus speaks http, and must not be refused for that alone."""


def cases(name: str) -> list[Any]:
    found = sorted(CORPUS.glob(f"{name}*.json"))
    if not found:
        reason = f"no corpus {name} in {CORPUS} (set HUB_SHARED)"
        return [pytest.param(None, marks=pytest.mark.skip(reason=reason))]
    rows = [row for path in found for row in json.loads(path.read_text(encoding="utf-8"))]
    return [pytest.param(row, id=str(index)) for index, row in enumerate(rows)]


@pytest.fixture(autouse=True)
def packets(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Whatever anybody tries to connect to; nothing is sent."""
    tried: list[Any] = []

    def refuse(self: socket.socket, address: Any) -> None:
        tried.append(address)
        raise OSError(101, "the test lets nothing out")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
    yield tried
    assert [one for one in tried if forbidden_address(one[0])] == []


class Names(AbstractResolver):
    """Every name leads to one address."""

    def __init__(self, address: str) -> None:
        self.address = address

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        kind = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        return [
            ResolveResult(
                hostname=host, host=self.address, port=port, family=kind, proto=0, flags=0
            )
        ]

    async def close(self) -> None:
        return None


async def reached(url: str, policy: Policy, address: str) -> bool:
    """True when the client goes as far as connecting."""
    fetcher = Fetcher(policy, resolver=Names(address))
    try:
        await fetcher("GET", url, timeout=2.0)
    except Forbidden:
        return False
    except Exception:
        return True
    finally:
        await fetcher.close()
    return True


@pytest.mark.parametrize("case", cases("ssrf_ip"))
async def test_addresses(case: dict[str, str], packets: list[Any]) -> None:
    """An address is judged the same as text, in a URL, and behind a name at connect."""
    allowed = case["verdict"] == "allow"
    literal = f"[{case['ip']}]" if ":" in case["ip"] else case["ip"]
    assert (forbidden_address(case["ip"]) is None) == allowed
    assert (forbidden_url(f"https://{literal}/") is None) == allowed
    assert await reached("https://name.example/", STRICT, case["ip"]) == allowed
    assert bool(packets) == allowed


@pytest.mark.parametrize("case", cases("ssrf_url"))
async def test_urls(case: dict[str, str], packets: list[Any]) -> None:
    """A URL that is to be blocked is, with http allowed too, wherever its name then leads."""
    allowed = case["verdict"] == "allow"
    assert (forbidden_url(case["url"]) is None) == allowed
    assert await reached(case["url"], STRICT, "8.8.8.8") == allowed
    if not allowed:
        assert not await reached(case["url"], PLAIN, "127.0.0.1")
        assert not packets


@pytest.mark.parametrize(
    "address",
    [
        "3fff::1",
        "192.88.99.1",
        "240.0.0.1",
        "255.255.255.255",
        "::ffff:10.0.0.1",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::8.8.8.8",
        "2002:808:808::1",
        "2001::1",
        "5f00::1",
        "fec0::1",
        "fe80::1%eth0",
        "ff02::1",
        "fd00:ec2::254",
        "168.63.129.16",
        "not an address",
        "",
    ],
)
def test_addresses_beyond_is_global(address: str) -> None:
    """Blocks that Python's own judgement of "global" leaves open, or that carry another address."""
    assert forbidden_address(address)


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "100.100.100.200", "224.0.0.1", "0.0.0.0", "::"]
)
def test_what_no_setting_opens(address: str) -> None:
    """Metadata services, multicast and the unspecified address stay closed on premise too."""
    assert forbidden_address(address, allow_private=True)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/",
        "https://EXAMPLE.com:443/a?b=c#d",
        "https://例子.example/路径?查询=1",
        "https://8.8.8.8/",
        "https://[2606:4700:4700::1111]/",
        "https://a-b_c.example./",
        "https://example.com/a@b",
    ],
)
def test_ordinary_urls_pass(url: str) -> None:
    """The guard stands in nobody's way."""
    assert forbidden_url(url) is None


@pytest.mark.parametrize(
    "url",
    [
        "https://127.1/",
        "https://0x7f000001/",
        "https://0177.0.0.1/",
        "https://1.2.3/",
        "https://127。0。0。1/",
        "https://[::ffff:7f00:1]/",
        "https://[fe80::1%25eth0]/",
        "https://localhost/",
        "https://app.localhost/",
        "https://db/",
        "https://metadata.google.internal/",
        "https://user:pass@example.com/",
        "https://example.com\\@127.0.0.1/",
        "https://example.com:0/",
        "https://example.com:99999/",
        "https://example.com:22/",
        "https://exa mple.com/",
        "https://example.com/a b",
        "https://example.com/\u200bx",
        "https:///path",
        "https://",
        "https:example.com",
        "https://-a.example/",
        "https://a..example/",
        "https://" + "a" * 64 + ".example/",
        "ftp://example.com/",
        "javascript:alert(1)",
        "\thttps://example.com/",
        "https://example.com/\n",
        "",
    ],
)
async def test_odd_urls_do_not(url: str, packets: list[Any]) -> None:
    """Every other spelling of "inside", and everything that two parsers may read in two ways."""
    assert forbidden_url(url)
    assert not await reached(url, STRICT, "8.8.8.8")
    assert not packets


def test_a_name_that_leads_outside_then_inside() -> None:
    """DNS that changes its answer between two calls: the second is judged anew."""
    names = Names("8.8.8.8")

    async def both() -> list[bool]:
        outcomes = []
        for address in ("8.8.8.8", "127.0.0.1", "::1"):
            names.address = address
            fetcher = Fetcher(PLAIN, resolver=names)
            try:
                await fetcher("GET", "http://rebind.example/", timeout=2.0)
            except Exception as error:
                outcomes.append(isinstance(error, Forbidden))
            await fetcher.close()
        return outcomes

    assert asyncio.run(both()) == [False, True, True]


def test_the_admins_own_urls_open_what_they_need_and_no_more() -> None:
    """An account whose api_base is the sandbox may call the sandbox's port; others stay strict."""
    assert policy_for([]) == STRICT
    assert policy_for(["https://api.weixin.qq.com"]) == STRICT
    assert policy_for(["http://127.0.0.1:9001"]) == Policy(True, True, frozenset({80, 443, 9001}))
    assert policy_for(["https://proxy.example.com:8443/wx"]) == Policy(
        False, False, frozenset({80, 443, 8443})
    )
    assert policy_for(["http://169.254.169.254/"]) == STRICT
    assert is_private_host("http://simulator:9001/")
    assert not is_private_host("https://example.com/")
