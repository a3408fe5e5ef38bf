"""As whom a server runs: PostgreSQL refuses to run as root.

Root therefore starts it in a user namespace, where root is called 1000: files stay root's, no
account is made and no permission changed. Where that is refused (the default profile of container
engines), it drops to "nobody"; the files then go where nobody may go.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

NOBODY = 65534
CLONE_NEWUSER = 0x10000000
PR_SET_PDEATHSIG = 1

# Loaded here: after a fork it would be too late to load anything.
LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


@dataclass(frozen=True)
class Identity:
    """*uid* is who the kernel takes the process for when it opens a file."""

    uid: int
    enter: Callable[[], None]
    """Called in the child, before the program is loaded."""

    def may_reach(self, path: Path) -> bool:
        """Whether the folders above *path* let it pass.

        Root in a namespace has lost root's privilege over other people's folders.
        """
        return all(self._may_pass(folder) for folder in path.resolve().parents)

    def _may_pass(self, folder: Path) -> bool:
        try:
            status = folder.stat()
        except FileNotFoundError:
            return True
        needed = 0o100 if status.st_uid == self.uid else 0o001
        return bool(status.st_mode & needed)

    def give(self, path: Path) -> None:
        """Make *path* its own."""
        if path.stat().st_uid != self.uid:
            os.chown(path, self.uid, self.uid)


def stay() -> None:
    """Change nothing."""


def enter_namespace() -> None:
    """Go into a new user namespace where this user and group are called 1000.

    Raises:
        OSError: the system does not allow it.
    """
    uid, gid = os.geteuid(), os.getegid()
    if LIBC is None or LIBC.unshare(CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"1000 {uid} 1"),
        ("gid_map", f"1000 {gid} 1"),
    ):
        Path("/proc/self", name).write_text(text)


def become_nobody() -> None:
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)


def myself() -> Identity:
    return Identity(os.geteuid(), stay)


def somebody_but_root() -> Identity:
    """Myself, unless that is root; then root under another name, or nobody."""
    if os.geteuid() != 0:
        return myself()
    if _works(enter_namespace):
        return Identity(0, enter_namespace)
    return Identity(NOBODY, become_nobody)


def _works(enter: Callable[[], None]) -> bool:
    """Try *enter* in a child."""
    pid = os.fork()
    if pid == 0:
        try:
            enter()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitpid(pid, 0)[1] == 0


def die_with(parent: int, number: signal.Signals, identity: Identity) -> Callable[[], None]:
    """What a child does first: become *identity*, and get *number* when *parent* dies.

    In this order, since a change of identity makes the kernel forget the signal. Elsewhere than on
    Linux a server outlives its parent and is stopped by the next start.
    """

    def in_the_child() -> None:
        identity.enter()
        if LIBC is not None:
            LIBC.prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0)
            if os.getppid() != parent:
                os._exit(1)

    return in_the_child
