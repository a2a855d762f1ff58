"""What is claimed of a fault that nothing shows, so that it can be held against hostile inputs."""

import dataclasses
from collections.abc import Callable

from parity.faults.every import Injected
from parity.ideal.unfolded import Unfolded


@dataclasses.dataclass(frozen=True)
class Claim:
    """That a fault can't be seen.

    Attributes:
        why: the algebra.
        passed: the lines that the change passes through, its own first.
        ends: the lines at whose results it must show no more.
        shifted: whether numbers are added and taken away on the way, each addition being rounded.
        whatever: whether any finite numbers in place of those that the fault changes must show no more than they do:
            not in one bit, and where every result is a finite number.
    """

    why: str
    passed: tuple[int, ...]
    ends: tuple[int, ...]
    shifted: bool = False
    whatever: bool = False


Rule = Callable[[Unfolded, Injected], Claim | None]
