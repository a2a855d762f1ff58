"""Where the command line writes: stdout, stderr, files; as wide and as coloured as they are."""

import contextlib
import os
import shutil
import sys
from pathlib import Path
from typing import TextIO


def deliver(text: str, to: str) -> None:
    """Machine-readable text to stdout or, whole, into a file."""
    from parity.report.files import write_whole

    if to == "-":
        say(text, sys.stdout)
    else:
        write_whole(Path(to), text)


def check_files(*files: str | Path | None) -> None:
    """Refuse, before anything runs, files that could not be written; raises BadInput. `-` is stdout."""
    from parity.report.files import check_writable

    for file in files:
        if file not in (None, "-"):
            check_writable(Path(file))


def say(text: str, stream: TextIO) -> None:
    """Text to a stream, at once."""
    stream.write(text)
    stream.flush()


def tell(text: str) -> None:
    """What is under way, where somebody watches."""
    if sys.stderr.isatty():
        sys.stderr.write(f"{text} ...\n")


def complain(line: str) -> None:
    """One line of what is wrong, on stderr."""
    with contextlib.suppress(BrokenPipeError):
        sys.stderr.write(f"parity: error: {line}\n")


def width() -> int:
    """Columns to write in."""
    return max(40, min(shutil.get_terminal_size((80, 24)).columns, 120))


def color(stream: TextIO) -> bool:
    """Whether a stream is somebody's terminal that shows colours."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
