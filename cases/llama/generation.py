"""What the cases of whole generations share: the reference's `generate` as a module, prompts, and what is not asked."""

import contextlib
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import torch
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional
from transformers.models.llama.modeling_llama import LlamaForCausalLM as Reference

from cases.llama.palettes import Config, configs, reference_config
from parity.draw import padding, tokens

CHOICE = "tokens are chosen where float32 may tie: llama/causal_lm and llama/decode ask how accurate the logits are"
SKIPS = {
    "audit": "a token hides what a small fault moves: faults are injected into the layers, and into llama/causal_lm",
    "transfer": "the parameters are those of llama/causal_lm",
    "gradient": "nothing is trained through it",
    "transforms": "llama/decode asks it of every step",
    **dict.fromkeys(
        ("structure", "rounded:bfloat16", "rounded:float16", "float32", "bfloat16", "float16"),
        CHOICE,
    ),
}


class Generate(nn.Module):
    """The reference's `generate`, texts filled up to their greatest length."""

    def __init__(self, config: Config):
        super().__init__()
        self.model = Reference(reference_config(config))

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, bucket: int, **options: Any
    ) -> dict[str, torch.Tensor]:
        """Texts [B R, L + new], how long the longest is, and a beam search's scores; `bucket` is the port's."""
        longest = input_ids.shape[1] + options["max_new_tokens"]
        options = {name: list(value) if isinstance(value, tuple) else value for name, value in options.items()}
        with _quiet():
            generate: Any = self.model.generate  # pyright: ignore[reportAttributeAccessIssue]
            made = generate(
                input_ids,
                attention_mask=attention_mask,
                return_dict_in_generate=True,
                output_scores=True,
                do_sample=False,
                **options,
            )
        length = made.sequences.shape[1]
        found = {"sequences": functional.pad(made.sequences, (0, longest - length)), "length": torch.tensor(length)}
        scores = made.get("sequences_scores")
        return found if scores is None else {**found, "scores": scores}


def padded(input_ids: jax.Array, attention_mask: jax.Array, by: int) -> tuple[jax.Array, jax.Array]:
    """A prompt and its mask with more padding on the left, as `generate` fills up a bucket."""
    left = ((0, 0), (by, 0))
    return jnp.pad(input_ids, left), jnp.pad(attention_mask, left) != 0


def filled(texts: jax.Array, length: jax.Array) -> jax.Array:
    """Texts [B R, T] with zeros behind a length, however the buffer was filled there."""
    return jnp.where(jnp.arange(texts.shape[1]) < length, texts, 0)


def models() -> st.SearchStrategy[Config]:
    """Models of one layer and few tokens, so that texts end."""
    return configs(layers=(1,), activations=("silu",)).map(lambda config: {**config, "vocab_size": 11})


@st.composite
def prompts(draw: st.DrawFn, config: Config, form: Config) -> dict[str, Any]:
    """Ids and a mask that is padded on the left, or not at all."""
    shape = form["batch"], form["length"]
    ids = draw(tokens(shape, config["vocab_size"]))
    return {"input_ids": ids, "attention_mask": draw(padding(*shape, sides=("none", "left")))}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No advice about options that were drawn odd on purpose."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
