"""A reference that is there already, run with every operation rounded at random: what its program typically loses."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch

from parity.ideal.torch_float64 import float64
from parity.reference.build import Outputs, Reference


def strayed(reference: Reference, inputs: Mapping[str, Any], *, dtype: str, seed: int) -> Outputs:
    """Run a float64 reference once under random rounding, each operation as coarse as `dtype` is.

    Unlike `jittered` it does not build anew: what was computed while building, its buffers, is rounded once.
    """
    unit = float(torch.finfo(getattr(torch, dtype)).eps) / 2
    generator = torch.Generator().manual_seed(seed)

    def rounded(value: Any) -> Any:
        if not isinstance(value, torch.Tensor) or not value.is_floating_point():
            return value
        return value * (1 + unit * (2 * torch.rand(value.shape, generator=generator, dtype=torch.float64) - 1))

    fresh = tuple(
        (module, {name: rounded(x) for name, x in attributes.items()}, {n: rounded(x) for n, x in buffers.items()})
        for module, attributes, buffers in reference.fresh
    )
    try:
        with float64(jitter=unit, seed=seed):
            return dataclasses.replace(reference, fresh=fresh).call_named(inputs)
    finally:
        reference.restore()
