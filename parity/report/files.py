"""Report files: written whole or not at all, and refused before the run where they can't be."""

import os
from pathlib import Path

from parity.errors import BadInput


def check_writable(path: Path) -> None:
    """Refuse a file that could not be written, in one line; raises BadInput."""
    folder = path.parent
    if not folder.is_dir():
        raise BadInput(f"{path}: there is no folder {folder}")
    if path.is_dir():
        raise BadInput(f"{path} is a folder, not a file")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise BadInput(f"{path}: not writable")


def write_whole(path: Path, text: str) -> None:
    """Write a file under another name, then give it its own; raises BadInput."""
    if path.exists() and not path.is_file():  # a pipe or a device can't be replaced
        path.write_text(text)
        return
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        try:
            draft.write_text(text)
            os.replace(draft, path)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from None
