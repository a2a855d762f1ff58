"""Measures on numbers made by hand, and the ports that no measure may let through."""

import math
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parity.error import FLOOR, Error, exact_error, measure, same_form, ulps
from parity.errors import OutputMismatch
from parity.results import Worst
from parity.tests.gain import tolerances

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
U = 2.0**-24  # unit roundoff of float32


def one(x: Any, dtype: Any = np.float64) -> dict[str, np.ndarray]:
    """Return a lone output."""
    return {"output": np.asarray(x, dtype)}


def rejected(check: str, error: Error) -> bool:
    """Return whether a new port's bounds reject an error."""
    return not tolerances().judge("toy/any", check, error).passed


@pytest.mark.parametrize(
    ("a", "b", "dtype", "expected"),
    [
        (1.0, 1.0, "float32", 0),
        (1.0, 1.0 + 2**-23, "float32", 1),
        (1.0, 1.0 - 2**-24, "float32", 1),
        (1.0, 2.0, "float32", 2**23),
        (0.0, -0.0, "float32", 0),
        (2.0**-149, -(2.0**-149), "float32", 2),
        (0.0, -(2.0**-149), "float32", 1),
        (-1.0, -1.0 - 2**-23, "float32", 1),
        (-1.0, 1.0, "float32", 2 * 0x3F800000),
        (1.0, 1.0 + 2**-7, "bfloat16", 1),
        (-(2.0**-133), 2.0**-133, "bfloat16", 2),
        (256.0, 260.0, "bfloat16", 2),
        (1.0, 1.0 + 2**-10, "float16", 1),
        (-(2.0**-24), 2.0**-24, "float16", 2),
        (65504.0, -65504.0, "float16", 2 * 0x7BFF),
        (1.0, 1.0 + 2**-52, "float64", 1),
        (-5e-324, 5e-324, "float64", 2),
        (float("nan"), 1.0, "float32", None),
        (1.0, float("inf"), "float32", None),
        (1.0, 2.0, "int32", None),
    ],
    ids=str,
)
def test_ulps(a: float, b: float, dtype: str, expected: int | None) -> None:
    """Representable numbers are counted, also across zero; there is no distance to NaN or inf, or between integers."""
    kind = BFLOAT16 if dtype == "bfloat16" else np.dtype(dtype)
    assert ulps(a, b, kind) == ulps(b, a, kind) == expected


@given(st.floats(allow_nan=False, allow_infinity=False, width=32), st.integers(0, 50))
def test_ulps_counts_steps(x: float, steps: int) -> None:
    """So many steps of nextafter are so many ulps."""
    y = np.float32(x)
    for _ in range(steps):
        y = np.nextafter(y, np.float32(np.inf))
    if np.isfinite(y):
        assert ulps(x, float(y), np.float32) == steps


def test_exact_error_is_relative_to_the_row() -> None:
    """The largest difference over the largest value of its own row, and where it is."""
    reference = one([[1.0, 100.0], [0.001, 0.002]])
    port = one([[1.0, 100.5], [0.001, 0.0021]])
    error = exact_error(reference, port)
    assert error.measures == {"rtol": pytest.approx(0.05)}  # 0.0001 of 0.002, and not 0.5 of 100
    assert error.worst is not None
    assert (error.worst.output, error.worst.index) == ("output", (1, 1))
    assert (error.worst.exact, error.worst.reference, error.worst.port) == (0.002, 0.002, 0.0021)
    assert error.worst.ulp == ulps(0.002, 0.0021, np.float64)


def test_exact_error_near_zero_is_no_error() -> None:
    """An element that cancels to nothing is judged by its row: near zero a correct port is far off elementwise."""
    assert exact_error(one([[1.0, 1e-17]]), one([[1.0, 2e-17]])).measures["rtol"] == pytest.approx(1e-17)


def test_exact_error_of_rows_of_zeros() -> None:
    """A row of zeros is judged by the whole output, and an output of zeros absolutely."""
    reference, port = one([[0.0, 0.0], [2.0, 4.0]]), one([[0.0, 0.1], [2.0, 4.0]])
    error = exact_error(reference, port)
    assert error.measures["rtol"] == pytest.approx(0.1 / 4)
    assert error.worst is not None
    assert error.worst.index == (0, 1)
    assert exact_error(one([[0.0, 0.0]]), one([[0.0, 1e-3]])).measures["rtol"] == pytest.approx(1e-3)


def test_exact_error_of_nothing() -> None:
    """Equal outputs, empty ones and scalars: no error, no worst element, no warning."""
    assert exact_error(one([[1.0, math.pi]]), one([[1.0, math.pi]])) == Error({"rtol": 0.0})
    assert exact_error(one(np.zeros((0, 3))), one(np.zeros((0, 3)))) == Error({"rtol": 0.0})
    assert exact_error(one(np.zeros((3, 0))), one(np.zeros((3, 0)))) == Error({"rtol": 0.0})
    scalar = exact_error(one(2.0), one(3.0))
    assert scalar.measures == {"rtol": 0.5}
    assert scalar.worst is not None
    assert scalar.worst.index == ()


def test_exact_error_takes_the_worst_output() -> None:
    """With several outputs, the worst one is named; integers and booleans count like numbers."""
    reference = {"a": np.ones((2, 2)), "b": np.ones((2, 2)), "mask": np.array([True, False])}
    port = {"a": np.ones((2, 2)), "b": np.array([[1.0, 1.0], [1.25, 1.0]]), "mask": np.array([True, False])}
    error = exact_error(reference, port)
    assert error.worst is not None
    assert (error.measures["rtol"], error.worst.output, error.worst.index) == (0.25, "b", (1, 0))
    assert exact_error(reference, {**reference, "mask": np.array([True, True])}).measures["rtol"] == 1.0
    assert exact_error({"ids": np.array([3, 4])}, {"ids": np.array([3, 5])}).measures["rtol"] == 0.25


def test_exact_error_beside_nan_and_inf() -> None:
    """Where both sides have NaN or inf, everything else is still compared."""
    reference, port = one([[np.nan, np.inf, 1.0, 2.0]]), one([[np.nan, np.inf, 1.0, 2.5]])
    same_form(reference, port)
    error = exact_error(reference, port)
    assert error.worst is not None
    assert (error.measures["rtol"], error.worst.index) == (0.25, (0, 3))


def test_ratio_by_hand() -> None:
    """The port's error over the reference's: in rms here, since one element of four makes the port's maximum less."""
    exact = one([1.0, 1.0, 1.0, 1.0])
    reference = one([1.0, 1.0, 1.0, 1.0 + 2**-10], np.float32)
    port = one([1.0 + 3 * 2**-10] * 4, np.float32)
    error = measure(reference, port, exact=exact)
    assert error.measures["ratio"] == pytest.approx(3 / math.sqrt(1 / 4))
    assert error.measures["rtol"] == pytest.approx(3 * 2**-10 / (1 + 2**-10), rel=1e-6)


def test_ratio_takes_the_larger_of_rms_and_maximum() -> None:
    """One bad element among many good ones shows in the maximum."""
    exact = one(np.ones(100))
    reference = one(1 + 2**-12 * np.ones(100), np.float32)
    port = np.ones(100)
    port[17] = 1 + 20 * 2**-12
    error = measure(reference, one(port, np.float32), exact=exact)
    assert error.measures["ratio"] == pytest.approx(20.0)
    assert error.worst is not None
    assert error.worst.index == (17,)


def test_worst_element_is_the_port_farthest_from_the_truth() -> None:
    """Not the one farthest from the reference; all three values and the ulps between the sides are told."""
    exact, reference = one([[1.0, 8.0]]), one([[1.5, 8.0]], np.float32)
    port = one([[1.0, 8.25]], np.float32)
    worst = measure(reference, port, exact=exact).worst
    assert worst == Worst(
        output="output", index=(0, 1), exact=8.0, reference=8.0, port=8.25, ulp=ulps(8.0, 8.25, np.float32)
    )


@pytest.mark.parametrize(
    ("dtype", "unit"), [(np.dtype(np.float32), U), (BFLOAT16, 2.0**-8), (np.dtype(np.float16), 2.0**-11)], ids=str
)
def test_floor_under_a_lucky_reference(dtype: Any, unit: float) -> None:
    """A reference without any error counts as having lost a few roundings of its own dtype."""
    exact, port = one([1.0, 1.0]), one([1.0 + 16 * unit, 1.0 + 16 * unit], dtype)
    assert measure(one([1.0, 1.0], dtype), port, exact=exact).measures["ratio"] == pytest.approx(16 / FLOOR)


def test_what_is_no_number_has_no_spread() -> None:
    """A loss of nothing is NaN on both sides and under random rounding; it is not infinitely far apart for it."""
    nothing = one([np.nan])
    assert measure(nothing, nothing, exact=nothing, spread=nothing).measures == {"ratio": 0.0, "rtol": 0.0}


def test_spread_counts_as_the_references_error() -> None:
    """Where the reference's program strays from exact, its luck in one example does not count against the port."""
    exact, reference, port = one([1.0, 1.0]), one([1.0, 1.0], np.float32), one([1.0 + 2**-12] * 2, np.float32)
    assert measure(reference, port, exact=exact).measures["ratio"] == pytest.approx(2**-12 / (FLOOR * U))
    spread = one([2**-13, 2**-13])
    assert measure(reference, port, exact=exact, spread=spread).measures["ratio"] == pytest.approx(2.0)
    assert measure(reference, port, exact=exact, spread=one([-(2**-13)] * 2)).measures["ratio"] == pytest.approx(2.0)
    tiny = one([2**-40, 2**-40])
    assert measure(reference, port, exact=exact, spread=tiny).measures["ratio"] == pytest.approx(2**-12 / (FLOOR * U))


def test_what_the_reference_itself_loses_is_no_rtol() -> None:
    """Each side may stray four times as far as the program does under random rounding; what is beyond counts."""
    exact, reference, port = one([1.0, 1.0]), one([1.0, 1.0], np.float32), one([1.0 + 2**-12] * 2, np.float32)
    assert measure(reference, port, exact=exact).measures["rtol"] == 2**-12
    assert measure(reference, port, exact=exact, spread=one([2**-15, 0.0])).measures["rtol"] == 0.0
    assert measure(reference, port, exact=exact, spread=one([-(2**-16)] * 2)).measures["rtol"] == 2**-13
    assert measure(reference, port, exact=exact, spread=one([0.0, 0.0])).measures["rtol"] == 2**-12


def test_better_than_the_reference_is_less_than_one() -> None:
    """A port may be nearer to the truth than its reference, and one that equals it is 1."""
    exact, reference = one([1.0]), one([1.0 + 2**-10], np.float32)
    assert measure(reference, one([1.0 + 2**-11], np.float32), exact=exact).measures["ratio"] == pytest.approx(0.5)
    assert measure(reference, reference, exact=exact).measures == {"ratio": 1.0, "rtol": 0.0}


def test_an_error_where_there_is_no_scale_is_infinite() -> None:
    """Where the truth is zero and the reference says so, anything else is infinitely worse."""
    error = measure(one([0.0, 0.0], np.float32), one([0.0, 1e-30], np.float32), exact=one([0.0, 0.0]))
    assert error.measures == {"ratio": math.inf, "rtol": math.inf}
    assert rejected("float32", error)
    assert measure(one([0.0], np.float32), one([0.0], np.float32), exact=one([0.0])).measures["ratio"] == 0.0


def test_integers_are_not_measured_in_roundings() -> None:
    """Outputs that are no floats have no ratio; empty ones have none either."""
    ids = {"ids": np.array([1, 2]), "none": np.zeros((0,), np.float32)}
    assert measure(ids, ids, exact=ids).measures == {"ratio": 0.0, "rtol": 0.0}


def test_merging_takes_the_worse_of_each_measure() -> None:
    """Measure by measure; the worst element goes with the larger first measure."""
    a = Error({"ratio": 1.0, "rtol": 5.0}, Worst(output="a", index=(), exact=0, reference=0, port=0))
    b = Error({"ratio": 2.0, "rtol": 3.0}, Worst(output="b", index=(), exact=0, reference=0, port=0))
    assert a.merge(b) == b.merge(a) == Error({"ratio": 2.0, "rtol": 5.0}, b.worst)
    assert a.merge(Error({"other": 7.0})).measures == {"ratio": 1.0, "rtol": 5.0, "other": 7.0}
    assert Error({}).merge(a).measures == a.measures
    assert Error({"ratio": 9.0}).merge(a).worst == a.worst


def test_merging_keeps_nan() -> None:
    """NaN is worse than any number, on whichever side it stands."""
    nan, number = Error({"ratio": math.nan}), Error({"ratio": 1.0})
    for merged in (nan.merge(number), number.merge(nan)):
        assert math.isnan(merged.measures["ratio"])
        assert rejected("float32", merged)


def test_every_unlikeness_is_listed() -> None:
    """Names, shapes, dtypes and places of NaN are all told in one message."""
    reference = {
        "only_theirs": np.zeros(1),
        "shape": np.zeros((2, 3)),
        "dtype": np.zeros(2, np.float32),
        "nan": np.array([[1.0, np.nan]]),
        "fine": np.zeros(1),
    }
    port = {
        "only_ours": np.zeros(1),
        "shape": np.zeros((3, 2)),
        "dtype": np.zeros(2, BFLOAT16),
        "nan": np.array([[np.nan, 2.0]]),
        "fine": np.ones(1),
    }
    with pytest.raises(OutputMismatch) as error:
        same_form(reference, port)
    assert str(error.value).split("; ") == [
        "reference output `only_theirs` has no counterpart in the port",
        "port output `only_ours` has no counterpart in the reference",
        "output `shape` has shape (3, 2) in the port, (2, 3) in the reference",
        "output `dtype` is bfloat16 in the port, float32 in the reference",
        "output `nan` has NaN in different places: at (0, 0) the reference has 1, the port nan",
    ]


@pytest.mark.parametrize(
    ("theirs", "ours", "message"),
    [
        ([1.0, np.inf], [1.0, 2.0], "inf in different places: at (1,) the reference has inf, the port 2"),
        ([1.0, -3.5], [1.0, -np.inf], "-inf in different places: at (1,) the reference has -3.5, the port -inf"),
        ([np.inf, 1.0], [-np.inf, 1.0], "inf in different places: at (0,) the reference has inf, the port -inf"),
        ([np.nan, 1.0], [0.0, 1.0], "NaN in different places: at (0,) the reference has nan, the port 0"),
    ],
    ids=["inf", "minus_inf", "sign", "nan"],
)
@pytest.mark.parametrize("dtype", [np.dtype(np.float32), BFLOAT16], ids=str)
def test_nan_and_inf_must_stand_in_the_same_places(theirs: Any, ours: Any, message: str, dtype: Any) -> None:
    """The first place that differs is named, with both values; inf is not -inf."""
    with pytest.raises(OutputMismatch) as error:
        same_form(one(theirs, dtype), one(ours, dtype))
    assert str(error.value).split("; ")[0] == f"output `output` has {message}"


def test_integers_may_be_of_any_width() -> None:
    """Torch counts in int64 and JAX in int32; an integer is still no float, and no boolean."""
    same_form({"ids": np.zeros(2, np.int64)}, {"ids": np.zeros(2, np.int32)})
    with pytest.raises(OutputMismatch, match="output `ids` is float32 in the port, int64 in the reference"):
        same_form({"ids": np.zeros(2, np.int64)}, {"ids": np.zeros(2, np.float32)})
    with pytest.raises(OutputMismatch, match="output `ids` is int32 in the port, bool in the reference"):
        same_form({"ids": np.zeros(2, bool)}, {"ids": np.zeros(2, np.int32)})
    same_form({"x": np.zeros(2, np.float32)}, {"x": np.zeros(2, np.float64)}, dtypes=False)


def test_measure_refuses_unlike_forms() -> None:
    """Nothing is measured between outputs that are no counterparts."""
    with pytest.raises(OutputMismatch):
        measure(one([1.0], np.float32), one([1.0], np.float16), exact=one([1.0]))


LOGITS = np.random.default_rng(0).standard_normal((2, 5, 1000)) * 4


def both_checks(reference: np.ndarray, port: np.ndarray) -> dict[str, Error]:
    """Return an exact error of these outputs, and one of working outputs otherwise as good as the reference."""
    exact, noise = one(reference), np.random.default_rng(1).uniform(-U, U, reference.shape)
    working = one(reference * (1 + noise), np.float32)
    same_form(working, one(port, np.float32))
    return {"exact": exact_error(exact, one(port)), "float32": measure(working, one(port, np.float32), exact=exact)}


def test_a_clean_port_is_let_through() -> None:
    """The control of what follows: the same numbers, rounded otherwise."""
    noise = np.random.default_rng(2).uniform(-U, U, LOGITS.shape)
    assert not rejected("exact", exact_error(one(LOGITS), one(LOGITS * (1 + noise * 2**-29))))
    assert not rejected("float32", both_checks(LOGITS, LOGITS * (1 + noise))["float32"])


def test_a_permuted_vocabulary_is_rejected() -> None:
    """The same logits in another order have the same mean, maximum and histogram."""
    for check, error in both_checks(LOGITS, LOGITS[..., np.random.default_rng(3).permutation(1000)]).items():
        assert rejected(check, error), check


def test_a_port_that_is_all_nan_is_rejected() -> None:
    """NaN compares to nothing, and so a careless maximum would call it zero."""
    with pytest.raises(OutputMismatch, match=r"has NaN in different places: at \(0, 0, 0\) the reference has"):
        both_checks(LOGITS, np.full_like(LOGITS, np.nan))


def test_a_little_garbage_is_rejected() -> None:
    """0.4 % of all elements replaced by others of the same size: no quantile and no mean would tell."""
    port = LOGITS.copy()
    places = np.random.default_rng(4).choice(port.size, int(0.004 * port.size), replace=False)
    port.ravel()[places] = np.random.default_rng(5).standard_normal(len(places)) * 4
    for check, error in both_checks(LOGITS, port).items():
        assert rejected(check, error), check
        assert error.worst is not None
        assert np.ravel_multi_index(error.worst.index, port.shape) in places


def test_one_bad_element_among_many_is_rejected() -> None:
    """A single element of ten thousand, wrong by a thousandth."""
    port = LOGITS.copy()
    port[1, 2, 3] += 4e-3
    for check, error in both_checks(LOGITS, port).items():
        assert rejected(check, error), check
        assert error.worst is not None
        assert error.worst.index == (1, 2, 3)
