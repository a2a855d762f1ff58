"""The whole model with its language-model head, tied to the token table or not: token ids in, logits out."""

from functools import partial
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from transformers.models.llama.modeling_llama import LlamaForCausalLM as Reference

import parity
from cases.llama import cached, whole
from cases.llama.case_model import NO_CACHE
from cases.llama.laws import WHOLE_LAWS, whole_rows
from cases.llama.layouts import LAYOUTS
from cases.llama.palettes import CASTS, Config, configs, port_config, reference_config
from cases.llama.port.embedding import Embedding
from cases.llama.port.heads import LlamaForCausalLM, keep
from cases.llama.port.loss import causal_lm_loss, cross_entropy
from parity.draw import one_of, tokens

MANY = 400  # labels; from 257 on, bfloat16 does not hold every number
DEEP = 12  # layers that many labels would go through, and show no more than few layers do


def forms(config: Config) -> SearchStrategy[dict[str, Any]]:
    """A call of the model, which logits are wanted (all, the last one or two, some positions, some for each row), or,
    of all of them, the loss: of few labels, or, where layers are few, of so many that bfloat16 could not count them."""
    kinds = ("all", "loss", 1, 2, "some", "each", "loss by items", "loss of many")
    wanted = one_of(*kinds[: None if config["num_hidden_layers"] < DEEP else -1])
    return st.builds(_with_rows, whole.forms(config), wanted)


def _with_rows(form: dict[str, Any], keep: Any) -> dict[str, Any]:
    rows = MANY // max(form["length"] - 1, 1) + 1 if keep == "loss of many" else form["batch"]
    return {**form, "batch": rows, "keep": keep}


@st.composite
def inputs(draw: st.DrawFn, config: Config, form: Config) -> dict[str, Any]:
    """The model's inputs, and `logits_to_keep` or the labels, some of which take no part."""
    drawn = draw(whole.inputs(config, form))
    length = form["length"]
    if str(form["keep"]).startswith("loss"):
        labels = draw(tokens((form["batch"], length), config["vocab_size"], holes=(-100, None)))
        items = {"num_items_in_batch": 7} if form["keep"] == "loss by items" else {}
        return drawn | {"labels": labels} | items
    if form["keep"] == "some":  # as in any indexing, negative ones count from the end
        return drawn | {"logits_to_keep": draw(tokens((3,), length, low=-length))}
    if form["keep"] == "each":  # the reference refuses negative ones here
        return drawn | {"logits_to_keep": draw(tokens((form["batch"], 3), length))}
    return drawn | ({} if form["keep"] == "all" else {"logits_to_keep": form["keep"]})


def build(config: Config, dtype: Any, rngs: Any, **options: Any) -> LlamaForCausalLM:
    """The port, with options that change nothing in the result."""
    return LlamaForCausalLM(port_config(config), dtype=dtype, param_dtype=dtype, rngs=rngs, **options)


causal_lm = parity.Case(
    name="llama/causal_lm",
    covers=(Reference,),
    held=cached.MODEL,
    parts={"model": "llama/model"},
    reference=lambda config: Reference(reference_config(config)),
    port=build,
    options={"other_ways": partial(build, scan=True, remat=True, logits_dtype="float32")},
    layouts=LAYOUTS,
    batch=whole_rows,
    laws=WHOLE_LAWS,
    configs=configs(layers=(1, 2, 12)),
    forms=forms,
    inputs=inputs,
    ignores=NO_CACHE,
    survivors={
        "loss.py: reduce_max: reduce_max -> reduce_sum": "any number of a row's size may be subtracted before the "
        "exponential, until it overflows: past a sum of 700, and the logits of a normed state are not that large",
        "loss.py: log: the last element, *": "the last position predicts no label; another's logarithm is the last "
        "number beside zeros only where logits lie so far apart that its own is 0",
    },
    faults={
        "first_logits_kept": parity.edit(
            keep, ("x_BLD[:, -positions:]", "x_BLD[:, :positions] if positions else x_BLD")
        ),
        "kept_one_too_late": parity.edit(
            keep, ("jnp.take(x_BLD, positions, axis=1)", "jnp.take(x_BLD, positions - 1, axis=1)")
        ),
        "head_scaled_like_table": parity.edit(
            LlamaForCausalLM.__call__,
            (
                "logits_BPV = project(x_BPD, to=to)",
                "logits_BPV = project(x_BPD, to=to) * self.config.hidden_size**0.5",
            ),
        ),
        "tying_with_wrong_end": parity.edit(
            LlamaForCausalLM.__call__,
            ("project(x_BPD, to=to)", "project(x_BPD, to=to)[..., ::-1]"),
        ),
        "labels_not_shifted": parity.edit(
            causal_lm_loss, ("jnp.pad(labels_BL[:, 1:], ((0, 0), (0, 1)), constant_values=IGNORED)", "labels_BL")
        ),
        "ignored_labels_counted": parity.edit(cross_entropy, ("jnp.sum(counted_R)", "counted_R.size")),
        "ignored_labels_learned": parity.edit(
            cross_entropy, ("jnp.where(counted_R, log_R, 0)", "jnp.where(counted_R | True, log_R, 0)")
        ),
        "items_forgotten": parity.edit(causal_lm_loss, ("items=num_items_in_batch", "items=None")),
        "last_column_wrapped": parity.edit(
            causal_lm_loss,
            (
                "jnp.pad(labels_BL[:, 1:], ((0, 0), (0, 1)), constant_values=IGNORED)",
                "jnp.roll(labels_BL, -1, axis=-1)",
            ),
        ),
        "table_learns_nothing_from_the_head": parity.edit(
            Embedding.attend,
            ("cast(self.embedding[...], self.dtype)", "jax.lax.stop_gradient(cast(self.embedding[...], self.dtype))"),
            checks=("gradient",),
        ),
        "head_biased": parity.edit(
            LlamaForCausalLM.__call__,
            ("project(x_BPD, to=to)", "project(x_BPD, to=to) + 1e-4"),
        ),
        "logits_in_float32": parity.edit(
            LlamaForCausalLM.__call__,
            (
                "project(x_BPD, to=to)",
                "project(x_BPD, to=to).astype(jnp.promote_types(x_BPD.dtype, jnp.float32))",
            ),
            checks=CASTS,
        ),
        "next_seen_by_head": parity.edit(
            LlamaForCausalLM.__call__,
            (
                "keep(outputs.last_hidden_state, logits_to_keep)",
                "keep((lambda h: h + 1e-4 * jnp.roll(h, -1, axis=1))(outputs.last_hidden_state), logits_to_keep)",
            ),
            checks=("transforms",),
        ),
        "head_sees_unnormed": parity.edit(
            LlamaForCausalLM.__call__,
            (
                "keep(outputs.last_hidden_state, logits_to_keep)",
                "keep(outputs.last_hidden_state / self.model.norm.scale[...], logits_to_keep)",
            ),
        ),
    },
    equivalents={
        "kept_after_the_head": parity.same(
            LlamaForCausalLM.__call__,
            ("x_BPD = keep(outputs.last_hidden_state, logits_to_keep)", "x_BPD = outputs.last_hidden_state"),
            (
                "logits_BPV = project(x_BPD, to=to)",
                "logits_BPV = keep(project(x_BPD, to=to), logits_to_keep)",
            ),
            why="the head works on each position alone",
        ),
    },
)
