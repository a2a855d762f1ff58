"""Only the fewest best scores whose probabilities add up to so much."""

from typing import Any

import numpy as np
from hypothesis import strategies as st
from transformers.generation.logits_process import TopPLogitsWarper as Reference

import parity
from cases.llama import scores
from cases.llama.palettes import Config
from cases.llama.port.processors import keep_top_p
from parity.draw import one_of

STABLE = 16  # so many numbers `torch.sort` sorts by insertion


def inputs(config: Config, form: Config) -> Any:
    """Scores whose sums are nowhere near the threshold, if not exactly on it: beside it rounding decides.

    Of more than 16 numbers, which of two that tie comes first is chance in `torch.sort`: none tie across the cut there.
    """

    def clear(x: scores.Scores) -> bool:
        ascending = np.sort(scores.softmax(x), axis=-1)
        sums = np.cumsum(ascending, axis=-1)[:, :-1]
        dropped = np.minimum((sums <= 1 - config["top_p"]).sum(axis=-1), max(0, x.shape[-1] - config["least"]))
        last, first = (np.take_along_axis(ascending, dropped[:, None] - step, axis=-1) for step in (1, 0))
        ordered = x.shape[-1] <= STABLE or bool(((dropped == 0) | (first - last > scores.CLEAR)[:, 0]).all())
        return ordered and scores.far(sums, 1 - config["top_p"])

    return st.fixed_dictionaries({"scores": scores.scores(config, form, clear=clear)})


top_p = parity.Case(
    name="llama/top_p",
    covers=(Reference,),
    reference=lambda config: scores.alone(Reference(config["top_p"], min_tokens_to_keep=config["least"])),
    port=lambda config, dtype, rngs: lambda scores: keep_top_p(scores, top_p=config["top_p"], least=config["least"]),
    configs=st.fixed_dictionaries(
        {
            "vocab_size": one_of(*scores.VOCABULARIES),
            # A half and three quarters are met exactly by scores alike, two others almost.
            "top_p": one_of(0.5, 0.75, 0.4999, 0.7501, 0.9, 0.0, 0.3),
            "least": one_of(*scores.LEAST),
        }
    ),
    forms=scores.forms,
    inputs=inputs,
    batch=scores.ROWS,
    laws=scores.LAWS,
    skips=scores.SKIPS,
    pool=6,
    survivors={
        "processors.py: sort: rounded to bfloat16": scores.NEAR,
        "processors.py: sort: *, relative 0.001": scores.NEAR,
        "processors.py: sub: rounded to bfloat16": scores.NEAR,
        "processors.py: sub: *, relative 0.001": scores.NEAR,
        "processors.py: exp: *, relative 0.001": scores.NEAR,
        "processors.py: div: *, relative 0.001": scores.NEAR,
        "processors.py: gt: 0.5 -> *": scores.NEAR,
        "processors.py: cumsum: *, relative 0.001": "the sum of all, whose token is kept whatever it is",
        "processors.py: gt: the last element, *": "the best is kept whatever the sum",
        "processors.py: reduce_max: reduce_max -> reduce_sum": "it cancels, until the exponential overflows: then the "
        "best is all that is kept, as it would be",
        "processors.py: broadcast_in_dim: False -> True": "every flag is set afterwards",
        "processors.py: broadcast_in_dim: *, to the opposite": "every flag is set afterwards",
    },
    faults={
        "threshold_met_is_kept": parity.edit(keep_top_p, ("total_BV > 1 - top_p", "total_BV >= 1 - top_p")),
        "one_too_few": parity.edit(
            keep_top_p, ("total_BV > 1 - top_p", "jnp.roll(total_BV, 1, axis=-1).at[:, 0].set(0) > 1 - top_p")
        ),
        "one_too_many": parity.edit(
            keep_top_p, ("total_BV > 1 - top_p", "jnp.roll(total_BV, -1, axis=-1).at[:, -1].set(2) > 1 - top_p")
        ),
        "share_of_the_worst": parity.edit(keep_top_p, ("total_BV > 1 - top_p", "total_BV > top_p")),
        "not_put_back_in_order": parity.edit(keep_top_p, ("bool), order_BV, ", "bool), id_BV, ")),
        "put_back_by_the_rank": parity.edit(
            keep_top_p, ("bool), order_BV, ", "bool), jnp.argsort(order_BV, axis=-1), ")
        ),
        "least_ignored": parity.edit(keep_top_p, ("jnp.arange(V) >= V - least", "total_BV < 0")),
        "least_off_by_one": parity.edit(keep_top_p, ("V - least)", "V - least + 1)")),
        "sum_of_scores": parity.edit(keep_top_p, ("jax.nn.softmax(ascending_BV, axis=-1)", "jnp.exp(ascending_BV)")),
        "dropped_to_zero": parity.edit(keep_top_p, ("-jnp.inf", "0")),
        "larger_id_of_a_tie_dropped": parity.edit(
            keep_top_p,
            ("jnp.arange(V), (B, V))", "jnp.arange(V)[::-1], (B, V))"),
            ("sort_key_val(scores_BV, ", "sort_key_val(scores_BV[:, ::-1], "),
        ),
    },
    equivalents={
        "shifted_scores": parity.same(
            keep_top_p,
            ("jax.nn.softmax(ascending_BV, axis=-1)", "jax.nn.softmax(ascending_BV - ascending_BV[:, :1], axis=-1)"),
            why="a softmax does not see a number added to all scores",
        ),
    },
)
