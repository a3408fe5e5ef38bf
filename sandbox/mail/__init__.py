"""A mail provider to run at home: IMAP with IDLE, SMTP with login, and customers' mailboxes."""

from sandbox.files import File
from sandbox.mail.letters import Letter, read_letter, threads_of, write_letter
from sandbox.mail.pair import MailPair
from sandbox.mail.smtp import DROP, Stage

__all__ = [
    "DROP",
    "File",
    "Letter",
    "MailPair",
    "Stage",
    "read_letter",
    "threads_of",
    "write_letter",
]
