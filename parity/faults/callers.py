"""Who asked for an operation: the lines of the port from where it stands out to the call that the harness made."""

import itertools
import os
from collections.abc import Collection, Mapping
from pathlib import Path

from parity.ideal.jaxpr import Line, frames

HARNESS = str(Path(__file__).parents[1] / "port") + os.sep  # the room that calls ports
MOST = 24  # lines of one chain

Chain = tuple[str, ...]
Place = tuple[Chain, str]


def chain(line: Line) -> Chain:
    """`file:line` of every frame of the port that an operation was asked for from, innermost first."""
    own = itertools.takewhile(lambda frame: not frame.startswith(HARNESS), frames(line.tracebacks))
    return tuple(itertools.islice(own, MOST)) or ("unknown",)


def owner(place: Place, parts: Mapping[str, Collection[Place]]) -> str | None:
    """Which part an operation belongs to: the one in which the same operation is reached by the same calls.

    Args:
        place: who asked for the operation, as `chain` tells, and its primitive.
        parts: name of a part -> the places of its own operations, as the part alone is traced.

    Returns:
        The name of the first part whose own chain is the beginning of this one; None where there is none.
    """
    callers, primitive = place
    for depth in range(1, len(callers) + 1):
        inner = callers[:depth], primitive
        found = next((name for name, own in parts.items() if inner in own), None)
        if found is not None:
            return found
    return None
