"""Masks that don't fit are refused with both shapes; none is stretched or cut to something that was not meant."""

# Jax and flax leave most of what is used here untyped.
# pyright: basic

from typing import Any

import jax.numpy as jnp
import pytest

from cases.llama.port.mask import make_mask

INPUTS = jnp.zeros((2, 5, 8))


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((3, 5), {}, r"attention_mask is \[3, 5\]: give a row for each of the 2 rows of the input"),
        ((2, 4), {}, r"attention_mask is \[2, 4\]: give a number for each of the 5 positions"),
        ((2, 9), {"slots": 8}, r"attention_mask is \[2, 9\]: the cache has 8 slots"),
        ((2, 1, 4, 5), {}, r"attention_mask is \[2, 1, 4, 5\]: give \[2, 1, 5, 5\]"),
        ((2, 1, 5, 5), {"slots": 8}, r"attention_mask is \[2, 1, 5, 5\]: give \[2, 1, 5, 8\]"),
        ((2, 5, 5), {}, r"attention_mask is \[2, 5, 5\]: give two axes, or four"),
    ],
    ids=["rows", "length", "slots", "queries", "finished without the slots", "three axes"],
)
def test_a_mask_that_does_not_fit_is_refused(shape: tuple[int, ...], options: dict[str, Any], message: str) -> None:
    """Before anything is computed."""
    with pytest.raises(ValueError, match=message):
        make_mask(INPUTS, jnp.ones(shape, int), **options)


@pytest.mark.parametrize(
    ("shape", "options", "memory"),
    [
        ((1, 5), {}, 5),
        ((2, 1), {}, 1),
        ((2, 3), {"use_cache": True}, 5),
        ((2, 6), {"slots": 8}, 8),
        ((1, 1, 5, 5), {}, 5),
    ],
    ids=["one row", "one column", "short, with a cache", "so far", "finished"],
)
def test_what_the_reference_takes_is_taken(shape: tuple[int, ...], options: dict[str, Any], memory: int) -> None:
    """One row or column for all; with a cache any length up to its own."""
    assert make_mask(INPUTS, jnp.ones(shape, int), **options).shape[-1] == memory
