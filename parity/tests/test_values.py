"""Inputs as values: they replay from JSON, mean the same in every dtype, and are as hard as they say."""

import dataclasses
import json
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parity import values
from parity.draw import ROWS, SIDES
from parity.errors import BadInput
from parity.values import Floats, Given, Mask, Padding, Positions, Tokens, Value, Waves

SEEDS = range(20)
EVERY: dict[str, list[Value]] = {
    "floats": [Floats(shape=(2, 3, 4), seed=7, scale=scale, rows=rows) for scale in (1e-3, 30.0) for rows in ROWS],
    "tokens": [Tokens(shape=(2, 5), seed=7, high=11, same=same) for same in (False, True)],
    "padding": [Padding(shape=(3, 5), seed=7, side=side) for side in SIDES],
    "mask": [Mask(shape=(3, 1, 4, 6), seed=7, side=side, form=form) for side in SIDES for form in ("additive", "bool")],
    "positions": [
        Positions(shape=(2, 9), seed=7, form=form, start=start)
        for form in ("arange", "packed", "random", "rows")
        for start in (0, 250)
    ],
    "waves": [Waves(shape=(2, 3, 6), seed=7, of=of) for of in ("cos", "sin")],
    "given": [
        Given.of_array(np.arange(6, dtype=np.float32).reshape(2, 3) / 7),
        Given.of_array(np.array([[2**40, -1]])),
        Given.of_array(np.array([True, False])),
    ],
}


def same_bytes(a: Any, b: Any) -> bool:
    """Return whether two arrays are alike to the last bit."""
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def test_every_kind_is_tested_here() -> None:
    """A new kind of value needs an entry above."""
    assert set(Value.kinds) == set(EVERY)


@pytest.mark.parametrize("kind", EVERY)
def test_replays_from_its_own_json(kind: str) -> None:
    """What is read back from JSON text is the same description, and fills the same array."""
    for value in EVERY[kind]:
        again = values.from_json(json.loads(json.dumps(values.to_json(value))))
        assert again == value
        for dtype in (np.float32, np.float64):
            assert same_bytes(again.array(dtype), value.array(dtype))


@pytest.mark.parametrize("kind", EVERY)
def test_has_the_shape_and_dtype_it_says(kind: str) -> None:
    """Floats come in the dtype that was asked for, integers in int64, booleans as such."""
    for value in EVERY[kind]:
        for dtype in (np.dtype(np.float32), np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)):
            array = value.array(dtype)
            assert array.shape == value.shape
            assert array.dtype in (dtype, np.dtype(np.int64), np.dtype(bool))


@pytest.mark.parametrize("kind", EVERY)
def test_is_the_same_number_in_float64_and_float32(kind: str) -> None:
    """A run in float64 gets exactly the numbers that one in float32 gets."""
    for value in EVERY[kind]:
        wide, narrow = value.array(np.float64), value.array(np.float32)
        assert np.array_equal(wide, narrow.astype(wide.dtype))


@pytest.mark.parametrize("kind", [kind for kind in EVERY if kind != "given"])
def test_another_seed_is_another_array(kind: str) -> None:
    """The seed decides, where there is anything to decide."""
    value = {
        "padding": Padding(shape=(3, 50), side="left"),
        "mask": Mask(shape=(3, 1, 50, 50), side="left"),
        "positions": Positions(shape=(3, 50), form="packed"),
    }.get(kind, EVERY[kind][0])
    other = values.from_json({**values.to_json(value), "seed": 8})
    assert not np.array_equal(value.array(np.float32), other.array(np.float32))


def test_what_was_given_is_what_fills_the_array() -> None:
    """To the last bit, and anew each time: nobody can write to what another one gets."""
    x = np.array([[0.1, -0.0], [np.inf, 3e-40]], np.float32)
    value = Given.of_array(x)
    assert same_bytes(value.array(np.float32), x)
    integers = Given.of_array(np.array([2**40, -1]))
    integers.array(np.float32)[0] = 0
    assert integers.array(np.float32)[0] == 2**40


def test_floats_have_the_scale_they_say() -> None:
    """`scale` is the standard deviation."""
    x = Floats(shape=(100, 100), seed=1, scale=30.0).array(np.float64)
    assert np.std(x) == pytest.approx(30.0, rel=0.05)


def test_rows_of_zeros() -> None:
    """'zeros' makes some rows all zero and leaves the others full."""
    x = Floats(shape=(40, 6), seed=3, rows="zeros").array(np.float32)
    zero = (x == 0).all(axis=-1)
    assert 0 < zero.sum() < 40
    assert (x[~zero] != 0).all()


def test_rows_with_one_element() -> None:
    """'onehot' leaves a single element in some rows, and the others full."""
    x = Floats(shape=(40, 6), seed=3, rows="onehot").array(np.float32)
    assert set((x != 0).sum(axis=-1).tolist()) == {1, 6}


def test_rows_alike() -> None:
    """'same' repeats one row along the second last axis; other batches have another."""
    x = Floats(shape=(2, 5, 6), seed=3, rows="same").array(np.float32)
    assert (x == x[:, :1]).all()
    assert (x[0] != x[1]).all()
    assert Floats(shape=(6,), rows="same").array(np.float32).shape == (6,)


def test_rows_with_an_outlier() -> None:
    """'outlier' makes one element of every row 100 times as large as without."""
    plain = Floats(shape=(5, 6), seed=3).array(np.float64)
    spiked = Floats(shape=(5, 6), seed=3, rows="outlier").array(np.float64)
    columns = np.flatnonzero((plain != spiked).any(axis=0))
    assert len(columns) == 1
    assert np.allclose(spiked[:, columns], 100 * plain[:, columns])


def test_tokens_stay_in_the_vocabulary() -> None:
    """Every id is below `high`, and all of them come up; `same` repeats one id."""
    ids = Tokens(shape=(50, 20), seed=1, high=7).array(np.float32)
    assert set(ids.ravel().tolist()) == set(range(7))
    repeated = Tokens(shape=(5, 9), seed=1, high=7, same=True).array(np.float32)
    assert (repeated == repeated[:, :1]).all()
    repeated[0, 0] = 0  # an array of its own


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_on_one_side(side: str) -> None:
    """The real tokens stand together at the other end, one at the least."""
    seen: set[int] = set()
    for seed in SEEDS:
        for row in Padding(shape=(4, 6), seed=seed, side=side).array(np.float32):
            real = int(row.sum())
            seen.add(real)
            expected = [0] * (6 - real) + [1] * real
            assert row.tolist() == (expected if side == "left" else expected[::-1])
    assert seen == {1, 2, 3, 4, 5, 6}


def test_padding_in_the_interior() -> None:
    """There are holes, and no row is without a real token."""
    masks = np.concatenate([Padding(shape=(4, 6), seed=seed, side="interior").array(np.float32) for seed in SEEDS])
    assert (masks.sum(axis=-1) > 0).all()
    assert any("101" in "".join(map(str, row)) for row in masks.tolist())


def test_padding_that_leaves_a_row_empty() -> None:
    """'empty' leaves the first row without a token, and that row only; 'none' leaves every token."""
    for seed in SEEDS:
        mask = Padding(shape=(4, 6), seed=seed, side="empty").array(np.float32)
        assert mask.sum(axis=-1).astype(bool).tolist() == [False, True, True, True]
    assert Padding(shape=(2, 3)).array(np.float32).all()


@pytest.mark.parametrize("side", SIDES)
def test_mask_is_causal_over_a_padding(side: str) -> None:
    """A query sees the real tokens up to its own, counted from the end of the memory."""
    value = Mask(shape=(3, 1, 4, 6), seed=5, side=side, form="bool")
    real = Padding(shape=(3, 6), seed=5, side=side).array(np.float32)
    seen = value.array(np.float32)
    assert seen.dtype == bool
    for row, query, key in np.ndindex(3, 4, 6):
        assert seen[row, 0, query, key] == (key <= query + 2 and real[row, key])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "float64"])
def test_additive_mask_holds_the_lowest_finite_number(dtype: str) -> None:
    """It is 0 where the boolean one is true, and elsewhere as low as the dtype goes, never inf; float64 as float32."""
    kind = np.dtype(getattr(ml_dtypes, dtype, dtype))
    value = Mask(shape=(2, 1, 3, 3), seed=1, side="left")
    mask, seen = value.array(kind), dataclasses.replace(value, form="bool").array(kind)
    low = np.float32 if dtype == "float64" else kind
    assert (mask[seen] == 0).all()
    assert (mask[~seen].astype(np.float64) == float(ml_dtypes.finfo(low).min)).all()


def test_positions_of_every_form() -> None:
    """'arange' counts on, 'packed' restarts, 'rows' has a start for each row, 'random' does as it likes."""
    shape = (4, 30)
    plain = Positions(shape=shape, start=5).array(np.float32)
    assert plain.tolist() == [list(range(5, 35))] * 4
    packed = Positions(shape=shape, seed=1, form="packed", start=5).array(np.float32)
    assert (packed[:, 0] == 5).all()
    steps = np.diff(packed, axis=-1)
    assert ((steps == 1) | (packed[:, 1:] == 5)).all()
    assert (steps != 1).any()
    rows = Positions(shape=shape, seed=1, form="rows", start=5).array(np.float32)
    assert (np.diff(rows, axis=-1) == 1).all()
    assert len(set(rows[:, 0].tolist())) > 1
    assert rows[:, 0].min() >= 0
    assert rows[:, 0].max() <= 5
    anywhere = Positions(shape=shape, seed=1, form="random", start=5).array(np.float32)
    assert 0 <= anywhere.min() < anywhere.max() < 35


@pytest.mark.parametrize("form", ["arange", "packed", "rows", "random"])
def test_positions_may_start_below_zero(form: str) -> None:
    """In every form; a model is asked for them as for any others."""
    found = Positions(shape=(4, 6), seed=1, form=form, start=-3).array(np.float32)
    assert found.min() < 0
    assert -3 <= found.min() <= found.max() < 6


def test_waves_of_one_seed_are_one_turn() -> None:
    """Cosine and sine of one seed belong to the same angles, whose first half is repeated."""
    cos = Waves(shape=(2, 3, 8), seed=4, of="cos").array(np.float64)
    sin = Waves(shape=(2, 3, 8), seed=4, of="sin").array(np.float64)
    assert np.allclose(cos**2 + sin**2, 1, atol=1e-6)
    assert np.array_equal(cos[..., :4], cos[..., 4:])
    assert np.array_equal(sin[..., :4], sin[..., 4:])


def test_arrays_fills_a_whole_tree() -> None:
    """Values in tuples are filled where they stand; plain scalars pass through."""
    value = Floats(shape=(2,))
    filled = values.arrays((value, (value, 3), None, True), np.float32)
    assert np.array_equal(filled[0], value.array(np.float32))
    assert filled[1][1] == 3
    assert filled[2:] == (None, True)


TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from([v for vs in EVERY.values() for v in vs]),
    lambda branch: st.lists(branch, max_size=3).map(tuple),
)


@given(TREES)
def test_trees_replay_from_json(tree: Any) -> None:
    """Whatever tree of tuples, values and scalars was drawn comes back from JSON text."""
    assert values.from_json(json.loads(json.dumps(values.to_json(tree)))) == tree


def test_unknown_kind_is_refused() -> None:
    """An unknown kind is named, with those that there are."""
    known = "floats, tokens, padding, mask, positions, waves, given"
    with pytest.raises(BadInput) as error:
        values.from_json({"kind": "flaots", "shape": [2]})
    assert str(error.value) == f"an example names an input of unknown kind 'flaots'; known: {known}"
    with pytest.raises(BadInput) as error:
        values.from_json([{"shape": [2]}])
    assert str(error.value) == f"an example names an input of unknown kind None; known: {known}"


@pytest.mark.parametrize(
    ("node", "why"),
    [
        ({"kind": "floats"}, "'shape'"),
        ({"kind": "floats", "shape": 3}, "'int' object is not iterable"),
        ({"kind": "tokens", "shape": [2]}, "Tokens.__init__() missing 1 required keyword-only argument: 'high'"),
        ({"kind": "waves", "shape": [2], "high": 3}, "Waves.__init__() got an unexpected keyword argument 'high'"),
    ],
    ids=["without_shape", "scalar_shape", "without_high", "unknown_field"],
)
def test_unreadable_value_is_refused(node: dict[str, Any], why: str) -> None:
    """A field that is missing, unknown or of a wrong type is named."""
    with pytest.raises(BadInput) as error:
        values.from_json(node)
    assert str(error.value) == f"an example's input of kind {node['kind']!r} can't be read: {why}"
