"""Who may walk into a conversation, and machines that answer one another."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hub.core import Core
from hub.ids import show_id
from hub.replies.errors import AnsweringMachine, TooManyAnswers
from hub.store.models import Conversation, MessageRow
from sandbox.mail import MailPair
from tests.corekit import eventually
from tests.mailhub import PATIENCE_S, answer, mail_account, mail_hub, said
from tests.mailkit import ANNA, PASSWORD, SUPPORT

BEN = "ben@home.example"
EVE = "eve@elsewhere.example"
SALES = "sales@other.example"
TAGS = 'tags = ["address", "subject"]\ntag_secret = "no secret, this is a test"\n'


@pytest.fixture
async def mail() -> AsyncIterator[MailPair]:
    mail = MailPair({SUPPORT: PASSWORD, SALES: PASSWORD, ANNA: "x", BEN: "x", EVE: "x"})
    await mail.start()
    yield mail
    await mail.close()


@pytest.fixture
def clean_environment(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.delenv("REDIS_URL", raising=False)


@asynccontextmanager
async def hub(mail: MailPair, folder: Path, more: str = "") -> AsyncIterator[Core]:
    accounts = mail_account(mail, "support", SUPPORT, PASSWORD, more)
    async with mail_hub(folder, accounts, "support") as core:
        yield core


async def asked_and_answered(mail: MailPair, core: Core) -> Conversation:
    """Anna asks, and is answered."""
    await mail.send_as(ANNA, SUPPORT, "order", "where is it?")
    (first,) = await said(1)
    conversation = await Conversation.get(id=first.conversation_id)
    await answer(core, conversation, "on its way")
    await eventually(lambda: MessageRow.filter(status="sent").exists(), timeout=PATIENCE_S)
    return conversation


@pytest.mark.usefixtures("clean_environment")
async def test_only_the_customer_continues_by_naming_mails(mail: MailPair, tmp_path: Path) -> None:
    """Somebody else who names the mail stands apart; the agent sees which conversation was named."""
    async with hub(mail, tmp_path) as core:
        conversation = await asked_and_answered(mail, core)
        reply = await mail.wait_for_letter(ANNA, timeout=PATIENCE_S)
        await mail.send_as(EVE, SUPPORT, "Re: order", "send it to me", answering=reply)
        (foreign,) = [one for one in await said(3) if one.conversation_id != conversation.id]
        named = foreign.body["extra"]["related_conversation"]
    assert named == show_id("cnv", conversation.id)


@pytest.mark.usefixtures("clean_environment")
async def test_a_tag_in_the_address_leads_back(mail: MailPair, tmp_path: Path) -> None:
    """Ben answers from a program that names no mail; he is shown as somebody else, and the next answer
    goes to Anna all the same."""
    async with hub(mail, tmp_path, TAGS) as core:
        conversation = await asked_and_answered(mail, core)
        reply = await mail.wait_for_letter(ANNA, timeout=PATIENCE_S)
        tagged = next(
            line.split(": ")[1]
            for line in reply.raw.decode().split("\r\n")
            if line.startswith("Reply-To")
        )
        assert tagged.startswith("support+")
        await mail.send_as(BEN, tagged, "I am her husband", "any news?")
        messages = await said(3, conversation_id=conversation.id)
        await answer(core, conversation, "tomorrow")
        again = await mail.wait_for_letter(ANNA, after=reply.number, timeout=PATIENCE_S)
    assert messages[2].body["extra"]["is_other_participant"] is True
    assert again.text.strip() == "tomorrow"


@pytest.mark.usefixtures("clean_environment")
async def test_a_tag_in_the_subject_is_the_last_resort(mail: MailPair, tmp_path: Path) -> None:
    """It leads the customer back, and nobody else."""
    async with hub(mail, tmp_path, TAGS) as core:
        conversation = await asked_and_answered(mail, core)
        reply = await mail.wait_for_letter(ANNA, timeout=PATIENCE_S)
        assert "[#" in reply.subject
        await mail.send_as(EVE, SUPPORT, f"Re: {reply.subject}", "it is mine")
        await mail.send_as(ANNA, SUPPORT, f"Re: {reply.subject}", "thank you")
        messages = await said(4)
    own = [one.body["text"] for one in messages if one.conversation_id == conversation.id]
    assert own == ["where is it?", "on its way", "thank you"]


# --- machines ------------------------------------------------------------------------------------


async def answers_everything(core: Core, account: str, *, automatic: bool) -> None:
    """An answering machine at the helpdesk: each inbound message of *account* gets an answer at once."""
    done: set[object] = set()
    while True:
        for one in await MessageRow.filter(account=account, direction="inbound"):
            if one.id not in done:
                done.add(one.id)
                conversation = await Conversation.get(id=one.conversation_id)
                await answer(core, conversation, "We got your mail.", automatic=automatic)
        await asyncio.sleep(0.02)


@asynccontextmanager
async def two_machines(
    mail: MailPair, folder: Path, *, automatic: bool, more: str = ""
) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Two mailboxes with an answering machine behind each, and the first mail under way."""
    accounts = mail_account(mail, "support", SUPPORT, PASSWORD, more)
    accounts += mail_account(mail, "sales", SALES, PASSWORD, more)
    async with mail_hub(folder, accounts, "support") as core:
        async with asyncio.timeout(PATIENCE_S):
            while not await core.db.fetch("SELECT 1 FROM checkpoints WHERE account = 'sales'"):
                await asyncio.sleep(0.05)
        tasks = [
            asyncio.create_task(answers_everything(core, name, automatic=automatic))
            for name in ("support", "sales")
        ]
        await mail.send_as(SALES, SUPPORT, "hello", "are you there?")
        try:
            yield tasks
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def first_refusal(tasks: list[asyncio.Task[None]]) -> BaseException | None:
    done, _ = await asyncio.wait(
        tasks, timeout=PATIENCE_S, return_when=asyncio.FIRST_COMPLETED
    )  # fmt: skip
    assert done, "the machines went on"
    return done.pop().exception()


@pytest.mark.usefixtures("clean_environment")
async def test_two_honest_machines_say_one_thing(mail: MailPair, tmp_path: Path) -> None:
    """An answer that says what it is gets no automatic answer."""
    async with two_machines(mail, tmp_path, automatic=True) as tasks:
        refusal = await first_refusal(tasks)
        count = await MessageRow.filter(direction="outbound").count()
    assert isinstance(refusal, AnsweringMachine)
    assert count == 1
    (letter,) = [one for one in mail.letters(SALES) if one.direction == "received"]
    assert b"\r\nAuto-Submitted: auto-replied\r\n" in letter.raw


@pytest.mark.usefixtures("clean_environment")
async def test_two_dishonest_machines_stop_at_the_budget(mail: MailPair, tmp_path: Path) -> None:
    """Machines that pass for people are stopped by their number."""
    budget = "answers_per_hour = 3\n"
    async with two_machines(mail, tmp_path, automatic=False, more=budget) as tasks:
        refusal = await first_refusal(tasks)
        counts = [
            await MessageRow.filter(direction="outbound", account=name).count()
            for name in ("support", "sales")
        ]
    assert isinstance(refusal, TooManyAnswers)
    assert max(counts) == 3
    assert sum(counts) <= 6


@pytest.mark.usefixtures("clean_environment")
async def test_one_contact_gets_so_many_automatic_answers(mail: MailPair, tmp_path: Path) -> None:
    """Also in new conversations; a person may go on answering."""
    async with hub(mail, tmp_path, "automatic_per_day = 2\n") as core:
        for number in range(3):
            await mail.send_as(ANNA, SUPPORT, f"question {number}", "hello")
        asked = await said(3)
        places = [await Conversation.get(id=one.conversation_id) for one in asked]
        await answer(core, places[0], "We got your mail.", automatic=True)
        await answer(core, places[1], "We got your mail.", automatic=True)
        with pytest.raises(AnsweringMachine):
            await answer(core, places[2], "We got your mail.", automatic=True)
        await answer(core, places[2], "This is Li. How can I help?")


@pytest.mark.usefixtures("clean_environment")
async def test_an_account_keeps_its_providers_pace(mail: MailPair, tmp_path: Path) -> None:
    """What is over the limit waits, and nothing is refused."""
    async with hub(mail, tmp_path, "mails_per_minute = 2\n") as core:
        await mail.send_as(ANNA, SUPPORT, "order", "where is it?")
        (first,) = await said(1)
        conversation = await Conversation.get(id=first.conversation_id)
        for number in range(3):
            await answer(core, conversation, f"answer {number}")
        async with asyncio.timeout(PATIENCE_S):
            while await MessageRow.filter(status="sent").count() < 2:
                await asyncio.sleep(0.05)
        states = sorted(one.status or "" for one in await MessageRow.filter(direction="outbound"))
    assert states == ["queued", "sent", "sent"]
