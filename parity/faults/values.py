"""Faults of values: a literal or constant changed, a cast inserted, one element of a result perturbed."""

# Values are whatever arrays the program holds, so they have no static type.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false

from collections.abc import Callable, Iterator
from typing import Any

import ml_dtypes
import numpy as np

from parity.faults.site import Fault, Site, Values, is_number

RELATIVE = 1e-3  # what an element is perturbed by
HUGE = 1e30  # a number that a mask fills with has no place for a relative change
Change = Callable[[Any], Any]

_SCALAR: dict[str, dict[str, Change]] = {
    "f": {
        "times 1.001": lambda x: _scaled(x, 1e-3),
        "times 1.000001": lambda x: _scaled(x, 1e-6),
        "other sign": np.negative,
        "float32's next": lambda x: _next(x),
    },
    "i": {"plus 1": lambda x: x + x.dtype.type(1), "minus 1": lambda x: x - x.dtype.type(1), "other sign": np.negative},
    "u": {"plus 1": lambda x: x + x.dtype.type(1)},
    "b": {"the opposite": np.logical_not},
}


def literals(site: Site) -> Iterator[Fault]:
    """A fixed operand: relative 1e-3 and 1e-6, the other sign, its neighbour; an array of them in one element too."""
    for number, before in site.fixed.items():
        if not is_number(before) or not np.size(before):
            continue
        for detail, change in _SCALAR[before.dtype.kind].items():
            with np.errstate(all="ignore"):
                after = change(before)
            if not _same(before, after):
                said = f"{_said(before)} -> {_said(after)}"
                yield Fault("literal", f"operand {number} {detail}", said, site.exchanged(number, change))
        if np.size(before) > 1:
            for pick, which in PICKS.items():
                yield Fault(
                    "literal",
                    f"operand {number} {pick} element",
                    f"the {pick} element of {_said(before)}, {_much(before)}",
                    site.exchanged(number, lambda x, which=which: perturbed(x, which)),
                )


def casts(site: Site) -> Iterator[Fault]:
    """A result rounded to bfloat16."""
    for number, spec in site.results:
        if spec.dtype == np.float64:
            yield Fault("cast", f"result {number}", "rounded to bfloat16", _on_result(number, to_bfloat16))


def elements(site: Site) -> Iterator[Fault]:
    """One element of a result perturbed: the largest, one in the middle of the range, the last."""
    for number, spec in site.results:
        if not isinstance(spec.dtype, np.dtype) or spec.dtype.kind not in "biuf" or 0 in spec.shape:
            continue
        for pick, which in PICKS.items():
            said = f"the {pick} element, {_much(np.zeros((), spec.dtype))}"
            change = _on_result(number, lambda x, which=which: perturbed(x, which))
            yield Fault("element", f"result {number} {pick}", said, change)
            if len(spec.shape) == 0 or np.prod(spec.shape) == 1:
                break


def perturbed(x: Any, which: Callable[[Any], int]) -> Any:
    """A copy with one live element changed: relative 1e-3 (absolute where all are zero), plus one, or the opposite.

    Among other floats a zero is not live, since nothing is relative to it; nor is what a mask is filled with, since
    nothing relative to that can be seen.

    The copy is in C order, whatever the order of `x`: what lies at a place in a view's memory is another element.
    """
    result = np.array(x, order="C")
    if result.dtype.kind != "f":
        live = np.arange(result.size)
    else:
        tame = np.isfinite(result) & (np.abs(result) < HUGE)
        live = np.flatnonzero(tame & (result != 0))
        live = live if live.size else np.flatnonzero(tame)
    if live.size:
        flat = result.reshape(-1)
        place = live[which(flat[live])]
        flat[place] = _nudged(flat[place])
    return result


def to_bfloat16(x: Any) -> Any:
    """Each value rounded to bfloat16, and back."""
    with np.errstate(all="ignore"):
        return np.asarray(x).astype(ml_dtypes.bfloat16).astype(np.float64)


PICKS: dict[str, Callable[[Any], int]] = {
    "largest": lambda x: int(np.argmax(np.abs(x.astype(np.float64)))),
    "middle": lambda x: int(np.argsort(np.abs(x.astype(np.float64)), kind="stable")[x.size // 2]),
    "last": lambda x: x.size - 1,
}


def _scaled(x: Any, by: float) -> Any:
    with np.errstate(all="ignore"):
        return np.where(x == 0, by, x * (1 + by))[()]


def _next(x: Any) -> Any:
    """The next number of float32; zero has one that no arithmetic can tell from it, and stays."""
    with np.errstate(all="ignore"):
        near = np.asarray(x).astype(np.float32)
        return np.where(near == 0, x, np.nextafter(near, np.float32(np.inf)).astype(np.float64))[()]


def _nudged(x: Any) -> Any:
    if x.dtype == np.bool_:
        return ~x
    if x.dtype.kind in "iu":
        return x + x.dtype.type(1)
    return x * (1 + RELATIVE) if x else x.dtype.type(RELATIVE)


def _much(x: Any) -> str:
    return {"f": f"relative {RELATIVE:g}", "b": "to the opposite"}.get(x.dtype.kind, "plus 1")


def _on_result(number: int, change: Change) -> Callable[[Values, Values], Values]:
    return lambda operands, results: [change(x) if place == number else x for place, x in enumerate(results)]


def _same(before: Any, after: Any) -> bool:
    return bool(np.array_equal(before, after, equal_nan=before.dtype.kind == "f"))


def _said(value: Any) -> str:
    flat = np.ravel(value)
    if flat.size == 1:
        return f"{flat[0]:.9g}" if flat.dtype.kind == "f" else str(flat[0])
    return f"[{flat[0]:.6g} ... {flat[-1]:.6g}]"
