"""Which names stand for this machine."""

import pytest

from sandbox.http import is_loopback


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:8081", "localhost", "localhost:80", "[::1]", "[::1]:8081"]
)
def test_this_machine(host: str) -> None:
    """With and without a port."""
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "evil.example:80",
        "127.0.0.1.evil.example",
        "127.0.0.1:80.evil.example",
        "localhost.evil.example:80",
        "evil.example:127.0.0.1",
        "10.0.0.1:80",
        "0.0.0.0:80",
        "[::2]:80",
        "LOCALHOST@evil.example",
    ],
)
def test_anything_else(host: str) -> None:
    """A name that only begins or ends like it is a stranger's."""
    assert not is_loopback(host)
