"""As whom a server runs: PostgreSQL refuses to run as root.

Root therefore starts it in a user namespace, where root has another number: files stay root's, no
account is made and no permission changed. Where that is refused (the default profile of container
engines), it drops to "nobody"; the files then go where nobody may go. PostgreSQL also refuses a
number without an account, as some container platforms hand out; the namespace helps there too.
"""

import ctypes
import os
import pwd
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

NOBODY = 65534
CLONE_NEWUSER = 0x10000000
PR_SET_PDEATHSIG = 1


def has_account(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


ALIAS = next(
    (account.pw_uid for account in pwd.getpwall() if account.pw_uid not in (0, os.geteuid())),
    NOBODY,
)
"""Any number that has an account and is not root's."""

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
        """Make *path* its own, with all that is in it."""
        if path.stat().st_uid == self.uid:
            return
        for folder, _, files in os.walk(path):
            for name in (folder, *(os.path.join(folder, file) for file in files)):
                os.chown(name, self.uid, self.uid, follow_symlinks=False)


def stay() -> None:
    """Change nothing."""


def enter_namespace() -> None:
    """Go into a new user namespace where this user and group have the number of another account.

    Raises:
        OSError: the system does not allow it.
    """
    uid, gid = os.geteuid(), os.getegid()
    if LIBC is None or LIBC.unshare(CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{ALIAS} {uid} 1"),
        ("gid_map", f"{ALIAS} {gid} 1"),
    ):
        Path("/proc/self", name).write_text(text)


def become_nobody() -> None:
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)


def myself() -> Identity:
    return Identity(os.geteuid(), stay)


def somebody_but_root() -> Identity:
    """Myself, unless that is root or has no account; then myself under another number, or nobody."""
    uid = os.geteuid()
    if uid != 0 and has_account(uid):
        return myself()
    if _works(enter_namespace):
        return Identity(uid, enter_namespace)
    return Identity(NOBODY, become_nobody) if uid == 0 else myself()


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
