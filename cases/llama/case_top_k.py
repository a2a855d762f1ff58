"""Only the best scores, so many of them."""

from hypothesis import strategies as st
from transformers.generation.logits_process import TopKLogitsWarper as Reference

import parity
from cases.llama import scores
from cases.llama.port.processors import keep_top_k
from parity.draw import one_of

top_k = parity.Case(
    name="llama/top_k",
    covers=(Reference,),
    reference=lambda config: scores.alone(Reference(config["top_k"], min_tokens_to_keep=config["least"])),
    port=lambda config, dtype, rngs: lambda scores: keep_top_k(scores, top_k=config["top_k"], least=config["least"]),
    configs=st.fixed_dictionaries(
        {
            "vocab_size": one_of(*scores.VOCABULARIES),
            "top_k": one_of(2, 1, 5, 8, 50),  # also as many as there are, and more
            "least": one_of(*scores.LEAST),
        }
    ),
    forms=scores.forms,
    inputs=lambda config, form: st.fixed_dictionaries({"scores": scores.scores(config, form)}),
    batch=scores.ROWS,
    laws=scores.LAWS,
    skips=scores.SKIPS,
    pool=6,
    faults={
        "one_too_many": parity.edit(keep_top_k, ("max(top_k, least)", "max(top_k, least) + 1")),
        "last_dropped": parity.edit(keep_top_k, ("scores_BV < last_B1", "scores_BV <= last_B1")),
        "worst_kept": parity.edit(
            keep_top_k,
            ("jax.lax.top_k(scores_BV, count)[0]", "-jax.lax.top_k(-scores_BV, count)[0]"),
        ),
        "least_ignored": parity.edit(keep_top_k, ("max(top_k, least)", "top_k")),
        "dropped_to_zero": parity.edit(keep_top_k, ("-jnp.inf", "0")),
        "ties_dropped": parity.edit(
            keep_top_k,
            (
                "scores_BV < last_B1",
                "jnp.argsort(jnp.argsort(-scores_BV, axis=-1), axis=-1) >= count",
            ),
        ),
        "of_the_first_row": parity.edit(keep_top_k, ("[0][:, -1:]", "[0][:1, -1:]"), checks=("transforms",)),
    },
    equivalents={
        "by_sorting": parity.same(
            keep_top_k,
            ("jax.lax.top_k(scores_BV, count)[0][:, -1:]", "jnp.sort(scores_BV, axis=-1)[:, -count:][:, :1]"),
            why="the last of the best is the first of the same number at the end of the sorted scores",
        ),
    },
)
