"""What is drawn for the heads: a small backbone, since it has a case of its own, and every way to call one."""

import dataclasses
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from cases.llama import whole
from cases.llama.palettes import HEADS, Config, batches
from parity.draw import one_of

# What a head is not asked, and why.
SKIPS = {
    "transforms": "a head is a few operations that no transformation treats otherwise; its backbone is asked",
    "rounded:float16": "a head has the same casts in either half precision, and bfloat16 is asked",
}
# What fault injection leaves in a head.
SURVIVORS = {
    "loss.py: convert_element_type: rounded to bfloat16": "so few labels are counted exactly in bfloat16; "
    "llama/causal_lm has as many as are not",
}
WIDTHS = (HEADS[0], HEADS[4])  # of one head, of heads that share keys


@st.composite
def configs(draw: st.DrawFn, **fields: SearchStrategy[Any]) -> Config:
    """A Llama of one layer, with further fields that a head reads."""
    width, heads, kv_heads, head_dim = draw(one_of(*WIDTHS))
    return {
        "model_type": "llama",
        "vocab_size": 11,
        "intermediate_size": 7,
        "num_hidden_layers": 1,
        "hidden_size": width,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": head_dim,
        "max_position_embeddings": 32,
        "rms_norm_eps": 1e-5,
        "pad_token_id": draw(one_of(3, None, 0, -2)),
        **{name: draw(strategy) for name, strategy in fields.items()},
    }


def forms(lengths: tuple[int, ...], **fields: tuple[Any, ...]) -> SearchStrategy[dict[str, Any]]:
    """A call of the backbone in a few words, and further fields that say how a head is called."""
    calls = {
        "mask": ("none", "padding"),
        "positions": (False, True),
        "embeds": (False, True),
        "use_cache": (False, True),
        "states": (False, True),
        "weights": (False, True),
    }
    return batches(*lengths, **calls, **fields)


@st.composite
def inputs(draw: st.DrawFn, config: Config, form: Config) -> dict[str, Any]:
    """The backbone's inputs; where there is a padding token, it may stand for a third of the ids."""
    drawn, pad = draw(whole.inputs(config, form)), config["pad_token_id"]
    if "input_ids" not in drawn or pad is None or pad < 0:
        return drawn
    return drawn | {"input_ids": dataclasses.replace(drawn["input_ids"], hole=draw(one_of(pad, None)))}
