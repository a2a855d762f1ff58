"""What a ratio beyond its bound is asked next: the same example with other parameters."""

import dataclasses
import statistics
from collections.abc import Callable, Iterator

from parity.case import Example
from parity.error import Error

NEIGHBOURS = 4


def median(example: Example, error: Error, ratio: Callable[[Example], float]) -> Error:
    """An error with the median ratio of an example and of its neighbours, if that is smaller than its own.

    Of many ratios some are large by luck, on either side: a sum whose roundings happen to agree, two scores in the
    thousands that round to one number. A port that is less accurate is so every time.

    Args:
        example: the one whose error is beyond its bound.
        error: that error, which may have been measured more leniently than a neighbour's.
        ratio: the error ratio of another example.
    """
    others = [ratio(other) for other in _neighbours(example)]
    value = statistics.median([error.measures["ratio"], *others])
    return dataclasses.replace(error, measures={**error.measures, "ratio": min(error.measures["ratio"], value)})


def _neighbours(example: Example) -> Iterator[Example]:
    for number in range(1, NEIGHBOURS + 1):
        weights = dataclasses.replace(example.weights, seed=example.weights.seed + number)
        yield dataclasses.replace(example, weights=weights)
