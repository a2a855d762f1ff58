"""When Python looks for cyclic garbage: not while modules load, and seldom while checks run."""

import contextlib
import gc
from collections.abc import Iterator

# Traces are millions of small objects that live as long as their case: by default, looking through them over and over
# is 8 % of a run. With this, the most memory that a run takes grows by 3 %.
_SELDOM = (50_000, 50, 100)


@contextlib.contextmanager
def off_and_frozen() -> Iterator[None]:
    """No garbage is looked for inside: of 6 s that modules take to load, 1 s would be that.

    What was loaded stays, so it is not looked through again and again afterwards either.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if collecting:
            gc.enable()


@contextlib.contextmanager
def seldom() -> Iterator[None]:
    """Garbage is looked for seldom inside."""
    before = gc.get_threshold()
    gc.set_threshold(*_SELDOM)
    try:
        yield
    finally:
        gc.set_threshold(*before)
