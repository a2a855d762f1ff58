"""The head that chooses for a whole sequence: where its last token is, and the losses of three kinds of problem."""

from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from transformers.models.llama.modeling_llama import LlamaForSequenceClassification as Reference

import parity
from cases.llama import heads
from cases.llama.case_model import NO_CACHE
from cases.llama.palettes import CASTS, Config, port_config, reference_config
from cases.llama.port import loss
from cases.llama.port.classification import LlamaForSequenceClassification, last_token
from parity.draw import floats, one_of, tokens

# How many classes, and the problem: told, or left to be inferred from them and from the labels.
CLASSES, NUMBER, NUMBERS, SHARES = "classes", "a number", "numbers", "shares"
PROBLEMS = {
    (3, None): CLASSES,
    (1, None): NUMBER,
    (2, None): SHARES,
    (4, "single_label_classification"): CLASSES,
    (2, "regression"): NUMBERS,
    (3, "multi_label_classification"): SHARES,
}


@st.composite
def configs(draw: st.DrawFn) -> Config:
    """A small Llama with a problem; how many classes there are is said in either way."""
    classes, problem = draw(one_of(*PROBLEMS))
    names = {str(number): f"class {number}" for number in range(classes)}
    more = {"0": "overruled", "1": "too"}
    said = draw(one_of({"num_labels": classes}, {"id2label": names}, {"id2label": more, "num_labels": classes}))
    return {**draw(heads.configs()), "problem_type": problem, **said}


def forms(config: Config) -> SearchStrategy[dict[str, Any]]:
    """Calls with labels; without a padding token only of one sequence, since the reference refuses more."""
    batch = (1,) if config["pad_token_id"] is None else (1, 2, 3)
    called = heads.forms((3, 1, 8), labels=("a row", "a column"))
    return st.builds(lambda form, batch: {**form, "batch": batch}, called, one_of(*batch))


@st.composite
def inputs(draw: st.DrawFn, config: Config, form: Config) -> dict[str, Any]:
    """The backbone's inputs, and labels of the problem's kind."""
    drawn, batch = draw(heads.inputs(config, form)), form["batch"]
    count = config["num_labels"] if "num_labels" in config else len(config["id2label"])
    kind = PROBLEMS[count, config["problem_type"]]
    alone = (batch, 1) if form["labels"] == "a column" else (batch,)
    if kind == CLASSES:
        return drawn | {"labels": draw(tokens(alone, count, holes=(None, -100)))}
    return drawn | {"labels": draw(floats(alone if kind == NUMBER else (batch, count)))}


def build(config: Config, dtype: Any, rngs: Any) -> LlamaForSequenceClassification:
    """The port."""
    return LlamaForSequenceClassification(port_config(config), dtype=dtype, param_dtype=dtype, rngs=rngs)


POOLED = "pooled(outputs.last_hidden_state, last_token(input_ids, config.pad_token_id))"
SQUARED = "jnp.mean(jnp.square(x_BC - y_BC)).astype(dtype)"
BINARY = "jnp.mean((1 - y_BC) * x_BC - jax.nn.log_sigmoid(x_BC)).astype(dtype)"

sequence_classification = parity.Case(
    name="llama/sequence_classification",
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
    pool=6,
    faults={
        "last_column_pooled": parity.edit(
            LlamaForSequenceClassification.__call__, ("last_token(input_ids, config.pad_token_id)", "None")
        ),
        "first_column_pooled": parity.edit(
            LlamaForSequenceClassification.__call__,
            ("last_token(input_ids, config.pad_token_id)", "jnp.zeros(batch, int)"),
        ),
        "pooled_before_the_first_pad": parity.edit(
            last_token,
            (
                "jnp.max(jnp.where(input_ids != pad_token_id, place_L, 0), axis=-1)",
                "(jnp.argmax(input_ids == pad_token_id, axis=-1) - 1) % input_ids.shape[1]",
            ),
        ),
        "pooled_by_count_of_tokens": parity.edit(
            last_token,
            (
                "jnp.max(jnp.where(input_ids != pad_token_id, place_L, 0), axis=-1)",
                "jnp.maximum(jnp.sum(input_ids != pad_token_id, axis=-1) - 1, 0)",
            ),
        ),
        "pad_counted_from_the_end": parity.edit(
            last_token,
            ("input_ids != pad_token_id", "input_ids != pad_token_id % 11"),
        ),
        "states_averaged": parity.edit(
            LlamaForSequenceClassification.__call__, (POOLED, "outputs.last_hidden_state.mean(axis=1)")
        ),
        "ignored_labels_counted": parity.edit(loss.cross_entropy, ("jnp.sum(counted_R)", "counted_R.size")),
        "numbers_against_each_other": parity.edit(
            loss.sequence_loss, (SQUARED, "jnp.mean(jnp.square(x_BC - y_BC.T)).astype(dtype)")
        ),
        "squares_added": parity.edit(loss.sequence_loss, (SQUARED, SQUARED.replace("jnp.mean", "jnp.sum"))),
        "shares_added_up": parity.edit(loss.sequence_loss, ("jnp.mean((1 - y_BC)", "len(x_BC) * jnp.mean((1 - y_BC)")),
        "shares_as_classes": parity.edit(
            loss.sequence_loss, (BINARY, "jnp.mean(-y_BC * jax.nn.log_softmax(x_BC)).astype(dtype)")
        ),
        "two_classes_as_a_number": parity.edit(loss.problem_of, ("config.num_labels == 1", "config.num_labels <= 2")),
        "told_problem_ignored": parity.edit(loss.problem_of, ("config.problem_type is not None", "False")),
        "squares_not_widened": parity.edit(
            loss.sequence_loss, (SQUARED, "jnp.mean(jnp.square(x_BC - y_BC).astype(dtype)).astype(dtype)"), checks=CASTS
        ),
    },
)
