"""The one rounding function of the ideal machine: float64 to the nearest half-precision number, ties to even."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from parity.ideal.equation import Array


class Rounding(NamedTuple):
    """One result of a program that was rounded: by which operation, to which dtype, asked for at which `file:line`."""

    operation: str
    dtype: str
    where: str
    values: Array


class Format(NamedTuple):
    """A binary floating format.

    Attributes:
        bits: stored bits of the significand.
        lowest: exponent of the smallest normal number.
        largest: the largest finite number.
    """

    bits: int
    lowest: int
    largest: float


HALVES = {
    "bfloat16": Format(7, -126, float.fromhex("0x1.fep+127")),
    "float16": Format(10, -14, 65504.0),
}
_SPLIT = 2.0**7 + 1
_EXPONENT = np.int64(0x7FF << 52)


@functools.cache
def rounder(name: str) -> Callable[[Any], Array] | None:
    """The function that rounds to a dtype of this name; None for a dtype that the ideal machine does not round to."""
    return functools.partial(_rounded, HALVES[name]) if name in HALVES else None


def _rounded(form: Format, x: Any) -> Array:
    """Float64 numbers that the format has, nearest to those of `x`, in one step.

    By way of float32, as ml_dtypes and torch convert, a number just past a tie is first rounded onto it, and then
    to the wrong side in half of the cases. What is 2**-46 of itself past a tie counts as on it: as far as two sums of
    the same numbers in another order may be apart.
    """
    x = _settled(np.asarray(x, np.float64))
    magnitude = np.abs(x)
    if magnitude.max(initial=0.0) <= form.largest:  # not so with a NaN
        return _nearest(form, x)
    overflow = form.largest + math.ldexp(1.0, math.frexp(form.largest)[1] - form.bits - 2)
    x = np.where(magnitude >= overflow, np.copysign(np.inf, x), x)
    finite = np.isfinite(x)
    return np.where(finite, _nearest(form, np.where(finite, x, 0.0)), x)


def _settled(x: Array) -> Array:
    """Rounded to 46 bits, by Dekker's splitting; what is too large for that, or no number, as it is."""
    with np.errstate(over="ignore", invalid="ignore"):
        large = x * _SPLIT
        return np.where(np.isfinite(large), large - (large - x), x)


def _nearest(form: Format, x: Array) -> Array:
    # 1.5 * 2**52 units in the last place: a sum with it has no room for less than one unit, and is rounded to even.
    power = np.bitwise_and(x.view(np.int64), _EXPONENT).view(np.float64)
    anchor = np.maximum(power, 2.0**form.lowest) * (1.5 * 2.0 ** (52 - form.bits))
    return np.copysign((x + anchor) - anchor, x)
