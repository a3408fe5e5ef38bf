"""Platforms you can run at home.

Simulators that speak the real wire formats (a WeChat official account, an
IMAP and SMTP pair) and a small demo helpdesk. Together they let the hub carry
real traffic on one machine, and their own logs judge it in fault tests.

Nothing here imports the hub's internals: a judge must not share the code that
it judges. In particular the cryptography is written a second time.
"""
