"""A reference's training: one step after another in the arithmetic it was built in."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt
import torch

from parity.case import Training
from parity.reference.build import Reference, arithmetic, array, tensors_of

Array = npt.NDArray[Any]


def trained(
    reference: Reference, training: Training, batches: Sequence[Mapping[str, Any]]
) -> tuple[list[Array], list[dict[str, Array]]]:
    """Take a step with each batch; the loss before each, and the parameters by name after it.

    Args:
        reference: filled; its parameters are changed, and can be filled again.
        training: makes the function that takes a step.
        batches: inputs by name, each with an axis of micro-batches in front.
    """
    losses: list[Array] = []
    history: list[dict[str, Array]] = []
    reference.restore()
    try:
        with arithmetic(reference.dtype), torch.enable_grad():
            step = training.reference(reference.call)
            for batch in batches:
                loss = step({name: tensors_of(tree) for name, tree in batch.items()})
                losses.append(array(loss).copy())
                history.append({name: array(p).copy() for name, p in reference.parameters.items()})
    finally:
        for parameter in reference.parameters.values():
            parameter.grad = None
    return losses, history
