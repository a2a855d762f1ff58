"""Laws: what the second call is, and which elements of both calls are held against each other."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from parity import laws
from parity.errors import ParityError

Array = npt.NDArray[Any]


def call(seed: int = 0, /, **inputs: Any) -> laws.Call:
    return laws.Call({}, {}, inputs, np.random.default_rng(seed))


def grid(*shape: int) -> Array:
    """Distinct numbers, so that a moved element shows."""
    return np.arange(np.prod(shape), dtype=np.float64).reshape(shape) + 1


def holds(twin: laws.Twin, function: Any, inputs: Mapping[str, Any], *names: str) -> bool:
    """Whether a function of inputs by name obeys a twin, for outputs that go by these names."""
    pairs = [twin.alike(name, function(**inputs), function(**twin.inputs)) for name in names or ("output",)]
    return all(first.shape == second.shape and np.allclose(first, second) for first, second in pairs)


def test_permuted_moves_every_named_axis_alike() -> None:
    """Leaves of tuples and two axes of a mask follow one order; what is not given or not named stays."""
    first: dict[str, Any] = {
        "x": grid(2, 4, 3),
        "tables": (grid(2, 4), -grid(2, 4)),
        "mask": grid(2, 1, 4, 4),
        "eps": 0.5,
    }
    axes = {"x": 1, "tables": 1, "mask": (2, 3), "absent": 1}
    second = laws.permuted(call(**first), axes, {"*": 1}).inputs
    order = [int(np.flatnonzero(first["tables"][0][0] == value)[0]) for value in second["tables"][0][0]]
    assert sorted(order) == [0, 1, 2, 3] != order
    np.testing.assert_array_equal(second["x"], first["x"][:, order])
    np.testing.assert_array_equal(second["tables"][1], first["tables"][1][:, order])
    np.testing.assert_array_equal(second["mask"], first["mask"][:, :, order][..., order])
    assert second["eps"] == 0.5
    assert "absent" not in second


def test_permuted_holds_for_what_works_on_each_entry_and_for_nothing_else() -> None:
    """A square obeys, a cumulative sum doesn't."""
    x = grid(2, 5)
    twin = laws.permuted(call(x=x), {"x": 1}, {"*": 1})
    assert holds(twin, lambda x: x**2, {"x": x})
    assert not holds(twin, lambda x: np.cumsum(x, axis=1), {"x": x})


def test_permuted_can_say_that_an_output_stays() -> None:
    """No axes: a maximum over all does not change."""
    x = grid(2, 5)
    twin = laws.permuted(call(x=x), {"x": 1}, {"largest": ()})
    assert holds(twin, lambda x: x.max(axis=1), {"x": x}, "largest")
    assert not holds(twin, lambda x: x[:, 0] + 2 * x[:, 1] + 3 * x[:, 2] + 4 * x[:, 3], {"x": x}, "largest")


def test_permuted_is_never_the_order_that_was() -> None:
    """Else a law of two entries would say nothing half of the time."""
    for seed in range(20):
        second = laws.permuted(call(seed, x=grid(1, 2)), {"x": 1}, {"*": 1}).inputs
        np.testing.assert_array_equal(second["x"], grid(1, 2)[:, ::-1])


def test_inputs_of_different_sizes_are_refused() -> None:
    """An order fits one size."""
    with pytest.raises(ParityError, match=r"the inputs x, y have sizes \[3, 4\] along the law's axes: not one size"):
        laws.permuted(call(x=grid(1, 3), y=grid(1, 4)), {"x": 1, "y": 1}, {"*": 1})


def test_an_output_that_a_law_does_not_know_is_refused() -> None:
    """Else it would pass unseen."""
    twin = laws.permuted(call(x=grid(1, 3)), {"x": 1}, {"hidden.*": 1})
    with pytest.raises(ParityError, match=r"does not say how the output `logits` corresponds; it knows hidden\.\*"):
        twin.alike("logits", grid(1, 3), grid(1, 3))


def test_later_changed_leaves_what_is_earlier() -> None:
    """All of the inputs from some position on are others, in every row; none before."""
    for seed in range(20):
        x, ids = grid(3, 6), np.arange(18).reshape(3, 6)
        second = laws.later_changed(call(seed, x=x, ids=ids), {"x": 1}, {"*": 1}).inputs
        changed = (second["x"] != x).any(axis=0)
        start = int(np.argmax(changed))
        assert 1 <= start < 6
        assert changed[start:].all()
        assert not changed[:start].any()
        assert second["ids"] is ids


def test_later_changed_holds_for_what_looks_back_and_for_nothing_else() -> None:
    """A cumulative sum obeys, one from behind doesn't, nor one that sees the next."""
    for seed in range(10):
        x = grid(2, 5)
        twin = laws.later_changed(call(seed, x=x), {"x": 1}, {"*": 1})
        assert holds(twin, lambda x: np.cumsum(x, axis=1), {"x": x})
        assert not holds(twin, lambda x: np.cumsum(x[:, ::-1], axis=1)[:, ::-1], {"x": x})
        assert not holds(twin, lambda x: x + np.roll(x, -1, axis=1), {"x": x})


def test_later_changed_of_a_single_position_compares_it() -> None:
    """Nothing is later, so nothing is changed and everything must be equal."""
    twin = laws.later_changed(call(x=grid(2, 1)), {"x": 1}, {"*": 1})
    np.testing.assert_array_equal(twin.inputs["x"], grid(2, 1))
    first, second = twin.alike("output", grid(2, 1), grid(2, 1) + 1)
    assert (first != second).all()


def test_only_positions_that_see_something_are_compared() -> None:
    """And entries that stand for given positions are compared where those are."""
    seen = np.array([[False, True, True, True]])
    twin = laws.later_changed(call(3, x=grid(1, 4)), {"x": 1}, {"*": 1}, seen=seen, at={"kept": np.array([[3, 0, 1]])})
    start = int(np.argmax(twin.inputs["x"][0] != grid(1, 4)[0]))
    assert start > 1  # this seed leaves position 1 to compare
    first, second = twin.alike("output", np.zeros((1, 4)), np.ones((1, 4)))
    assert (first != second).tolist() == [[False, True, start > 2, False]]
    first, second = twin.alike("kept", np.zeros((1, 3)), np.ones((1, 3)))
    assert (first != second).tolist() == [[False, False, True]]


@pytest.mark.parametrize("left", [True, False])
def test_padded_puts_the_fill_at_one_end(left: bool) -> None:
    """The mask gets zeros, the values anything, and what was there stays in one piece."""
    x, mask = grid(2, 3), np.ones((2, 3))
    inputs = {"x": (1, None), "mask": (1, 0)}
    twin = laws.padded(call(x=x, mask=mask), inputs, {"*": 1}, left=left)
    kept = slice(2, None) if left else slice(None, 3)
    np.testing.assert_array_equal(twin.inputs["x"][:, kept], x)
    assert twin.inputs["mask"].tolist() == [[0, 0, 1, 1, 1] if left else [1, 1, 1, 0, 0]] * 2
    assert holds(twin, lambda x, mask: x * mask, {"x": x, "mask": mask})
    assert holds(twin, lambda x, mask: x - (x * mask).sum(1, keepdims=True), {"x": x, "mask": mask})
    assert not holds(twin, lambda x, mask: x - x.sum(1, keepdims=True), {"x": x, "mask": mask})
    assert not holds(twin, lambda x, mask: x * x.shape[1], {"x": x, "mask": mask})


def test_padded_compares_real_positions_only() -> None:
    """What stands at a masked position may be anything."""
    real = np.array([[True, False, True]])
    twin = laws.padded(call(x=grid(1, 3)), {"x": (1, None)}, {"*": 1}, left=True, real=real)
    first, second = twin.alike("output", np.zeros((1, 3)), np.ones((1, 5)))
    assert (first != second).tolist() == real.tolist()


def test_fresh_values_are_of_the_same_kind() -> None:
    """Floats of the same magnitude and dtype; integers from those that occur, so that ids stay ids."""
    rng = np.random.default_rng(0)
    x = np.full((50, 20), 1e-3, np.float32)
    other = laws.fresh(x, rng)
    assert other.dtype == np.float32
    assert 0.9e-3 < np.sqrt(np.mean(np.square(other))) < 1.1e-3
    assert laws.fresh(np.zeros(3), rng).any()
    ids = np.array([[7, 3, 7]])
    assert set(laws.fresh(ids, rng).ravel()) <= {3, 7}
