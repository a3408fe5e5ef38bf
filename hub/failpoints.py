"""Named points at which a test may kill this process: ``HUB_FAILPOINT=name:n``.

A point costs one comparison when the variable is unset, as it always is outside of tests.
"""

import os
import signal

__all__ = ["failpoint"]


def _read(value: str | None) -> tuple[str, int] | None:
    if not value:
        return None
    name, _, count = value.partition(":")
    return name, int(count or 1)


_armed = _read(os.environ.get("HUB_FAILPOINT"))
_passes = 0


def failpoint(name: str) -> None:
    """Die here, as by ``kill -9``, when ``HUB_FAILPOINT`` names this point, at its n-th pass."""
    global _passes
    if _armed is None or _armed[0] != name:
        return
    _passes += 1
    if _passes == _armed[1]:
        os.kill(os.getpid(), signal.SIGKILL)
