"""Training: the same losses and parameters after every step, exactly first, then as accurately."""

# Torch, jax and flax leave most of what is used here untyped.
# pyright: basic

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch
from flax import nnx

import parity
from parity import draw
from parity.case import Training
from parity.checks import training
from parity.checks.subject import Subject
from parity.run import check_ids
from parity.tests import gain

RATE = 0.1


def stepping(module: Any) -> Callable[[Mapping[str, Any]], Any]:
    """The reference's recipe: plain descent on the mean square of all micro-batches."""
    optimizer = torch.optim.SGD(module.parameters(), lr=RATE, momentum=0.9)

    def step(batch: Mapping[str, Any]) -> Any:
        optimizer.zero_grad()
        loss = module(**batch).square().mean()
        loss.backward()
        optimizer.step()
        return loss

    return step


def descent(rate: float = RATE) -> Any:
    """What turns the port's gradients into updates."""
    return optax.sgd(rate, momentum=0.9)


def stepped(model: Any, optimizer: Any, batch: Mapping[str, Any]) -> jax.Array:
    """The port's step, as a function that faults can edit."""
    loss, gradients = nnx.value_and_grad(lambda model: jnp.mean(jnp.square(model(**batch))))(model)
    optimizer.update(model, gradients)
    return loss


def case(**changes: Any) -> parity.Case:
    """A layer that learns."""
    recipe = Training(
        reference=stepping,
        optimizer=lambda model: nnx.Optimizer(model, descent(), wrt=nnx.Param),
        step=lambda *given: stepped(*given),
        steps=5,
    )
    return gain.case(training=recipe, **changes)


def fault(old: str, new: str) -> parity.Variant:
    """A fault of the port's step."""
    return parity.edit(stepped, (old, new), checks=("training",))


def test_a_right_recipe_passes_with_both_measures() -> None:
    """The exact difference and the error ratio are both measured, and few examples do."""
    result = gain.run(case(), "training")
    assert result.status == "passed", result.message
    assert result.measured["rtol"] < 1e-13
    assert 0 < result.measured["ratio"] < 4
    assert result.examples == training.MOST


def test_only_a_case_that_learns_has_the_check() -> None:
    """A case without a recipe is not asked, and does not count as skipped."""
    assert "training" in check_ids(case())
    assert "training" not in check_ids(gain.case())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (
            "optimizer.update(model, gradients)",
            "optimizer.update(model, jax.tree.map(lambda g: g * 1.000001, gradients))",
        ),
        (
            "optimizer.update(model, gradients)",
            "optimizer = nnx.Optimizer(model, descent(), wrt=nnx.Param); optimizer.update(model, gradients)",
        ),
        ("return loss", "return loss * 1.000001"),
        ("model(**batch)", "model(batch['x'][:1])"),
    ],
    ids=["gradient", "memory", "what_is_told", "micro"],
)
def test_a_wrong_step_is_rejected(old: str, new: str) -> None:
    """A gradient scaled, a momentum forgotten, a loss misreported, a micro-batch left out: each by the exact bound."""
    wrong = case(faults={"wrong": fault(old, new)})
    assert gain.run(wrong, "training").status == "passed"
    rejected = gain.run(wrong, "rejects:wrong")
    assert rejected.status == "passed", rejected.message
    failed = gain.run(wrong, "training", within="wrong")
    assert failed.status == "failed"
    assert failed.limit is not None
    assert failed.limit.name == "rtol"
    assert failed.worst is not None
    assert failed.worst.output.endswith("each step")


def test_a_coarse_step_is_rejected_by_the_ratio() -> None:
    """Gradients rounded to bfloat16 are exact on the ideal machine, and far from it on the real one."""
    coarse = "optimizer.update(model, jax.tree.map(lambda g: g.astype(jnp.bfloat16).astype(g.dtype), gradients))"
    wrong = case(faults={"wrong": fault("optimizer.update(model, gradients)", coarse)})
    failed = gain.run(wrong, "training", within="wrong")
    assert failed.status == "failed"
    assert failed.limit is not None
    assert failed.limit.name == "ratio"
    assert gain.run(wrong, "rejects:wrong").status == "passed"


def test_another_way_to_take_the_same_step_is_accepted() -> None:
    """An equivalent is asked in exact arithmetic."""
    same = parity.same(
        stepped,
        ("jnp.mean(jnp.square(", "jnp.sum(jnp.square("),
        ("(model(**batch))", "(model(**batch) / batch['x'].size**0.5)"),
        why="the root of the count squared",
    )
    result = gain.run(case(equivalents={"other": same}), "accepts:other")
    assert result.status == "passed", result.message


def test_batches_are_the_example_with_other_seeds() -> None:
    """Every step and every micro-batch has values of its own, drawn as the example's are; both dtypes the same ones."""
    learner = case()
    assert learner.training is not None
    example = draw.some(learner, next(iter(draw.pool(learner, seed=0))), number=2, seed=0)[-1]
    wide, narrow = (training.batches(learner.training, example, dtype) for dtype in ("float64", "float32"))
    assert len(wide) == 5
    drawn = np.stack([batch["x"] for batch in wide])
    assert drawn.shape[:2] == (5, 2)
    assert len(np.unique(drawn.reshape(10, -1), axis=0)) == 10
    np.testing.assert_array_equal(drawn, np.stack([batch["x"] for batch in narrow]))


def test_training_leaves_nothing_behind() -> None:
    """The reference's outputs are the same afterwards, and no gradient is kept."""
    learner = case()
    subject = Subject(gain.registry(learner), learner)
    example = draw.some(learner, next(iter(draw.pool(learner, seed=0))), number=2, seed=0)[-1]
    before = subject.reference_outputs(example, "float64")["output"].copy()
    history = training.reference_history(subject, example, "float64")
    moved = history["weight after each step"]
    assert (moved[-1] != moved[0]).any()
    module = subject.filled(example, "float64", subject.parameters(example, "float64"))
    np.testing.assert_array_equal(module.run(subject.inputs(example, "float64"))["output"], before)
    assert all(parameter.grad is None for parameter in module.parameters.values())
    assert jnp.result_type(float) == jnp.float32
