"""`parity locate` through a model whose parts are given an object that every call changes."""

# Torch, jax and flax leave most of what is used here untyped.
# pyright: basic

from collections.abc import Iterator

import numpy as np
import pytest

from parity.errors import BadInput
from parity.located import Located
from parity.locating import drawn
from parity.locating.run import DTYPES, locate_drawn
from parity.measure.locating import measure
from parity.reference import build, one_thread
from parity.reference.capture import capture
from parity.tests import remember


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def located(fault: str | None = None, *, dtype: str = "float64") -> Located:
    """The walk through all steps."""
    return locate_drawn(remember.workspace(), "toy/steps", dtype=dtype, count=1, fault=fault)


@pytest.mark.parametrize("dtype", DTYPES)
def test_clean(dtype: str) -> None:
    """A right port is not blamed in any call, in any arithmetic: its parts remember what the reference's do."""
    found = located(dtype=dtype)
    assert found.culprits == ()
    assert [(place.path, place.call) for place in found.places if place.path] == [
        (f"cells.{number}", call) for call in range(3) for number in range(2)
    ]


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize(
    ("fault", "call"),
    [
        ("starts_again", 1),  # in the first call there is nothing to forget
        ("forgets", 0),  # the output is right: only what is held after the call is not
    ],
)
def test_culprit(fault: str, number: int, call: int) -> None:
    """A fault in what is remembered is the cell's, in the call that shows it first."""
    (culprit,) = located(f"{fault}@cells.{number}").culprits
    assert (culprit.path, culprit.call) == (f"cells.{number}", call)


def test_operation() -> None:
    """The reference's part is run again with what it was given, and so the operation is found."""
    (culprit,) = located("starts_again@cells.1").culprits
    assert culprit.operation is not None
    assert culprit.operation.port_source == "return x + jnp.tanh(after), after"
    assert culprit.operation.reference_source == ("total = total + memory.totals.get(self.number, torch.zeros_like(x))")


def test_inherited() -> None:
    """What one call leaves behind wrong is what the next call inherits, its outputs being right so far."""
    found = {(place.path, place.call): place for place in located("forgets@cells.0").places}
    first, second = (found["cells.1", call].inherited for call in (0, 1))
    assert first is not None
    assert first < 1e-14
    assert second is not None
    assert second > 1e-3


def test_snapshots() -> None:
    """What is handed over is what was held when the call began, not what it was changed into."""
    example = next(drawn.examples(remember.steps, seed=0, count=1))
    reference = build(remember.steps, example.config, dtype="float64")
    reference.fill({name: 2 * np.ones(leaf.shape) for name, leaf in reference.leaves.items()})
    x = np.arange(1.0, 1 + 6 * example.config["width"]).reshape(2, 3, -1)
    seen: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def visit(path: str, given: dict, outputs: dict) -> None:
        seen.append((given["x"], given["memory"], outputs["memory"]))

    capture(reference, {"cells.0": remember.cell}, {"x": x}, visit)
    for t, (y, before, after) in enumerate(seen):
        assert np.array_equal(y, x[:, t])
        assert np.array_equal(before, 2 * x[:, :t].sum(1))
        assert np.array_equal(after, before + 2 * y)


def test_given_to_a_reference_alone() -> None:
    """A reference that is given what was held says what it holds afterwards."""
    reference = build(remember.cell, {"width": 4}, dtype="float64")
    reference.fill({"weight": np.ones(4)})
    found = reference.run({"x": np.ones((2, 4)), "memory": np.full((2, 4), 3.0)})
    assert np.array_equal(found["memory"], np.full((2, 4), 4.0))
    assert set(reference.run({"x": np.ones((2, 4))})) == {"output"}


def test_no_gradients() -> None:
    """A walk back through what has no gradient is refused, with the case's own reason."""
    with pytest.raises(BadInput, match="toy/steps has no gradient: nobody learns through it"):
        locate_drawn(remember.workspace(), "toy/steps", backward=True)


def test_measured_in_its_own_case() -> None:
    """What the port's whole does not show is measured where it is declared: at the part it belongs to, or at none."""
    trials = {trial.name: trial for trial in measure(remember.workspace(), "toy").trials}
    assert trials["one_memory_for_all"].outcome == "right"
    assert trials["one_memory_for_all"].named == ("",)
    assert trials["forgotten_by_cells"].outcome == "right"
    assert trials["forgotten_by_cells"].target in ("cells.0", "cells.1")
