"""Faults: where they are put, what they change, and why some can't be seen."""

# jax leaves most of what is used here untyped.
# pyright: basic

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from parity.faults import Injected, claims, every, owner, perturbed, places
from parity.faults.every import ALIKE
from parity.faults.values import PICKS, to_bfloat16
from parity.ideal.program import Program, trace
from parity.ideal.unfolded import Evaluation
from parity.measure import adversary

RNG = np.random.default_rng(0)
X = RNG.standard_normal((2, 3, 3))


def followed(function: Any, *args: Any) -> tuple[Program, Evaluation]:
    """A function's program, and its evaluation with every value kept."""
    program, _ = trace(function, *args)
    return program, program.follow(*args)


def found(function: Any, *args: Any) -> tuple[Evaluation, list[Injected]]:
    evaluation = followed(function, *args)[1]
    return evaluation, list(every(evaluation.program))


def said(faults: list[Injected], kind: str) -> list[str]:
    return [fault.fault.description for fault in faults if fault.fault.kind == kind]


def test_an_evaluation_that_keeps_everything_computes_the_same() -> None:
    """Also where it follows a change of one line only, and leaves the values before as they were."""

    def function(x: Any) -> Any:
        return jnp.cos(x * 2.0) + jnp.arange(3.0), x.sum(0)

    program, evaluation = followed(function, X)
    np.testing.assert_array_equal(evaluation.outputs()[0], program(X)[0])
    index = next(i for i, line in enumerate(evaluation.program.lines) if line.name == "mul")
    slot = evaluation.program.lines[index].outputs[0]
    changed = evaluation.outputs({slot: X * 3.0}, after=index)
    np.testing.assert_array_equal(changed[0], np.cos(X * 3.0) + np.arange(3.0))
    np.testing.assert_array_equal(changed[1], X.sum(0))
    np.testing.assert_array_equal(evaluation.outputs()[0], program(X)[0])


@pytest.mark.parametrize(
    ("function", "kind", "expected"),
    [
        (lambda x: x * 0.5, "literal", {"0.5 -> 0.5005", "0.5 -> 0.5000005", "0.5 -> -0.5", "0.5 -> 0.50000006"}),
        (lambda x: x - 1.0, "operands", {"operands swapped"}),
        (lambda x: jax.lax.rsqrt(x), "relation", {"rsqrt -> sqrt", "rsqrt -> 1 / x"}),
        (lambda x: x < 0, "relation", {"lt -> le", "lt -> gt"}),
        (lambda x: x.sum(-1), "axis", {"over axis (2,) -> (1,)"}),
        (lambda x: jnp.broadcast_to(x[0, 0], (3, 3)), "broadcast", {"along axes (1,) -> (0,)"}),
        (lambda x: x[:, 1:2, 0], "index", {"[1:2] -> [2:3] on axis 1", "[1:2] -> [0:1] on axis 1"}),
        (lambda x: x.swapaxes(1, 2), "transpose", {"dropped"}),
        (lambda x: x.reshape(6, 3), "transpose", {"(2, 3, 3) -> (6, 3) read column by column"}),
        (lambda x: x[0] @ x[1], "transpose", {"operand 0 (3, 3) transposed", "operand 1 (3, 3) transposed"}),
        (lambda x: -x, "cast", {"rounded to bfloat16"}),
    ],
    ids=["literal", "order", "near", "strict", "axis", "spread", "slice", "swap", "reshape", "product", "cast"],
)
def test_every_operation_gets_its_own_faults(function: Any, kind: str, expected: set[str]) -> None:
    """Of each kind, those that its primitive and shapes allow; all stand on the line they were written on."""
    _, faults = found(function, X)
    assert expected <= set(said(faults, kind))
    assert all(fault.where.startswith(f"{__file__}:") for fault in faults)


def test_a_fault_changes_its_own_results_and_nothing_else() -> None:
    """Same shapes and dtypes; the operands stay as they are, whatever is tried."""

    def function(x: Any) -> Any:
        y = jnp.where(x > 0, jnp.exp(x.swapaxes(1, 2)), x @ x)
        return jnp.concatenate([y, jax.nn.softmax(x)], -1)[:, :2].sum(0), jnp.argmax(x, -1)

    evaluation, faults = found(function, X)
    before = [np.array(value) for value in evaluation.values]
    for fault in faults:
        for slot, value in (fault.changes(evaluation) or {}).items():
            assert value.shape == before[slot].shape
            assert np.asarray(value).dtype.kind == before[slot].dtype.kind
    assert all(np.array_equal(x, y, equal_nan=True) for x, y in zip(before, evaluation.values, strict=True))
    assert {fault.fault.kind for fault in faults} >= {"literal", "relation", "axis", "index", "transpose", "element"}


def test_one_live_element_is_perturbed_wherever_it_lies_in_memory() -> None:
    """A transposed view, zeros beside it, and the number that a mask is filled with."""
    view = np.array([[0.0, 2.0], [-3.4e38, 4.0], [0.0, 0.0]]).T
    after = perturbed(view, PICKS["largest"])
    assert np.argwhere(after != view).tolist() == [[1, 1]]
    assert after[1, 1] == 4.0 * 1.001
    assert np.count_nonzero(perturbed(np.zeros(3), PICKS["last"])) == 1
    assert perturbed(np.array([3, 0]), PICKS["largest"]).tolist() == [4, 0]
    assert perturbed(np.array([3, 0]), PICKS["last"]).tolist() == [3, 1]
    assert perturbed(np.array([True, True]), PICKS["last"]).sum() == 1


def test_a_cast_rounds_and_comes_back() -> None:
    """To eight bits of mantissa; small integers stay."""
    assert to_bfloat16(np.array([1.0 + 2.0**-9, 256.0, 257.0])).tolist() == [1.0, 256.0, 256.0]


def test_of_a_stack_s_many_like_operations_some_are_taken_from_first_to_last() -> None:
    """Evenly, so that a deep model costs no more than its depth is worth."""

    def function(x: Any) -> Any:
        for _ in range(30):
            x = jnp.sin(x)
        return x

    _, faults = found(function, X)
    places = sorted({fault.occurrence for fault in faults})
    assert len(places) == ALIKE
    assert (places[0], places[-1]) == (0, 29)


def reasons(evaluation: Evaluation, fault: Injected) -> list[str]:
    holding = claims(evaluation.program, fault)
    return [claim.why for claim in holding if adversary.holds(claim, fault, evaluation, seed=0)]


def test_a_shift_under_a_softmax_is_explained_and_anything_else_is_not() -> None:
    """The perturbed maximum changes nothing; a perturbed score, exponential or sum does."""
    evaluation, faults = found(lambda x: jax.nn.softmax(x), X)
    elements = [fault for fault in faults if fault.fault.kind == "element"]
    explained = {fault.primitive for fault in elements if reasons(evaluation, fault)}
    assert explained == {"reduce_max", "max", "broadcast_in_dim", "stop_gradient"}
    unexplained = {fault.primitive for fault in elements if not reasons(evaluation, fault)}
    assert {"sub", "exp", "reduce_sum", "div"} <= unexplained


def test_a_shift_under_a_softmax_s_logarithm_is_explained_and_anything_else_is_not() -> None:
    """Whatever is subtracted from a whole row, as long as the exponential does not overflow."""
    evaluation, faults = found(lambda x: jax.nn.log_softmax(x), X)
    explained = {(f.primitive, f.fault.description) for f in faults if reasons(evaluation, f)}
    assert {("reduce_max", "reduce_max -> reduce_min"), ("sub", "sub -> add")} <= explained
    assert not {name for name, _ in explained} & {"exp", "log", "reduce_sum"}


def test_what_only_turns_a_sign_under_a_square_is_explained() -> None:
    """A difference the other way round is one; a sum in its place, or another factor, is not."""
    evaluation, faults = found(lambda x, y: jnp.mean(jnp.square(x - y)), X, X[::-1] * 2)
    explained = {(f.primitive, f.fault.description) for f in faults if reasons(evaluation, f)}
    assert ("sub", "operands swapped") in explained
    assert ("sub", "sub -> add") not in explained


def test_a_row_that_counts_for_nothing_is_explained_and_the_others_are_not() -> None:
    """The last position predicts nothing, whatever is looked up there."""

    def loss(logits: Any, labels: Any) -> Any:
        following = jnp.pad(labels[1:], (0, 1), constant_values=-100)
        logs = jnp.exp(logits).at[jnp.arange(3), following].get(mode="fill", wrap_negative_indices=False)
        return jnp.where(following != -100, logs, 0).sum()

    evaluation, faults = found(loss, X[0], np.array([0, 2, 1]))
    elements = {f.fault.detail.split()[-1]: f for f in faults if f.primitive == "exp" and f.fault.kind == "element"}
    assert "it differs only where the other case is taken" in reasons(evaluation, elements["last"])
    assert reasons(evaluation, elements["largest"]) == []


def test_integers_are_tried_as_counters_too() -> None:
    """A position of -3 that becomes -2 is seen where positions count, and hardly ever among random ones."""
    evaluation, faults = found(lambda p: jnp.where(p[None] <= p[:, None], 1.0, 2.0), np.array([4, 0, 5, 2]))
    (largest, *_) = (f for f in faults if f.primitive == "broadcast_in_dim" and f.fault.detail.endswith("largest"))
    assert reasons(evaluation, largest) == []


def test_an_operation_belongs_to_the_part_in_which_the_same_calls_reach_it() -> None:
    """Its own line is not enough: another caller of the same line is another operation."""
    inner = {"scale": {(("a:1", "b:2"), "mul")}}
    assert owner((("a:1", "b:2", "whole:3"), "mul"), inner) == "scale"
    assert owner((("a:1", "b:2"), "mul"), inner) == "scale"
    assert owner((("a:1", "b:2", "whole:3"), "add"), inner) is None
    assert owner((("a:1", "c:4"), "mul"), inner) is None
    assert owner((("a:1",), "mul"), inner) is None


def test_what_is_skipped_gets_no_faults_and_is_not_counted() -> None:
    """Of one line's operations, those that are left are counted among themselves."""
    evaluation, _ = found(lambda x: jnp.sin(jnp.cos(jnp.sin(x))), X)
    program = evaluation.program
    assert [name for _, name in places(program)] == ["sin", "cos", "sin"]
    left = list(every(program, skipped=lambda place: place[1] == "sin"))
    assert {(fault.primitive, fault.occurrence) for fault in left} == {("cos", 0)}


def test_a_choice_between_equals_is_explained_only_while_they_are_equal() -> None:
    """Where both cases are one value the condition is free; where they differ it is not."""
    evaluation, faults = found(lambda x: jnp.where(x > 0.5, jax.lax.stop_gradient(x), x) * 2, X)
    assert all(reasons(evaluation, fault) for fault in faults if fault.primitive == "gt")
    evaluation, faults = found(lambda x: jnp.where(x > 0.5, x, -x) * 2, X)
    assert not any(reasons(evaluation, fault) for fault in faults if fault.primitive == "gt")


def test_a_threshold_is_tried_at_itself() -> None:
    """`>` for `>=` differs in one number only, which random ones never hit."""
    length = np.array(7)
    evaluation, faults = found(lambda n, x: jnp.where(n > 12, x, -x), length, X)
    (strict,) = (fault for fault in faults if fault.fault.description == "gt -> ge")
    assert strict.changes(evaluation) is None
    assert reasons(evaluation, strict) == []


def test_a_bound_that_bites_nowhere_is_told_from_one_that_only_was_not_reached() -> None:
    """-2 lies below every sine; 2 does not lie above every number."""
    evaluation, faults = found(lambda x: jnp.maximum(jnp.sin(x), -2.0) + 0.0, X)
    assert all(reasons(evaluation, fault) for fault in faults if fault.fault.description == "-2 -> -2.002")
    evaluation, faults = found(lambda x: jnp.minimum(x, 5.0) * 1.5, np.clip(X, -1, 1))
    (moved,) = (fault for fault in faults if fault.fault.description == "5 -> 5.005")
    assert moved.changes(evaluation) is None
    assert reasons(evaluation, moved) == []


def moved(evaluation: Evaluation, faults: list[Injected], name: str) -> dict[str, list[str]]:
    """Of one primitive's literals and indices: which they are -> the reasons that hold."""
    own = [f for f in faults if f.primitive == name and f.fault.kind in ("index", "literal")]
    return {f.fault.detail: reasons(evaluation, f) for f in own}


def test_a_start_is_explained_where_it_is_clamped_and_not_where_it_moves() -> None:
    """Along an axis that the slice fills, and below a start of 0 that is always 0; not where one could be larger."""
    evaluation, faults = found(lambda x: jax.lax.dynamic_update_slice(x, x[:1] * 2, (0, 0, 0)), X)
    held = moved(evaluation, faults, "dynamic_update_slice")
    assert {detail for detail, why in held.items() if not why} == {"start 0 +1", "operand 2 plus 1"}
    assert len(held) == 12
    evaluation, faults = found(lambda x, n: jax.lax.dynamic_slice(x, (n, n, n), (2, 2, 3)), X, np.array(0))
    held = moved(evaluation, faults, "dynamic_slice")
    assert {detail for detail, why in held.items() if not why} == {"start 1 +1", "start 1 -1"}


def test_what_only_moves_a_start_is_explained_where_that_is_clamped() -> None:
    """A bound below what fits moves the slice; one above never does."""

    def function(x: Any, n: Any, least: int) -> Any:
        return jax.lax.dynamic_slice(x, (jax.lax.max(n, np.array(least)), np.array(0), np.array(0)), (1, 3, 3))

    for least, clamped in ((5, True), (1, True), (0, False)):
        evaluation, faults = found(lambda x, n, least=least: function(x, n, least), X, np.array(0))
        held = moved(evaluation, faults, "max")
        assert bool(held["operand 1 plus 1"]) is clamped
    relation = next(f for f in faults if f.fault.description == "max -> min")
    assert reasons(evaluation, relation) == []


def remembered(x: Any, real: Any, *, ahead: int = 0, fill: float = -1e300, scale: float = 1.0) -> Any:
    """Two queries that see what is written up to themselves and is no padding, of four slots; 0 at padding."""
    slots = jax.lax.dynamic_update_slice(jnp.zeros((4, 3)), x, (1, 0))
    slots = jax.lax.dynamic_update_slice(slots, x[:1] * 2, (0, 0))
    token = jnp.concatenate([jnp.zeros(1, bool), real.astype(bool), jnp.ones(1, bool)])
    seen = (jnp.arange(4) <= jnp.arange(2)[:, None] + 1 + ahead) & token
    weights = jax.nn.softmax(x @ slots.T * scale + jnp.where(seen, 0.0, fill))
    return weights @ slots * real.astype(bool)[:, None]


@pytest.mark.parametrize(
    ("changes", "explained"),
    [({}, True), ({"ahead": 1}, False), ({"fill": -5.0}, False), ({"scale": np.inf}, False)],
    ids=["masked", "seen", "nearly masked", "no number"],
)
@pytest.mark.parametrize("real", [(1, 1), (0, 1)], ids=["all", "padded"])
def test_what_nothing_reads_is_explained_and_what_is_read_is_not(
    real: tuple[int, int], changes: dict[str, Any], explained: bool
) -> None:
    """A slot behind the last position, also where a row that sees nothing is uniform over it; nothing with NaN."""
    evaluation, faults = found(lambda x, real: remembered(x, real, **changes), X[0, :2], np.array(real))
    zeros = [f for f in faults if f.primitive == "broadcast_in_dim" and f.fault.description == "0 -> 0.001"]
    empty = next(f for f in zeros if evaluation.results(f.index)[0].shape == (4, 3))
    assert bool(reasons(evaluation, empty)) is explained
    written = [f for f in faults if f.primitive == "dynamic_update_slice" and f.fault.kind == "element"]
    assert len(written) == 6
    assert not any(reasons(evaluation, f) for f in written)


def test_a_small_change_beside_a_large_number_is_not_explained_by_its_size() -> None:
    """Not a bit shows of 1e-6 beside 1e12, but some number in its place would be seen."""
    evaluation, faults = found(lambda x: jnp.zeros((3, 3)) @ x + 1e12, X[0])
    (small,) = (f for f in faults if f.primitive == "broadcast_in_dim" and f.fault.description == "0 -> 1e-06")
    changes = small.changes(evaluation)
    assert np.array_equal(evaluation.outputs(changes, after=small.index)[0], evaluation.outputs()[0])
    assert reasons(evaluation, small) == []
