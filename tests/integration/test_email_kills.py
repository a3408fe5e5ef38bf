"""A thousand mails into PostgreSQL while the listener is ended at random points: each once."""

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from hub.core import Core
from sandbox.mail import MailPair
from tests.mailhub import mail_account, mail_hub
from tests.mailkit import PASSWORD, SUPPORT, simple_mail

WANTED = 1000


class Chance:
    """Ends connections of the hub, each time after another short while."""

    def __init__(self, mail: MailPair, seed: int) -> None:
        self.cuts = 0
        self._mail = mail
        self._random = random.Random(seed)

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self._random.uniform(0.05, 0.4))
            self._mail.imap.drop_all()
            self.cuts += 1


async def stored(core: Core) -> int:
    rows: Any = await core.db.fetch("SELECT count(*) AS n FROM inbox WHERE account = 'support'")
    return int(rows[0]["n"])


@pytest.mark.slow
async def test_each_of_a_thousand_mails_is_stored_once(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connections are cut at random, and the whole process ends and begins anew several times."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.delenv("REDIS_URL", raising=False)
    monkeypatch.setattr("adapters.email.listener.FIRST_DELAY_S", 0.01)
    mail = MailPair({SUPPORT: PASSWORD})
    await mail.start()
    accounts = mail_account(mail, "support", SUPPORT, PASSWORD)
    async with mail_hub(tmp_path, accounts, "support"):
        pass  # where to begin is known now
    for number in range(WANTED):
        await mail.imap.deliver(SUPPORT, simple_mail(number))
    chance = Chance(mail, seed=5)
    lives = 0
    async with asyncio.timeout(100):
        done = False
        while not done:
            lives += 1
            async with mail_hub(tmp_path, accounts, "support") as core:
                cutting = asyncio.create_task(chance.run())
                until = asyncio.get_running_loop().time() + random.Random(lives).uniform(0.3, 1.5)
                while asyncio.get_running_loop().time() < until:
                    await asyncio.sleep(0.05)
                    done = await stored(core) >= WANTED
                cutting.cancel()
                await asyncio.gather(cutting, return_exceptions=True)
    async with mail_hub(tmp_path, accounts, "support") as core:
        rows: Any = await core.db.fetch(
            "SELECT count(*) AS n, count(DISTINCT body) AS bodies FROM inbox WHERE account = 'support'"
        )
    await mail.close()
    assert (rows[0]["n"], rows[0]["bodies"]) == (WANTED, WANTED)
    assert lives > 1
    assert chance.cuts > 3
