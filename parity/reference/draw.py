"""Random parameters for a reference: never the initial ones, since a norm of ones and a bias of zeros hide bugs."""

from collections.abc import Mapping
from zlib import crc32

import numpy as np
import numpy.typing as npt

from parity.case import Weights
from parity.weights import Leaf


def parameters(leaves: Mapping[str, Leaf], weights: Weights) -> dict[str, npt.NDArray[np.float32]]:
    """Draw every parameter, distinct from all others, in float32.

    Vectors are norm weights (1 + 0.3 N) unless their name ends in 'bias' (0.3 N); anything else is a matrix, by fan-in
    (the last axis, as torch stores it) or, in the 'small' regime, 0.02 N as a fresh Hugging Face model has it.
    """
    return {name: _draw(name, leaf.shape, weights) for name, leaf in leaves.items()}


def _draw(name: str, shape: tuple[int, ...], weights: Weights) -> npt.NDArray[np.float32]:
    # From the name and not its place: a layer's parameters don't change when another layer gets one more.
    rng = np.random.default_rng([weights.seed, crc32(name.encode())])
    x = rng.standard_normal(shape)
    small = weights.regime == "small"
    if name.endswith("bias"):
        x *= 0.02 if small else 0.3
    elif len(shape) == 1:
        x = 1 + 0.3 * x
    else:
        x *= 0.02 if small else 1 / np.sqrt(shape[-1])
    return x.astype(np.float32)
