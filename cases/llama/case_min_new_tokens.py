"""No end of a text before it is long enough, whether the prompt counts or not."""

from collections.abc import Callable
from typing import Any

import torch
from hypothesis import strategies as st
from transformers.generation.logits_process import MinLengthLogitsProcessor, MinNewTokensLengthLogitsProcessor

import parity
from cases.llama import scores
from cases.llama.palettes import Config
from cases.llama.port.processors import forbid_end
from parity.draw import one_of, tokens


def reference(config: Config) -> Callable[..., torch.Tensor]:
    """The reference that counts the prompt, or where there is one to leave out, the one that doesn't."""
    least, ends, prompt = config["least"], list(config["eos_token_id"]), config["prompt"]
    processor = (
        MinLengthLogitsProcessor(least, ends)
        if prompt is None
        else MinNewTokensLengthLogitsProcessor(prompt, least, ends)
    )
    return lambda scores, text: processor(text, scores)


def port(config: Config, dtype: Any, rngs: Any) -> Callable[..., Any]:
    """The port, which is told the length."""
    ends, prompt = tuple(config["eos_token_id"]), config["prompt"] or 0

    def forbid(scores: Any, text: Any) -> Any:
        return forbid_end(scores, text.shape[1] - prompt, least=config["least"], eos_token_ids=ends)

    return forbid


min_new_tokens = parity.Case(
    name="llama/min_new_tokens",
    covers=(MinLengthLogitsProcessor, MinNewTokensLengthLogitsProcessor),
    reference=reference,
    port=port,
    configs=st.fixed_dictionaries(
        {
            "vocab_size": one_of(*scores.VOCABULARIES),
            "least": one_of(3, 0, 1, 4),
            "prompt": one_of(None, 1, 2),
            "eos_token_id": one_of([2], [0, 4], [1, 3, 3]),
        }
    ),
    forms=lambda config: st.fixed_dictionaries({"batch": one_of(1, 3), "length": one_of(3, 2, 4, 5)}),
    inputs=lambda config, form: st.fixed_dictionaries(
        {
            "scores": scores.scores(config, form),
            "text": tokens((form["batch"], form["length"]), config["vocab_size"]),
        }
    ),
    batch={"scores": 0, "text": 0},
    laws={"batch_permuted": scores.laws.rows_permuted(lambda form: {"scores": 0, "text": 0})},
    skips=scores.SKIPS,
    pool=8,
    faults={
        "one_token_too_late": parity.edit(forbid_end, ("length < least", "length <= least")),
        "one_token_too_early": parity.edit(forbid_end, ("length < least", "length + 1 < least")),
        "first_end_alone": parity.edit(forbid_end, ("jnp.asarray(eos_token_ids)", "jnp.asarray(eos_token_ids[:1])")),
        "last_end_alone": parity.edit(forbid_end, ("jnp.asarray(eos_token_ids)", "jnp.asarray(eos_token_ids[-1:])")),
        "never_an_end": parity.edit(forbid_end, ("ends_V & (length < least)", "ends_V")),
        "always_an_end": parity.edit(forbid_end, ("ends_V & (length < least)", "ends_V & (length < 0)")),
        "end_made_unlikely": parity.edit(forbid_end, ("-jnp.inf", "-1e9")),
    },
)
