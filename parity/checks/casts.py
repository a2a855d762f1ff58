"""Where the roundings of two programs part: matched by the values that they round to, which agree up to there."""

import hashlib
import os
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from parity.case import Example
from parity.checks.subject import Subject
from parity.ideal.rounding import Rounding

PACKAGES = os.path.join("site-packages", "")
Array = npt.NDArray[Any]


def first_difference(subject: Subject, example: Example, dtype: str) -> str | None:
    """The first rounded result of each program that the other never has; None where there is none.

    Up to the first misplaced cast both programs round to the same numbers, whatever order and layout they keep them
    in; so results are told apart by their sorted magnitudes. A program that puts the same casts into other operations,
    such as one product for queries, keys and values, differs here although its outputs don't: read the answer as the
    place to look at first.
    """
    reference, port = subject.roundings(example, dtype)
    root = f"{subject.registry.root.resolve()}{os.sep}"
    lacking = _first(reference, others=port, root=root)
    foreign = _first(port, others=reference, root=root)
    said = [
        f"the port has no {lacking}" if lacking else "",
        f"the reference has no {foreign}" if foreign else "",
    ]
    return "; ".join(filter(None, said)) or None


def _first(roundings: Iterable[Rounding], *, others: Iterable[Rounding], root: str) -> str | None:
    known = {_fingerprint(each.values) for each in others}
    for each in roundings:
        if each.values.size and _fingerprint(each.values) not in known:
            shape = ", ".join(map(str, each.values.shape))
            where = each.where.removeprefix(root).rpartition(PACKAGES)[2]
            return f"{each.operation} to {each.dtype}({shape}) at {where}"
    return None


def _fingerprint(values: Array) -> bytes:
    """Equal for the same magnitudes in any order."""
    return hashlib.blake2b(np.sort(np.abs(values.astype(np.float64)), axis=None).tobytes(), digest_size=16).digest()
