"""Only what is not much less probable than the best."""

from typing import Any

import numpy as np
from hypothesis import strategies as st
from transformers.generation.logits_process import MinPLogitsWarper as Reference

import parity
from cases.llama import scores
from cases.llama.palettes import Config
from cases.llama.port.processors import keep_min_p
from parity.draw import one_of


def inputs(config: Config, form: Config) -> Any:
    """Scores of which none is near the threshold, if not exactly on it: beside it rounding decides.

    Which of two that tie is kept, where not all are and there must be more, is chance in `torch.topk`: none do.
    """
    least = min(config["least"], config["vocab_size"] - 1)

    def clear(x: scores.Scores) -> bool:
        probabilities = scores.softmax(x)
        relative = np.sort(probabilities / probabilities.max(axis=-1, keepdims=True), axis=-1)[:, ::-1]
        enough = relative[:, least - 1] >= config["min_p"]
        ordered = relative[:, least - 1] - relative[:, least] > scores.CLEAR
        return bool((enough | ordered).all()) and scores.far(relative, config["min_p"])

    return st.fixed_dictionaries({"scores": scores.scores(config, form, clear=clear)})


min_p = parity.Case(
    name="llama/min_p",
    covers=(Reference,),
    reference=lambda config: scores.alone(Reference(config["min_p"], min_tokens_to_keep=config["least"])),
    port=lambda config, dtype, rngs: lambda scores: keep_min_p(scores, min_p=config["min_p"], least=config["least"]),
    configs=st.fixed_dictionaries(
        {
            "vocab_size": one_of(*scores.VOCABULARIES),
            "min_p": one_of(0.3, 0.05, 1.0, 0.0, 0.9),  # 1 is met by the best, and by all that tie with it
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
        "processors.py: *: rounded to bfloat16": scores.NEAR,
        "processors.py: exp: *, relative 0.001": scores.NEAR,
        "processors.py: *: the largest element, plus 1": "the place of the best, which is kept all the same",
    },
    faults={
        "threshold_met_is_dropped": parity.edit(keep_min_p, (">= min_p", "> min_p")),
        "share_of_one": parity.edit(keep_min_p, ("jnp.exp(scores_BV - best_B1)", "jax.nn.softmax(scores_BV, axis=-1)")),
        "share_of_the_score": parity.edit(keep_min_p, ("jnp.exp(scores_BV - best_B1)", "scores_BV / best_B1")),
        "least_ignored": parity.edit(keep_min_p, ("first, True)", "first[:, :0], True)")),
        "least_off_by_one": parity.edit(
            keep_min_p, ("min(least, scores_BV.shape[-1])", "min(least + 1, scores_BV.shape[-1])")
        ),
        "dropped_to_zero": parity.edit(keep_min_p, ("-jnp.inf", "0")),
        "best_of_the_batch": parity.edit(
            keep_min_p, ("jnp.max(scores_BV, axis=-1, keepdims=True)", "jnp.max(scores_BV)"), checks=("transforms",)
        ),
    },
    equivalents={
        "of_probabilities": parity.same(
            keep_min_p,
            (
                "jnp.exp(scores_BV - best_B1) >= min_p",
                "(lambda p: p >= min_p * jnp.max(p, axis=-1, keepdims=True))(jax.nn.softmax(scores_BV, axis=-1))",
            ),
            why="what a softmax divides by is the same for the best and for all others",
        ),
    },
)
