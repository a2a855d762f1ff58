"""The head that chooses for each token."""

from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from transformers.models.llama.modeling_llama import LlamaForTokenClassification as Reference

import parity
from cases.llama import heads
from cases.llama.case_model import NO_CACHE
from cases.llama.palettes import Config, port_config, reference_config
from cases.llama.port import loss
from cases.llama.port.classification import LlamaForTokenClassification
from parity.draw import one_of, tokens

CLASSES = 3


@st.composite
def configs(draw: st.DrawFn) -> Config:
    """A small Llama; whether the head has a bias may be left to the default."""
    bias = draw(one_of({}, {"token_classification_bias": False}, {"token_classification_bias": True}))
    return {**draw(heads.configs()), "num_labels": CLASSES, **bias}


def forms(config: Config) -> SearchStrategy[dict[str, Any]]:
    """Calls with labels or without."""
    return heads.forms((3, 1, 8), labels=(True, False))


@st.composite
def inputs(draw: st.DrawFn, config: Config, form: Config) -> dict[str, Any]:
    """The backbone's inputs, and a class for each token, or none."""
    drawn = draw(heads.inputs(config, form))
    if not form["labels"]:
        return drawn
    return drawn | {"labels": draw(tokens((form["batch"], form["length"]), CLASSES, holes=(None, -100)))}


def build(config: Config, dtype: Any, rngs: Any) -> LlamaForTokenClassification:
    """The port."""
    return LlamaForTokenClassification(port_config(config), dtype=dtype, param_dtype=dtype, rngs=rngs)


token_classification = parity.Case(
    name="llama/token_classification",
    covers=(Reference,),
    parts={"model": "llama/model"},
    reference=lambda config: Reference(reference_config(config)),
    port=build,
    configs=configs(),
    forms=forms,
    inputs=inputs,
    ignores=NO_CACHE,
    skips=heads.SKIPS,
    survivors=heads.SURVIVORS,
    pool=4,
    faults={
        "labels_shifted": parity.edit(
            loss.token_loss,
            ("labels_BL)", "jnp.pad(labels_BL[:, 1:], ((0, 0), (0, 1)), constant_values=IGNORED))"),
        ),
        "ignored_labels_counted": parity.edit(loss.cross_entropy, ("jnp.sum(counted_R)", "counted_R.size")),
        "ignored_labels_learned": parity.edit(
            loss.cross_entropy, ("jnp.where(counted_R, log_R, 0)", "jnp.where(counted_R | True, log_R, 0)")
        ),
        "loss_of_narrow_logits": parity.edit(
            loss.token_loss, ("widened(logits_BLC)", "logits_BLC"), checks=("structure",)
        ),
        "bias_left_out": parity.edit(
            LlamaForTokenClassification.__call__,
            (
                "self.score(dropped(outputs.last_hidden_state, self.config.token_dropout, own_key))",
                "outputs.last_hidden_state @ self.score.kernel[...]",
            ),
        ),
        "mask_not_handed_on": parity.edit(
            LlamaForTokenClassification.__call__,
            ("    attention_mask,\n", "    None,\n"),
        ),
    },
)
