"""Where the command line writes: stdout, stderr, files; as wide and as coloured as they are."""

import contextlib
import os
import shutil
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TextIO, TypeVar

from parity.errors import BadInput

T = TypeVar("T")


def deliver(text: str, to: str) -> None:
    """Machine-readable text to stdout or, whole, into a file."""
    from parity.report.files import write_whole

    if to == "-":
        say(text, sys.stdout)
    else:
        write_whole(Path(to), text)


def publish(
    found: T,
    render: Callable[..., str],
    *,
    json: str | None,
    to_json: Callable[[T], str],
    files: Iterable[tuple[Path | None, Callable[[T], str]]] = (),
) -> None:
    """Show what was found, and write it into the files that were asked for, each whole or not at all.

    Args:
        found: what `render`, `to_json` and the makers of files take.
        render: makes the text that people read; where stdout is for JSON, they read it on stderr.
        json: a file, `-` for stdout, or None.
        to_json: makes the JSON.
        files: a file or None, and what makes its text.
    """
    from parity.report.files import write_whole

    stream = sys.stderr if json == "-" else sys.stdout
    say(render(found, width=width(), color=color(stream)), stream)
    if json:
        deliver(to_json(found), json)
    for path, made in files:
        if path:
            write_whole(path, made(found))


def check_files(*files: str | Path | None) -> None:
    """Refuse, before anything runs, files that could not be written; raises BadInput. `-` is stdout."""
    from parity.report.files import check_writable

    for file in files:
        if file not in (None, "-"):
            check_writable(Path(file))


def refuse_text_alone(checkpoint: Path | None, text: Path | None) -> None:
    """Raises BadInput where a text is given and no checkpoint that could read it."""
    if checkpoint is None and text is not None:
        raise BadInput("--text is what a checkpoint reads: give --checkpoint too")


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
