"""Logits of a half-precision model, rounded or not."""

# Jax and flax leave most of what is used here untyped.
# pyright: basic

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from cases.llama.port import LlamaConfig, LlamaForCausalLM


@pytest.mark.parametrize("tied", [False, True], ids=["own head", "tied"])
def test_logits_may_keep_what_they_were_summed_in(tied: bool) -> None:
    """In float32 they are what bfloat16 would have been rounded from, and more than that."""
    config = LlamaConfig(
        vocab_size=40,
        hidden_size=24,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=tied,
    )
    kinds = {"dtype": jnp.bfloat16, "param_dtype": jnp.bfloat16}
    tokens = jnp.arange(12).reshape(2, 6)
    rounded = LlamaForCausalLM(config, **kinds, rngs=nnx.Rngs(0))(tokens).logits
    wide = LlamaForCausalLM(config, **kinds, logits_dtype=jnp.float32, rngs=nnx.Rngs(0))(tokens).logits
    assert (rounded.dtype, wide.dtype) == (jnp.bfloat16, jnp.float32)
    np.testing.assert_array_equal(wide.astype(jnp.bfloat16), rounded)
    assert (wide != rounded).any()
