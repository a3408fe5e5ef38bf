"""The ``hub`` command."""

import argparse
import difflib
import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from hub import __version__
from hub.errors import ConfigError

__all__ = ["COMMANDS", "main"]

Run = Callable[[Sequence[str]], int]
"""Gets the arguments after the command's own name, gives the exit status."""


class Command(NamedTuple):
    """Where a command lives, and what it is for; its module is loaded when it runs."""

    place: str
    about: str

    def run(self, arguments: Sequence[str]) -> int:
        """Run it."""
        module, _, name = self.place.partition(":")
        run: Run = getattr(importlib.import_module(module), name)
        return run(arguments)


COMMANDS: Mapping[str, Command] = {
    "up": Command(
        "hub.cli.up:up", "run everything on this machine; the demo when nothing is configured"
    ),
    "web": Command("hub.cli.serve:web", "take callbacks and serve the API"),
    "worker": Command("hub.cli.serve:worker", "file, deliver, reply, listen and do slow work"),
    "listen": Command("hub.cli.serve:listen", "only listen to mailboxes and gateways"),
    "status": Command("hub.cli.look:status", "what works, what does not, and what to do"),
    "check": Command("hub.cli.look:check", "try the configuration against the real platforms"),
    "channels": Command("hub.cli.look:channels", "what is installed, from which package"),
    "route": Command(
        "hub.cli.queues:route", "which rule takes a message, and what others would change"
    ),
    "queue": Command("hub.cli.queues:queue", "what waits in each queue; pause and resume"),
    "destination": Command(
        "hub.cli.destinations:destination", "try a destination with a signed sample; restore one"
    ),
    "trace": Command("hub.cli.look:trace", "everything that happened to one message"),
    "try": Command("hub.offline:try_command", "run captured requests through a channel, offline"),
    "compose": Command(
        "hub.offline:compose_command", "show the platform calls of a reply, offline"
    ),
    "replay": Command(
        "hub.cli.change:replay", "file raw events again, or deliver dead letters again"
    ),
    "send": Command("hub.cli.change:send", "reply in a conversation from the command line"),
    "token": Command("hub.cli.change:token", "make, list and revoke API tokens"),
    "migrate": Command("hub.cli.change:migrate", "bring the database's schema up to date"),
}


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {command.about}" for name, command in COMMANDS.items()]
    return "\n".join(["commands:", *lines, "", "`hub COMMAND --help` tells more."])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hub",
        usage="hub COMMAND [ARGUMENTS]",
        description="One conversation for every channel a customer writes on.",
        epilog=_help(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"hub {__version__}")
    parser.add_argument("command", nargs="?", help=argparse.SUPPRESS)
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser


def _unknown(name: str) -> int:
    near = difflib.get_close_matches(name, COMMANDS, 1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(COMMANDS)}"
    print(f"hub: there is no command {name!r}; {hint}", file=sys.stderr)
    return 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its name is the first of *arguments*."""
    parser = _parser()
    given = parser.parse_args(sys.argv[1:] if arguments is None else arguments)
    if given.command is None:
        parser.print_help(sys.stderr)
        return 2
    if given.command not in COMMANDS:
        return _unknown(given.command)
    try:
        return COMMANDS[given.command].run(given.arguments)
    except ConfigError as error:
        print("\n".join(error.mistakes), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 0
