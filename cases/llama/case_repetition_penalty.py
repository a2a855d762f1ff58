"""Scores of tokens that were there before, made smaller."""

from collections.abc import Callable
from typing import Any

import torch
from hypothesis import strategies as st
from transformers.generation.logits_process import RepetitionPenaltyLogitsProcessor as Reference

import parity
from cases.llama import scores
from cases.llama.palettes import Config
from cases.llama.port.processors import penalise_repetition
from parity.draw import one_of, padding


def reference(config: Config) -> Callable[..., torch.Tensor]:
    """The reference, told as `generate` tells it how many tokens of each row are padding on the left."""

    def penalise(scores: torch.Tensor, text: torch.Tensor, mask: torch.Tensor, spare: int) -> torch.Tensor:
        padding = (mask != 0).int().argmax(dim=1)
        processor: Any = Reference(config["penalty"], prompt_ignore_length=padding)
        return processor(text, scores)

    return penalise


def port(config: Config, dtype: Any, rngs: Any) -> Callable[..., Any]:
    """The port, with the text in a longer buffer."""
    import jax.numpy as jnp

    def penalise(scores: Any, text: Any, mask: Any, spare: int) -> Any:
        buffer = jnp.pad(text, ((0, 0), (0, spare)))  # with tokens 0 that do not count
        counted = jnp.pad(mask != 0, ((0, 0), (0, spare)))
        return penalise_repetition(scores, buffer, counted, penalty=config["penalty"])

    return penalise


def inputs(config: Config, form: Config) -> Any:
    """Scores, a text and its padding on the left, and how many places of the port's buffer hold no token yet."""
    return st.fixed_dictionaries(
        {
            "scores": scores.scores(config, form),
            "text": scores.text(config, form),
            "mask": padding(form["batch"], form["length"], sides=("none", "left")),
            "spare": st.just(form["spare"]),
        }
    )


ROWS = {"scores": 0, "text": 0, "mask": 0}

repetition_penalty = parity.Case(
    name="llama/repetition_penalty",
    covers=(Reference,),
    reference=reference,
    port=port,
    configs=st.fixed_dictionaries({"vocab_size": one_of(*scores.VOCABULARIES), "penalty": one_of(1.3, 0.8, 2.0)}),
    forms=lambda config: st.fixed_dictionaries(
        {"batch": one_of(1, 3), "length": one_of(4, 1, 9), "spare": one_of(3, 0)}
    ),
    inputs=inputs,
    batch=ROWS,
    laws={"batch_permuted": scores.laws.rows_permuted(lambda form: ROWS)},
    skips=scores.SKIPS,
    pool=6,
    survivors={
        "processors.py: lt: 0 -> 1e-06": "no score is so small, and only there would it show",
        "processors.py: *: -1 -> -2": "any number outside the vocabulary stands for no token",
    },
    faults={
        "divided_where_negative": parity.edit(
            penalise_repetition,
            (
                "scores_BV < 0, scores_BV * penalty, scores_BV / penalty",
                "scores_BV < 0, scores_BV / penalty, scores_BV / penalty",
            ),
        ),
        "rewarded": parity.edit(penalise_repetition, ("scores_BV < 0, ", "scores_BV > 0, ")),
        "once_for_each_time": parity.edit(
            penalise_repetition,
            (
                "_put(jnp.zeros(scores_BV.shape, bool), ids_BL, True)",
                "jnp.sum(jax.nn.one_hot(ids_BL, scores_BV.shape[-1]), axis=1)",
            ),
            (
                "scores_BV * penalty, scores_BV / penalty",
                "scores_BV * penalty**there_BV, scores_BV / penalty**there_BV",
            ),
            ("jnp.where(there_BV, penalised_BV", "jnp.where(there_BV > 0, penalised_BV"),
        ),
        "padding_counts": parity.edit(
            penalise_repetition,
            ("jnp.where(counted_BL, ", "jnp.where(counted_BL | (jnp.arange(counted_BL.shape[1]) == 0), "),
        ),
        "empty_places_count": parity.edit(
            penalise_repetition,
            ("jnp.where(counted_BL, ", "jnp.where(jnp.cumsum(counted_BL, axis=-1) > 0, "),
        ),
        "last_token_forgotten": parity.edit(
            penalise_repetition,
            ("jnp.where(counted_BL, ", "jnp.where(counted_BL & jnp.roll(counted_BL, -1, axis=-1), "),
        ),
        "all_tokens": parity.edit(penalise_repetition, ("jnp.where(there_BV, ", "jnp.where(there_BV | True, ")),
        "subtracted": parity.edit(penalise_repetition, ("scores_BV / penalty", "scores_BV - penalty")),
        "text_of_the_first_row": parity.edit(
            penalise_repetition,
            ("bool), ids_BL, True", "bool), jnp.broadcast_to(ids_BL[:1], ids_BL.shape), True"),
            checks=("transforms",),
        ),
    },
    equivalents={
        "by_one_hot": parity.same(
            penalise_repetition,
            (
                "_put(jnp.zeros(scores_BV.shape, bool), ids_BL, True)",
                "jnp.any(jax.nn.one_hot(ids_BL, scores_BV.shape[-1], dtype=bool), axis=1)",
            ),
            why="a token is there if the unit vector of any place is its own",
        ),
    },
)
