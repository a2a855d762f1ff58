"""An example that is beyond its bound is asked again with other parameters, and the median counts."""

import math

import pytest

from parity.case import Example
from parity.checks.neighbours import NEIGHBOURS, median
from parity.error import Error

EXAMPLE = Example({}, {}, {})


@pytest.mark.parametrize(
    ("own", "others", "expected"),
    [
        (9.0, (1.0, 2.0, 3.0, 4.0), 3.0),
        (9.0, (5.0, 6.0, 7.0, 20.0), 7.0),
        (3.0, (5.0, 6.0, 7.0, 8.0), 3.0),
        (9.0, (9.0, 9.0, 9.0, 9.0), 9.0),
    ],
)
def test_the_smaller_of_its_own_and_the_median(own: float, others: tuple[float, ...], expected: float) -> None:
    """Luck on one example says nothing; neither do neighbours' ratios that were taken more strictly than its own."""
    ratios = {number: others[number - 1] for number in range(1, NEIGHBOURS + 1)}
    error = Error({"ratio": own, "rtol": 0.5})
    found = median(EXAMPLE, error, lambda other: ratios[other.weights.seed])
    assert found.measures == {"ratio": expected, "rtol": 0.5}


def test_nothing_makes_good_for_nan() -> None:
    """An error that is no number stays none, whatever its neighbours are."""
    found = median(EXAMPLE, Error({"ratio": math.nan}), lambda other: 1.0)
    assert math.isnan(found.measures["ratio"])
