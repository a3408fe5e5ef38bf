"""The `hub` command."""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence

from hub import __version__

Command = Callable[[Sequence[str]], int]
"""Gets the arguments after its own name, gives the exit status."""

COMMANDS: Mapping[str, Command] = {}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its name is the first of *arguments*."""
    parser = argparse.ArgumentParser(prog="hub", description=__doc__)
    parser.add_argument("--version", action="version", version=f"hub {__version__}")
    parser.add_argument("command", choices=sorted(COMMANDS))
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    given = parser.parse_args(sys.argv[1:] if arguments is None else arguments)
    return COMMANDS[given.command](given.arguments)
