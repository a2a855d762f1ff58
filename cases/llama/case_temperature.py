"""Scores over a temperature."""

from hypothesis import strategies as st
from transformers.generation.logits_process import TemperatureLogitsWarper as Reference

import parity
from cases.llama import scores
from cases.llama.port.processors import scale
from parity.draw import one_of

temperature = parity.Case(
    name="llama/temperature",
    covers=(Reference,),
    reference=lambda config: scores.alone(Reference(config["temperature"])),
    port=lambda config, dtype, rngs: lambda scores: scale(scores, temperature=config["temperature"]),
    configs=st.fixed_dictionaries(
        {"vocab_size": one_of(*scores.VOCABULARIES), "temperature": one_of(0.7, 1.3, 3.0, 1e-3)}
    ),
    forms=scores.forms,
    inputs=lambda config, form: st.fixed_dictionaries({"scores": scores.scores(config, form)}),
    batch=scores.ROWS,
    laws=scores.LAWS,
    skips=scores.SKIPS,
    pool=4,
    faults={
        "multiplied": parity.edit(scale, ("scores_BV / temperature", "scores_BV * temperature")),
        "ignored": parity.edit(scale, ("scores_BV / temperature", "scores_BV / 1")),
        "best_first": parity.edit(
            scale, ("scores_BV / temperature", "(scores_BV - scores_BV.max(-1, keepdims=True)) / temperature")
        ),
        "of_the_batch": parity.edit(
            scale, ("scores_BV / temperature", "(scores_BV - scores_BV.mean()) / temperature"), checks=("transforms",)
        ),
    },
    equivalents={
        "times_its_inverse": parity.same(
            scale, ("scores_BV / temperature", "scores_BV * (1 / temperature)"), why="x / t = x (1 / t)"
        ),
    },
)
