"""A reference's vector-Jacobian products: the gradient of its outputs, weighted by cotangents, for every input."""

from collections.abc import Mapping
from typing import Any, cast

import numpy.typing as npt
import torch

from parity.case import Case, Example
from parity.reference.build import Outputs, Reference, arithmetic, array, jitter, leaves_of, tensor, tensors_of

Array = npt.NDArray[Any]


def gradients(reference: Reference, inputs: Mapping[str, Any], cotangents: Mapping[str, Array]) -> Outputs:
    """Pull cotangents back through the reference, in the arithmetic it was built in.

    Args:
        reference: filled.
        inputs: as for `Reference.run`.
        cotangents: output name -> an array of the output's shape; outputs without one take no part.

    Returns:
        The gradient of every parameter by name, and of every floating input by name (a tuple's by `name.place`);
        zeros where nothing flows. Inputs go before parameters of the same name.
    """
    with arithmetic(reference.dtype):
        return _pulled(reference, inputs, cotangents)


def jittered_gradients(
    case: Case,
    example: Example,
    parameters: Mapping[str, Array],
    cotangents: Mapping[str, Array],
    *,
    dtype: str,
    seed: int,
) -> Outputs:
    """As `jittered`, for gradients: every operation, backward ones too, rounded at random as coarsely as `dtype` is."""
    with jitter(case, example, parameters, dtype=dtype, seed=seed) as (module, inputs):
        return _pulled(module, inputs, cotangents)


def _pulled(reference: Reference, inputs: Mapping[str, Any], cotangents: Mapping[str, Array]) -> Outputs:
    reference.restore()
    given: dict[str, torch.Tensor] = {}
    tracked = {name: _tracked(tree, name, given) for name, tree in inputs.items()}
    with torch.enable_grad():
        named = dict(leaves_of(reference.call(**tracked), reference.ignores))
        pairs = [(y, tensor(cotangents[name]).to(y.dtype)) for name, y in named.items() if name in cotangents]
        pairs = [(y, cotangent) for y, cotangent in pairs if y.requires_grad]
        sources: dict[str, torch.Tensor] = {**dict(reference.parameters), **given}
        if not pairs or not sources:
            return {name: array(torch.zeros_like(x)) for name, x in sources.items()}
        outputs, weights = zip(*pairs, strict=True)
        found = torch.autograd.grad(outputs, list(sources.values()), weights, allow_unused=True)
    flown = zip(sources.items(), cast(Any, found), strict=True)
    return {name: array(torch.zeros_like(x) if g is None else g) for (name, x), g in flown}


def _tracked(tree: Any, name: str, given: dict[str, torch.Tensor]) -> Any:
    """An input as tensors that gradients flow to, each noted under its name."""
    if isinstance(tree, tuple):
        return tuple(_tracked(branch, f"{name}.{place}", given) for place, branch in enumerate(cast(Any, tree)))
    made = tensors_of(tree)
    if isinstance(made, torch.Tensor) and made.is_floating_point():
        given[name] = made.clone().requires_grad_()
        return given[name]
    return made
