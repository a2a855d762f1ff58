"""Dropout in whole models: each layer its own, none without a key, and the token classifier's in its place."""

# Jax and flax leave most of what is used here untyped.
# pyright: basic

import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch
from flax import nnx
from transformers.models.llama import modeling_llama

from cases.llama import injected
from cases.llama.palettes import reference_config
from cases.llama.port import LlamaConfig, LlamaForCausalLM, LlamaForTokenClassification
from cases.llama.port.dropout import dropped
from cases.llama.port.training import train_step

SMALL = {
    "model_type": "llama",
    "vocab_size": 11,
    "hidden_size": 12,
    "intermediate_size": 7,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "initializer_range": 0.5,
}
IDS = jnp.arange(8).reshape(2, 4)


@functools.cache
def built(kind: Any = LlamaForCausalLM, *, scan: bool = False, remat: bool = False, **fields: Any) -> Any:
    """A port with random parameters, the same ones each time."""
    config = LlamaConfig.from_dict({**SMALL, **fields})
    return kind(config, scan=scan, remat=remat, rngs=nnx.Rngs(0))


def weights(model: Any, key: jax.Array | None) -> list[np.ndarray]:
    """The attention weights of each layer."""
    return [np.asarray(x) for x in model(IDS, output_attentions=True, dropout_key=key).attentions]


def test_the_share_and_the_mean_are_right() -> None:
    """Of a hundred thousand ones, 0.3 are dropped within four standard deviations, and the others are 1 / 0.7."""
    x = np.asarray(dropped(jnp.ones((100, 1000)), 0.3, jax.random.key(0)))
    assert set(np.unique(x)) == {np.float32(0), np.float32(1 / 0.7)}
    assert abs((x == 0).mean() - 0.3) < 4 * (0.3 * 0.7 / x.size) ** 0.5


def test_without_a_key_nothing_is_dropped() -> None:
    """A model with dropout in its configuration is the one without, bit for bit; so is a rate of 0 with a key."""
    plain = built()(IDS).logits
    np.testing.assert_array_equal(built(attention_dropout=0.5)(IDS).logits, plain)
    np.testing.assert_array_equal(built()(IDS, dropout_key=jax.random.key(0)).logits, plain)


def test_every_layer_has_its_own_mask_and_a_key_always_the_same() -> None:
    """Where weights are zero under the causal mask differs between layers and keys, and not between two calls."""
    model = built(attention_dropout=0.5)
    one, again, other = (weights(model, jax.random.key(seed)) for seed in (0, 0, 1))
    causal = np.tril(np.ones((4, 4), bool))
    holes = [x[..., causal] == 0 for x in (*one, *other)]
    assert all(0.2 < hole.mean() < 0.8 for hole in holes)
    assert all((a != b).any() for a, b in itertools.pairwise(holes))
    for x, y in zip(one, again, strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("option", ["scan", "remat"])
def test_a_loop_and_recomputation_drop_the_same(option: str) -> None:
    """The logits' gradient of the table, with the masks of the plain stack: the recomputed ones are not drawn anew."""

    def gradient(model: Any) -> np.ndarray:
        def total(model: Any) -> jax.Array:
            return jnp.sum(jnp.square(model(IDS, dropout_key=jax.random.key(3)).logits))

        return np.asarray(nnx.grad(total)(model)["model"]["embed_tokens"]["embedding"][...])

    plain, other = gradient(built(attention_dropout=0.5)), gradient(built(attention_dropout=0.5, **{option: True}))
    np.testing.assert_allclose(other, plain, rtol=0, atol=1e-5 * np.abs(plain).max())


def test_a_token_classifier_drops_what_enters_its_head() -> None:
    """One mask on both sides, in float32; the reference's rate where the configuration names none is 0.1."""
    port = built(LlamaForTokenClassification)
    theirs = modeling_llama.LlamaForTokenClassification(reference_config(SMALL)).eval()
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            path = name.replace("embed_tokens.weight", "embed_tokens.embedding").replace("norm.weight", "norm.scale")
            found: Any = port
            for step in path.replace(".weight", ".kernel").split("."):
                found = found[int(step)] if step.isdigit() else getattr(found, step)
            value = np.asarray(found[...])
            parameter.copy_(torch.from_numpy((value.T if path.endswith(".weight") else value).copy()))
    kept = np.random.default_rng(0).random((2, 4, 12)) < 0.5
    with injected.training(theirs, torch.from_numpy(kept)), torch.no_grad():
        expected = theirs(torch.from_numpy(np.array(IDS))).logits.numpy()
    with injected.ported(kept):
        got = np.asarray(port(IDS, dropout_key=jax.random.key(0)).logits)
    assert np.abs(got - port(IDS).logits).max() > 0.1 * np.abs(got).max()
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_micro_batches_have_masks_of_their_own() -> None:
    """The loss of two like micro-batches is the mean of those under either key; one key always gives the same."""
    model = built(attention_dropout=0.5, num_hidden_layers=1)
    optimizer, key = nnx.Optimizer(model, optax.sgd(0.0), wrt=nnx.Param), jax.random.key(0)
    batch = {"input_ids": jnp.stack([IDS, IDS]), "labels": jnp.stack([IDS, IDS])}
    step = nnx.jit(train_step)
    both, again = (float(step(model, optimizer, batch, key)) for _ in range(2))
    alone = [float(model(IDS, labels=IDS, dropout_key=each).loss) for each in jax.random.split(key, 2)]
    assert both == again
    assert alone[0] != alone[1]
    assert both == pytest.approx(sum(alone) / 2, rel=1e-6)
