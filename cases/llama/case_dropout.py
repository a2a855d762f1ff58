"""Dropout of attention weights in training: where it is, how what is left is scaled, with one mask on both sides."""

from typing import Any

import jax
import torch
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from transformers.models.llama.modeling_llama import LlamaAttention

import parity
from cases.llama import injected
from cases.llama.case_attention import attention
from cases.llama.case_attention import inputs as attention_inputs
from cases.llama.palettes import CASTS, HEADS, Config, batches, port_config, reference_config
from cases.llama.port.attention import Attention
from cases.llama.port.dropout import dropped
from parity.draw import one_of, tokens

ASKED = "what is not dropped is asked of llama/attention"


class Reference(LlamaAttention):
    """Attention in training, with a given mask."""

    def forward(self, kept: torch.Tensor, **given: Any) -> Any:  # type: ignore[override]
        with injected.training(self, kept):
            return super().forward(**given)


class Port(Attention):
    """Attention in training, with a given mask."""

    def __call__(  # type: ignore[override]
        self, hidden_states: jax.Array, position_embeddings: Any, kept: jax.Array, attention_mask: Any = None
    ) -> tuple[jax.Array, jax.Array]:
        with injected.ported(kept != 0):
            output, weights, _ = self.step(hidden_states, position_embeddings, attention_mask, key=jax.random.key(0))
        return output, weights


@st.composite
def configs(draw: st.DrawFn) -> Config:
    """Heads that share keys or do not, and a share to drop: of some, none, all."""
    width, heads, kv_heads, head_dim = draw(one_of(HEADS[0], HEADS[4]))
    return {
        "model_type": "llama",
        "hidden_size": width,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": head_dim,
        "attention_dropout": draw(one_of(0.1, 0.7, 0.0, 1.0)),
    }


@st.composite
def inputs(draw: st.DrawFn, config: Config, form: Config) -> dict[str, Any]:
    """What attention takes, and which of its weights are kept."""
    weights = (form["batch"], config["num_attention_heads"], form["length"], form["length"])
    return {**draw(attention_inputs(config, form)), "kept": draw(tokens(weights, 2))}


def forms(config: Config) -> SearchStrategy[dict[str, Any]]:
    """Calls with a mask or without."""
    return batches(3, 8, mask=(True, False))


def build(config: Config, dtype: Any, rngs: Any) -> Port:
    """The port."""
    return Port(port_config(config), dtype=dtype, param_dtype=dtype, rngs=rngs)


WEIGHTS = "dropped(softmax(scores_BNLM, q_BNLH.dtype), self.dropout, key)"

attention_dropout = parity.Case(
    name="llama/dropout",
    reference=lambda config: Reference(reference_config(config), layer_idx=0),
    port=build,
    weights=attention.weights,
    configs=configs(),
    forms=forms,
    inputs=inputs,
    skips=dict.fromkeys(("transfer", "structure", "rounded:float16", "bfloat16", "float16", "transforms"), ASKED),
    pool=6,
    faults={
        "rest_not_scaled": parity.edit(dropped, ("1 / (1 - rate)", "1.0")),
        "rest_scaled_by_what_is_dropped": parity.edit(dropped, ("1 / (1 - rate)", "1 / rate")),
        "scale_as_a_product": parity.edit(dropped, ("1 / (1 - rate)", "1 + rate")),
        "scores_dropped": parity.edit(
            Attention.attend, (WEIGHTS, "softmax(dropped(scores_BNLM, self.dropout, key), q_BNLH.dtype)")
        ),
        "rest_made_a_mean_again": parity.edit(
            Attention.attend,
            (WEIGHTS, f"(lambda w: w / jnp.maximum(w.sum(-1, keepdims=True), 1e-9))({WEIGHTS})"),
        ),
        "told_before_it_is_dropped": parity.edit(
            Attention.attend,
            (WEIGHTS, "softmax(scores_BNLM, q_BNLH.dtype)"),
            ("averaged(weights_BNLM,", "averaged(dropped(weights_BNLM, self.dropout, key),"),
        ),
        "all_dropped_is_none_dropped": parity.edit(dropped, ("0.0 if rate == 1 else 1", "1 if rate == 1 else 1")),
        "scale_left_in_float32": parity.edit(
            dropped,
            (".asarray(0.0 if rate == 1 else 1 / (1 - rate), x.dtype)", ".float32(1 / max(1 - rate, 1e-9))"),
            checks=CASTS,
        ),
        "no_gradient_of_what_is_left": parity.edit(
            Attention.attend,
            (WEIGHTS, WEIGHTS.replace("softmax(scores_BNLM", "softmax(jax.lax.stop_gradient(scores_BNLM)")),
            checks=("gradient",),
        ),
    },
)
