"""The head that finds an answer: where it starts, where it ends, and what a position outside the text counts."""

from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from transformers.models.llama.modeling_llama import LlamaForQuestionAnswering as Reference

import parity
from cases.llama import heads
from cases.llama.case_model import NO_CACHE
from cases.llama.palettes import Config, port_config, reference_config
from cases.llama.port import loss
from cases.llama.port.question_answering import LlamaForQuestionAnswering
from parity.draw import tokens


def forms(config: Config) -> SearchStrategy[dict[str, Any]]:
    """Calls with both positions, in a row or in a column each, or with one of them, which makes no loss."""
    return heads.forms((3, 2, 8), labels=("rows", "columns", "rows by items", "start alone"))


@st.composite
def inputs(draw: st.DrawFn, config: Config, form: Config) -> dict[str, Any]:
    """The backbone's inputs, and positions, some of them before the text or behind it."""
    drawn, batch, length = draw(heads.inputs(config, form)), form["batch"], form["length"]
    shape = (batch, 1) if form["labels"] == "columns" else (batch,)
    drawn["start_positions"] = draw(tokens(shape, length, holes=(None, -1, length, length + 5)))
    if form["labels"] == "start alone":
        return drawn
    drawn["end_positions"] = draw(tokens(shape, length, holes=(None, length + 5, length, -1)))
    return drawn | ({"num_items_in_batch": 7} if form["labels"] == "rows by items" else {})


def build(config: Config, dtype: Any, rngs: Any) -> LlamaForQuestionAnswering:
    """The port."""
    return LlamaForQuestionAnswering(port_config(config), dtype=dtype, param_dtype=dtype, rngs=rngs)


question_answering = parity.Case(
    name="llama/question_answering",
    covers=(Reference,),
    parts={"transformer": "llama/model"},
    reference=lambda config: Reference(reference_config(config)),
    port=build,
    configs=heads.configs(),
    forms=forms,
    inputs=inputs,
    ignores=NO_CACHE,
    skips=heads.SKIPS,
    survivors=heads.SURVIVORS,
    pool=4,
    faults={
        "start_and_end_swapped": parity.edit(
            LlamaForQuestionAnswering.__call__,
            ("logits_BL2[..., 0], logits_BL2[..., 1]", "logits_BL2[..., 1], logits_BL2[..., 0]"),
        ),
        "ends_judged_by_starts": parity.edit(loss.span_loss, ("half(end_BL, ends_B)", "half(start_BL, ends_B)")),
        "positions_not_clamped": parity.edit(
            loss.span_loss, ("jnp.clip(positions.reshape(-1), 0, L)", "positions.reshape(-1)")
        ),
        "positions_clamped_into_the_text": parity.edit(loss.span_loss, ("0, L), ignored", "0, L - 1), ignored")),
        "before_the_text_ignored": parity.edit(
            loss.span_loss,
            (
                "jnp.clip(positions.reshape(-1), 0, L)",
                "jnp.where((positions < 0) | (positions > L), L, positions).reshape(-1)",
            ),
        ),
        "losses_added": parity.edit(
            loss.span_loss,
            (
                "(half(start_BL, starts_B) + half(end_BL, ends_B)) / 2",
                "half(start_BL, starts_B) + half(end_BL, ends_B)",
            ),
        ),
        "items_forgotten": parity.edit(loss.span_loss, ("items=items", "items=None")),
        "one_position_enough": parity.edit(
            LlamaForQuestionAnswering.__call__,
            (
                "if start_positions is not None and end_positions is not None:",
                "end_positions = start_positions if end_positions is None else end_positions\n    if True:",
            ),
        ),
        "logits_of_two_rows": parity.edit(
            LlamaForQuestionAnswering.__call__,
            (
                "logits_BL2[..., 0], logits_BL2[..., 1]",
                "logits_BL2.reshape(batch, 2, -1)[:, 0], logits_BL2.reshape(batch, 2, -1)[:, 1]",
            ),
        ),
    },
)
