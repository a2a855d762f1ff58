"""The affine map on inputs of any number of axes, empty ones among them."""

import jax.numpy as jnp
import numpy as np
import pytest

from cases.llama.port.linear import linear


@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 4, 3), (2, 1, 4, 3), (0, 3), (0, 4, 3), (2, 0, 3)])
def test_only_the_last_axis_is_mapped(shape: tuple[int, ...]) -> None:
    """As NumPy's product does it; nothing comes out of nothing."""
    rng = np.random.default_rng(0)
    x, kernel, bias = rng.normal(size=shape), rng.normal(size=(3, 5)), rng.normal(size=5)
    found = linear(jnp.asarray(x, jnp.float32), jnp.asarray(kernel, jnp.float32), jnp.asarray(bias, jnp.float32))
    assert found.shape == (*shape[:-1], 5)
    np.testing.assert_allclose(found, x @ kernel + bias, rtol=1e-5, atol=1e-5)
