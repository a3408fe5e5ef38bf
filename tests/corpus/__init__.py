"""The email channel measured on mails that many projects collected, against what those projects state."""
