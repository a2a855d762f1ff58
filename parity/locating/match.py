"""Which value of one program is which of the other: equal up to the order of axes, however each lays them out."""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
CLOSE = 1e-11  # of the largest value: exact arithmetic agrees to 1e-14, and the faintest bug is far beyond
HUGE = 1e30
SKETCHED = 1e-8  # how far the sums of two equal values may be apart
MOST_AXES = 5


@dataclasses.dataclass(frozen=True)
class Sketch:
    """A value with what any order of its elements leaves as it is: candidates are found by that."""

    values: Floats
    total: float
    square: float
    largest: float

    @staticmethod
    def of(x: Array) -> "Sketch":
        """From any array. What masks are made of, NaN, inf and `HUGE` numbers, counts as twice the largest other."""
        wide = np.nan_to_num(np.asarray(x).astype(np.float64), nan=np.inf, posinf=np.inf, neginf=-np.inf)
        wide = wide.reshape([size for size in wide.shape if size != 1])
        size = np.abs(wide)
        if (huge := size > HUGE).any():
            wide = np.where(huge, np.copysign(2 * np.where(huge, 0.0, size).max() + 1.0, wide), wide)
            size = np.abs(wide)
        return Sketch(wide, float(size.sum()), float(np.sqrt(np.square(wide).sum())), float(size.max(initial=0.0)))

    def resembles(self, other: "Sketch") -> bool:
        """Whether two values may hold the same elements in some order."""
        return self.values.size == other.values.size and all(
            abs(a - b) <= SKETCHED * max(abs(a), abs(b))
            for a, b in ((self.total, other.total), (self.square, other.square), (self.largest, other.largest))
        )

    def equals(self, other: "Sketch") -> bool:
        """Whether they are one array, up to the order of axes and axes of one element."""
        return self.resembles(other) and any(
            float(np.abs(self.values - laid).max(initial=0.0)) <= CLOSE * self.largest
            for laid in other.layouts(self.values.shape)
        )

    def layouts(self, shape: tuple[int, ...]) -> Iterator[Floats]:
        """This value in every order of its axes that has a shape; as it lies comes first."""
        if self.values.shape == shape:
            yield self.values
        if 1 < self.values.ndim == len(shape) <= MOST_AXES:
            for axes in itertools.permutations(range(self.values.ndim)):
                if axes != tuple(range(self.values.ndim)) and tuple(self.values.shape[axis] for axis in axes) == shape:
                    yield self.values.transpose(axes)

    def distance(self, other: "Sketch") -> float | None:
        """The largest difference over the other's largest value, in the nearest order of axes; None if none fits."""
        distances = [float(np.abs(self.values - laid).max(initial=0.0)) for laid in other.layouts(self.values.shape)]
        return min(distances) / other.largest if distances and other.largest else None


class Index:
    """The values of one program, to look others up in; `met` are those that were found."""

    def __init__(self, values: Iterable[Array]) -> None:
        kept = list(values)
        self.sketches = [Sketch.of(x) for x in kept]
        self._floats = {number for number, x in enumerate(kept) if x.dtype.kind not in "biu"}
        self.met: set[int] = set()
        self._by_size: dict[int, list[int]] = {}
        for number, sketch in enumerate(self.sketches):
            self._by_size.setdefault(sketch.values.size, []).append(number)

    def is_float(self, number: int) -> bool:
        """Whether a value holds floats, and not zeros alone."""
        return number in self._floats and self.sketches[number].largest > 0

    def find(self, sketch: Sketch) -> int | None:
        """The first value that equals this one; every one that does is met."""
        found = [n for n in self._by_size.get(sketch.values.size, ()) if sketch.equals(self.sketches[n])]
        self.met.update(found)
        return found[0] if found else None
