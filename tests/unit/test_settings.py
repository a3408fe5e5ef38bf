"""Settings: every mistake at once, each one a line that says what to do."""

from pathlib import Path

import msgspec
import pytest

from hub.errors import ConfigError
from hub.model import Secret
from hub.settings import ClosedTemplate, HubSettings, load

WECHAT = """
[accounts.shop]
channel = "wechat"
app_id = "wx0123456789abcdef"
app_secret = "${WX_SECRET}"
token = "tokentoken"
aes_key = "Zm9vYmFyYmF6cXV1eDAxMjM0NTY3ODlhYmNkZWZnaGk"
"""
DESK = """
[destinations.desk]
url = "https://desk.example.com/hub"
secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
"""
ENVIRONMENT = {"WX_SECRET": "0123456789abcdef0123456789abcdef"}


def write(folder: Path, text: str) -> Path:
    path = folder / "hub.toml"
    path.write_text(text, encoding="utf-8")
    return path


def mistakes(folder: Path, text: str) -> list[str]:
    path = write(folder, text)
    with pytest.raises(ConfigError) as caught:
        load(path, ENVIRONMENT)
    return [line.removeprefix(f"{path}: ") for line in caught.value.mistakes]


def test_a_sound_file_is_read(tmp_path: Path) -> None:
    """Secrets come from the environment; the default queue exists by itself."""
    settings = load(write(tmp_path, WECHAT + DESK), ENVIRONMENT)
    assert settings.accounts["shop"].account.settings.app_secret == Secret(ENVIRONMENT["WX_SECRET"])
    assert list(settings.queues) == ["inbox"]
    assert settings.destinations["desk"].takes("inbox", "message.received")


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    """One line each: key, what was found, what is wanted."""
    found = mistakes(
        tmp_path,
        """
        [hub]
        port = "eighty"
        retention_day = 3
        [accounts.shop]
        channel = "wechatt"
        [accounts.box]
        channel = "email"
        [destinations.desk]
        url = "https://desk.example.com/hub"
        queues = ["nowhere"]
        [[routes]]
        queue = "sales"
        text = "("
        """,
    )
    told = "\n".join(found)
    assert "hub.port: found 'eighty', wants a whole number" in told
    assert "hub.retention_day: unknown setting; did you mean retention_days?" in told
    assert "accounts.shop.channel: found 'wechatt', wants one that is installed: email, " in told
    assert "accounts.box.address: is missing" in told
    assert "destinations.desk.secret: is missing" in told
    assert "routes[0].queue: found 'sales', wants one of ['inbox']" in told
    assert "routes[0].text: found '(', wants an RE2 regular expression" in told


def test_mistakes_are_told_in_words_for_people(tmp_path: Path) -> None:
    """What is allowed where only some values are, numbers, names, addresses."""
    told = "\n".join(
        mistakes(
            tmp_path,
            """
            [hub]
            log_level = "verbose"
            [destinations.desk]
            timeout_s = "5"
            allow_private = 1
            queues = "sales"
            max_in_flight = 0
            """,
        )
    )
    assert "hub.log_level: found 'verbose', wants one of debug, info, warning, error" in told
    assert "destinations.desk.timeout_s: found '5', wants a number" in told
    assert "destinations.desk.allow_private: found 1, wants true or false" in told
    assert "destinations.desk.queues: found 'sales', wants a list" in told
    assert "destinations.desk.max_in_flight: found 0, wants a whole number >= 1" in told


def test_a_mistake_in_one_half_of_a_table_hides_none_in_the_other(tmp_path: Path) -> None:
    """What the core reads of an account and what its channel reads are told together."""
    told = "\n".join(
        mistakes(
            tmp_path,
            """
            [accounts.shop]
            channel = "wechat"
            enabled = "yes"
            app_idd = "wx0123456789abcdef"
            [destinations.desk]
            timeout_s = "5"
            """,
        )
    )
    assert "accounts.shop.enabled: found 'yes', wants true or false" in told
    assert "accounts.shop.app_idd: unknown setting; did you mean app_id?" in told
    assert "destinations.desk.timeout_s" in told
    assert "destinations.desk.url: is missing" in told


@pytest.mark.parametrize(
    "hub, told",
    [
        ('public_url = "hub.example.com"', "hub.public_url: found 'hub.example.com', wants one"),
        ('public_url = "htp://hub.example.com"', "wants one like https://hub.example.com"),
        ('default_queue = "The inbox"', "hub.default_queue: found 'The inbox'; a name has a-z"),
    ],
)
def test_addresses_and_names_are_looked_at(tmp_path: Path, hub: str, told: str) -> None:
    """Before a platform's console or a helpdesk says so."""
    assert told in "\n".join(mistakes(tmp_path, f"[hub]\n{hub}\n"))


def test_an_empty_secret_is_a_missing_one(tmp_path: Path) -> None:
    """As an environment file gives it in which the line was left blank."""
    told = mistakes(tmp_path, WECHAT.replace("tokentoken", "").replace("${WX_SECRET}", "x"))
    assert [one.partition("shop.")[2] for one in told] == [
        "token: is empty; wants Token of the server configuration (令牌)"
    ]


def test_a_pattern_is_told_once_and_in_words(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """RE2 writes nothing to standard error by itself."""
    (told,) = mistakes(tmp_path, '[[routes]]\nqueue = "inbox"\ntext = "(?<=a)b"\n')
    assert told.endswith("wants an RE2 regular expression: invalid perl operator: (?<=")
    assert capfd.readouterr().err == ""


def test_a_filter_that_fits_nothing_is_a_mistake(tmp_path: Path) -> None:
    """A misspelt name would silently keep messages from a helpdesk, or a rule from ever taking one."""
    found = mistakes(
        tmp_path,
        WECHAT
        + DESK
        + """
        events = ["message.recieved", "message.status"]
        [[routes]]
        queue = "inbox"
        account = "shp"
        [[routes]]
        queue = "inbox"
        channel = "wechatt"
        """,
    )
    told = "\n".join(found)
    assert len(found) == 3
    assert "routes[0].account: found 'shp', wants one of ['shop']" in told
    assert "routes[1].channel: found 'wechatt', wants one of ['email', " in told
    assert "destinations.desk.events: found 'message.recieved', wants of ['account.state', " in told


def test_a_secret_is_never_shown(tmp_path: Path) -> None:
    """A mistake in a secret tells its length, not its value."""
    told = "\n".join(mistakes(tmp_path, WECHAT.replace("Zm9v", "OOPS-") + DESK))
    assert "accounts.shop.aes_key" in told
    assert "YmFyYmF6" not in told


def test_a_missing_variable_is_named(tmp_path: Path) -> None:
    """The line names the key and the variable."""
    path = write(tmp_path, WECHAT)
    with pytest.raises(
        ConfigError, match=r"accounts\.shop\.app_secret: the environment has no WX_SECRET"
    ):
        load(path, {})


def test_a_secret_from_a_file_loses_its_spaces_with_a_warning(tmp_path: Path) -> None:
    """`file:` reads a file; what was copied along with the secret is left out, and told."""
    secret = tmp_path / "secret"
    secret.write_text(" 0123456789abcdef0123456789abcdef\n\n")
    text = WECHAT.replace("${WX_SECRET}", f"file:{secret}")
    settings = load(write(tmp_path, text), {})
    assert settings.accounts["shop"].account.settings.app_secret == Secret(ENVIRONMENT["WX_SECRET"])
    assert any("app_secret" in warning for warning in settings.warnings)


def test_a_byte_order_mark_is_no_part_of_a_file(tmp_path: Path) -> None:
    """Notepad writes one, into settings and secrets."""
    secret = tmp_path / "secret"
    secret.write_text("0123456789abcdef0123456789abcdef", encoding="utf-8-sig")
    path = tmp_path / "hub.toml"
    text = WECHAT.replace("${WX_SECRET}", f"file:{secret.as_posix()}")
    path.write_text(text, encoding="utf-8-sig")
    settings = load(path, {})
    assert settings.accounts["shop"].account.settings.app_secret == Secret(ENVIRONMENT["WX_SECRET"])
    assert settings.warnings == ()


@pytest.mark.parametrize(
    "content, told",
    [
        (b"[hub\n", "is not TOML"),
        (b"\xff\xfe[hub]", "is not UTF-8 text (byte 0)"),
        (b"hub = 3", "hub: found 3, wants a table [hub]"),
        (b"[acounts.x]", "acounts: unknown section; did you mean accounts?"),
        (b"accounts = 3", "accounts: found 3, wants tables [accounts.NAME]"),
        (b"[accounts]\nshop = 3", "accounts.shop: found 3, wants a table [accounts.shop]"),
        (b"[accounts.'A b']", "a name has a-z, 0-9, - and _"),
        (b"routes = 3", "routes: wants a list of tables [[routes]]"),
        (b"a = " + b"[" * 9000, "nested too deep"),
    ],
)
def test_files_of_the_wrong_shape(tmp_path: Path, content: bytes, told: str) -> None:
    """Every shape of nonsense is one clear line, never a traceback."""
    path = tmp_path / "hub.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    assert told in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The path and the system's reason."""
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load(tmp_path / "nothing.toml", {})


def test_the_environment_wins(tmp_path: Path) -> None:
    """HUB_PORT and its like go before the file."""
    settings = load(write(tmp_path, "[hub]\nport = 1"), {"HUB_PORT": "8099", "HUB_HOST": "0.0.0.0"})
    assert (settings.hub.port, settings.hub.host) == (8099, "0.0.0.0")


@pytest.mark.parametrize("port", ["²", "8" * 5000, "80 80"])
def test_a_port_of_the_environment_is_a_number(tmp_path: Path, port: str) -> None:
    """Anything else is one clear line."""
    with pytest.raises(ConfigError, match=r"hub\.port: found"):
        load(write(tmp_path, ""), {"HUB_PORT": port})


def test_every_setting_of_the_process_can_be_set(tmp_path: Path) -> None:
    """Its type is one that a value can be read as."""
    for one in msgspec.structs.fields(HubSettings):
        path = write(tmp_path, f"[hub]\n{one.name} = []\n")
        with pytest.raises(ConfigError, match=f"hub.{one.name}: found "):
            load(path, {})


def test_a_port_apart_for_the_admin(tmp_path: Path) -> None:
    """A whole number, within what is a port."""
    assert load(write(tmp_path, "[hub]\nadmin_port = 8081\n"), {}).hub.admin_port == 8081
    (line,) = mistakes(tmp_path, "[hub]\nadmin_port = 99999\n")
    assert line.startswith("hub.admin_port: found 99999")


def test_a_secret_file_may_end_with_a_line_end(tmp_path: Path) -> None:
    """Every editor and `echo` leave one there: no word about it."""
    (tmp_path / "secret").write_text("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n")
    text = DESK.replace("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", f"file:{tmp_path}/secret")
    assert load(write(tmp_path, text), {}).warnings == ()


def test_a_plan_for_closed_windows_is_whole(tmp_path: Path) -> None:
    """A template that is missing, a channel without templates, an account that is not there."""
    assert mistakes(tmp_path, WECHAT + 'when_closed = "template"') == [
        'accounts.shop.closed_template: is missing; when_closed = "template" needs it'
    ]
    assert mistakes(tmp_path, WECHAT + 'when_closed = "other"\nclosed_accounts = ["mail"]') == [
        "accounts.shop.closed_accounts: found 'mail', wants of []"
    ]
    assert "closed_accounts" in mistakes(tmp_path, WECHAT + 'when_closed = "other"')[0]


def test_a_template_for_closed_windows_is_read(tmp_path: Path) -> None:
    """As a table, on one line or several."""
    text = 'when_closed = "template"\nclosed_template = { id = "T", params = { a = "{text}" } }'
    plan = load(write(tmp_path, WECHAT + text), ENVIRONMENT).accounts["shop"]
    assert plan.closed_template == ClosedTemplate(id="T", params={"a": "{text}"})


SMS = """
[accounts.sms]
channel = "sms_http"
[accounts.mainland]
channel = "sms_aliyun"
access_key_id = "LTAI0123456789abcdef"
access_key_secret = "0123456789abcdef0123456789abcdef"
sign_name = "店"
"""


def test_a_door_that_nothing_proves_wants_a_secret_path(tmp_path: Path) -> None:
    """Else whoever finds it writes as any customer, and reports what became of our messages."""
    found = mistakes(tmp_path, SMS)
    assert [line.partition(" is missing")[0] for line in found] == [
        "accounts.sms.intake_secret:",
        "accounts.mainland.intake_secret:",
    ]
    short = SMS.replace("[accounts.mainland]", 'intake_secret = "abc"\n[accounts.mainland]')
    assert len(mistakes(tmp_path, short)) == 2
    secret = 'intake_secret = "0123456789abcdef"'
    sound = SMS.replace("[accounts.mainland]", f"{secret}\n[accounts.mainland]") + secret
    assert sorted(load(write(tmp_path, sound), ENVIRONMENT).accounts) == ["mainland", "sms"]
    off = SMS.replace("[accounts.mainland]", "enabled = false\n[accounts.mainland]")
    assert len(mistakes(tmp_path, off)) == 1


MAILBOX = """
[accounts.{name}]
channel = "email"
address = "{name}@example.com"
username = "office@example.com"
password = "long enough"
imap_host = "{host}"
smtp_host = "smtp.example.com"
folders = [{folders}]
"""


def mailboxes(folders: str, other: str, host: str = "IMAP.example.com") -> str:
    return MAILBOX.format(name="sales", host="imap.example.com", folders=folders) + MAILBOX.format(
        name="support", host=host, folders=other
    )


def test_two_accounts_do_not_read_one_mailbox(tmp_path: Path) -> None:
    """Each would get half of the mail; letters in another case name the same one."""
    assert mistakes(tmp_path, mailboxes('"INBOX"', '"inbox"')) == [
        "accounts.support: reads the folder INBOX of office@example.com at imap.example.com, "
        "as accounts.sales does"
    ]


def test_two_accounts_may_share_a_login(tmp_path: Path) -> None:
    """With folders of their own, on servers of their own, or with one of them switched off."""
    for text in (
        mailboxes('"Sales"', '"Support"'),
        mailboxes('"INBOX"', '"INBOX"', "imap.example.org"),
        mailboxes('"INBOX"', '"INBOX"') + "enabled = false\n",
    ):
        assert len(load(write(tmp_path, text), ENVIRONMENT).accounts) == 2
