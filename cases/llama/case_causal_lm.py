"""The whole model with its language-model head, tied to the token table or not: token ids in, logits out."""

from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from transformers.models.llama.modeling_llama import LlamaForCausalLM as Reference

import parity
from cases.llama import whole
from cases.llama.case_model import NO_CACHE
from cases.llama.palettes import Config, configs, port_config, reference_config
from cases.llama.port.heads import LlamaForCausalLM, keep
from parity.draw import one_of, tokens


def forms(config: Config) -> SearchStrategy[dict[str, Any]]:
    """A call of the model, and which logits are wanted: all, the last one or two, some positions, some for each row."""
    return st.builds(
        lambda form, keep: {**form, "keep": keep}, whole.forms(config), one_of("all", 1, 2, "some", "each")
    )


@st.composite
def inputs(draw: st.DrawFn, config: Config, form: Config) -> dict[str, Any]:
    """The model's inputs and `logits_to_keep`."""
    drawn = draw(whole.inputs(config, form))
    length = form["length"]
    if form["keep"] == "some":  # as in any indexing, negative ones count from the end
        return drawn | {"logits_to_keep": draw(tokens((3,), length, low=-length))}
    if form["keep"] == "each":  # the reference refuses negative ones here
        return drawn | {"logits_to_keep": draw(tokens((form["batch"], 3), length))}
    return drawn | ({} if form["keep"] == "all" else {"logits_to_keep": form["keep"]})


causal_lm = parity.Case(
    name="llama/causal_lm",
    covers=(Reference,),
    parts={"model": "llama/model"},
    reference=lambda config: Reference(reference_config(config)),
    port=lambda config, dtype, rngs: LlamaForCausalLM(port_config(config), dtype=dtype, param_dtype=dtype, rngs=rngs),
    configs=configs(layers=(1, 2, 12)),
    forms=forms,
    inputs=inputs,
    ignores=NO_CACHE,
    survivors={
        "heads.py: *": "take_along_axis also counts negative positions from the end; the reference refuses these where "
        "each row has its own, so none is drawn",
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
            ("CausalLMOutput(project(x_BPD)", "CausalLMOutput(project(x_BPD) * self.config.hidden_size**0.5"),
        ),
        "tying_with_wrong_end": parity.edit(
            LlamaForCausalLM.__call__,
            ("project(x_BPD),", "project(x_BPD)[..., ::-1],"),
        ),
        "head_biased": parity.edit(LlamaForCausalLM.__call__, ("project(x_BPD),", "project(x_BPD) + 1e-4,")),
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
            ("CausalLMOutput(project(x_BPD),", "CausalLMOutput(keep(project(x_BPD), logits_to_keep),"),
            why="the head works on each position alone",
        ),
    },
)
