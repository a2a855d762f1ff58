"""Runs the command line: what a user can get wrong is one line and exit status 2."""

import os
import sys
from collections.abc import Callable, Sequence

import typer

from parity.cli import check as check  # registers its commands
from parity.cli import gate as gate
from parity.cli import locate as locate
from parity.cli import measure as measure
from parity.cli import report as report
from parity.cli.options import app
from parity.cli.output import complain
from parity.errors import ParityError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status. Anything a user can get wrong is one line on stderr."""
    try:
        # Not `app()`: it makes an interrupt and a broken pipe an exit of its own, before anything can be said of them.
        command = typer.main.get_command(app)
        with command.make_context("parity", list(sys.argv[1:] if arguments is None else arguments)) as context:
            command.invoke(context)
        return 0
    except typer.Exit as done:
        return done.exit_code
    except (KeyboardInterrupt, typer.Abort):
        complain("interrupted")
        return 130
    except BrokenPipeError:  # the reader has seen enough (`| head`); this is for the last flush
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        return 0
    except Exception as error:
        said = _said(error)
        if said is None:
            raise
        complain(said)
        return 2


def _said(error: Exception) -> str | None:
    """What to tell a user of an error that is theirs; None for one that is ours."""
    if isinstance(error, ParityError):
        return str(error)
    message: Callable[[], str] | None = getattr(error, "format_message", None)  # typer's own, whatever it is based on
    return " ".join(message().split()) if message else None
