"""Where servers keep their files and sockets."""

import hashlib
import os
import socket
import stat
import tempfile
from pathlib import Path

from hub.embedded._identity import Identity
from hub.embedded._process import ServerError

EVERYBODYS = Path("/var/tmp")  # noqa: S108  own_folder_in checks whose a folder there is
"""Where everybody may go, and files outlive a reboot."""
LONGEST_SOCKET_NAME = ".s.PGSQL.5432"


def digest_of(path: Path) -> str:
    return hashlib.sha256(str(path).encode(errors="surrogateescape")).hexdigest()[:12]


def folder(path: Path) -> Path:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def make_var(var: Path) -> Path:
    """*var* as an absolute path; others may pass through it when it is new, and read nothing in it."""
    var.mkdir(mode=0o711, parents=True, exist_ok=True)
    return var.absolute()


def own_folder_in(shared: Path, name: str, *, mode: int = 0o700, uid: int | None = None) -> Path:
    """The folder *name* within a folder that everybody may write to; *uid* may have it too.

    Raises:
        ServerError: somebody else made it first.
    """
    path = shared / name
    path.mkdir(mode=mode, exist_ok=True)
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid not in (os.geteuid(), uid):
        raise ServerError(f"{path} belongs to somebody else: remove it, or set TMPDIR")
    path.chmod(mode)
    return path


def home_of(var: Path, identity: Identity) -> Path:
    """The folder for data: *var*, unless *identity* cannot get there.

    Data that once had to lie elsewhere are found there again.
    """
    elsewhere = EVERYBODYS / f"hub-{digest_of(var)}"
    has_moved = (elsewhere / "postgres").is_dir() and elsewhere.stat().st_uid == os.geteuid()
    if identity.may_reach(var / "any") and not has_moved:
        return var
    return own_folder_in(EVERYBODYS, elsewhere.name, mode=0o711)


def socket_folder(var: Path, identity: Identity) -> Path:
    """A folder for unix sockets: `var/run`, or a short one where temporary files go.

    A socket's path has at most 107 bytes, some file systems have no sockets at all, and PostgreSQL
    and its clients read a comma or quote in the path as the end of a word.
    """
    path = var / "run" / "s"
    if not (set(str(path)) & set(",\"'\\")) and identity.may_reach(path / "any"):
        folder(path)
        if _takes_sockets(path):
            return path
    name = f"hub-{os.geteuid()}-{digest_of(var)}"
    return own_folder_in(Path(tempfile.gettempdir()), name, uid=identity.uid)


def _takes_sockets(path: Path) -> bool:
    probe = path / LONGEST_SOCKET_NAME.replace("5432", "test")
    probe.unlink(missing_ok=True)
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(os.fsencode(probe))
    except OSError:
        return False
    probe.unlink()
    return True


def log_file(var: Path, name: str, max_bytes: int = 10_000_000) -> Path:
    """`var/log/<name>.log`; the one before it is kept beside it once it has grown."""
    path = folder(var / "log") / f"{name}.log"
    if path.exists() and path.stat().st_size > max_bytes:
        path.replace(path.with_suffix(".log.1"))
    return path
