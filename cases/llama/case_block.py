"""One layer of the stack: attention and feed-forward network, each behind a norm and beside a residual."""

from typing import Any

from hypothesis import strategies as st
from transformers.models.llama.modeling_llama import LlamaDecoderLayer

import parity
from cases.llama import cached, laws
from cases.llama.palettes import CASTS, Config, batches, configs, port_config, reference_config
from cases.llama.port.block import DecoderLayer
from parity.draw import floats, masks, rotations
from parity.weights import Rules


def inputs(config: Config, form: Config) -> st.SearchStrategy[dict[str, Any]]:
    """Hidden states, tables of random angles, and the additive mask that the model would make, or none."""
    batch, length = form["batch"], form["length"]
    return st.fixed_dictionaries(
        {
            "hidden_states": floats((batch, length, config["hidden_size"])),
            "position_embeddings": rotations((batch, length, config["head_dim"])),
            "attention_mask": masks(batch, length) if form["mask"] else st.none(),
        }
    )


def norms_swapped(rules: Rules) -> Rules:
    """The weights of the two norms in each other's place."""
    first, second = "input_layernorm", "post_attention_layernorm"
    return rules | parity.rules(
        {f"{first}.weight": parity.copy(f"{second}.scale"), f"{second}.weight": parity.copy(f"{first}.scale")}
    )


block = parity.Case(
    name="llama/block",
    covers=(LlamaDecoderLayer,),
    held=cached.BLOCK,
    parts={
        "self_attn": "llama/attention",
        "mlp": "llama/mlp",
        "input_layernorm": "llama/rmsnorm",
        "post_attention_layernorm": "llama/rmsnorm",
    },
    reference=lambda config: LlamaDecoderLayer(reference_config(config), layer_idx=0),
    port=lambda config, dtype, rngs: DecoderLayer(port_config(config), dtype=dtype, param_dtype=dtype, rngs=rngs),
    configs=configs(),
    forms=lambda config: batches(3, 1, 8, 33, mask=(True, False)),
    inputs=inputs,
    batch=laws.ROWS,
    laws={
        "causality": laws.causal({"output": 1}),
        "padding": laws.padded({"output": 1}),
        "batch_permuted": laws.rows_permuted(lambda form: laws.ROWS),
        "positions_permuted": laws.places_permuted(laws.PLACES, {"output": 1}),
    },
    faults={
        "first_residual_missing": parity.edit(
            DecoderLayer.step, ("x_BLD = x_BLD + attended_BLD", "x_BLD = attended_BLD")
        ),
        "second_residual_missing": parity.edit(DecoderLayer.step, ("x_BLD = x_BLD + self.mlp(", "x_BLD = self.mlp(")),
        "residual_in_float32": parity.edit(
            DecoderLayer.step,
            ("x_BLD + attended_BLD", "x_BLD.astype(jnp.promote_types(x_BLD.dtype, jnp.float32)) + attended_BLD"),
            (
                "x_BLD + self.mlp(self.post_attention_layernorm(x_BLD))",
                "(x_BLD + self.mlp(self.post_attention_layernorm(x_BLD))).astype(attended_BLD.dtype)",
            ),
            checks=CASTS,
        ),
        "residual_of_normed": parity.edit(
            DecoderLayer.step,
            ("x_BLD = x_BLD + attended_BLD", "x_BLD = self.input_layernorm(x_BLD) + attended_BLD"),
        ),
        "residual_learns_nothing": parity.edit(
            DecoderLayer.step,
            ("x_BLD = x_BLD + attended_BLD", "x_BLD = jax.lax.stop_gradient(x_BLD) + attended_BLD"),
            checks=("gradient",),
        ),
        "in_parallel": parity.edit(
            DecoderLayer.step,
            ("x_BLD = x_BLD + attended_BLD", "pass"),
            ("x_BLD = x_BLD + self.mlp(", "x_BLD = x_BLD + attended_BLD + self.mlp("),
        ),
        "first_norm_missing": parity.edit(DecoderLayer.step, ("self.input_layernorm(x_BLD),", "x_BLD,")),
        "second_norm_missing": parity.edit(
            DecoderLayer.step, ("self.mlp(self.post_attention_layernorm(x_BLD))", "self.mlp(x_BLD)")
        ),
        "norm_after": parity.edit(
            DecoderLayer.step,
            ("self.mlp(self.post_attention_layernorm(x_BLD))", "self.post_attention_layernorm(self.mlp(x_BLD))"),
        ),
        "rows_averaged_in": parity.edit(
            DecoderLayer.__call__,
            ("return x_BLD", "return x_BLD + 1e-4 * x_BLD.mean(axis=0)"),
            checks=("transforms",),
        ),
        "last_input_remembered": parity.edit(
            DecoderLayer.__call__,
            ("return x_BLD", "self.last = hidden_states\n    return x_BLD"),
            checks=("transforms",),
        ),
        "norm_weights_swapped": parity.remap(norms_swapped),
        "one_eps_from_default": parity.edit(
            DecoderLayer.__init__,
            ("self.post_attention_layernorm = RMSNorm(D, eps,", "self.post_attention_layernorm = RMSNorm(D, 1e-6,"),
        ),
    },
    equivalents={
        "residuals_added_the_other_way": parity.same(
            DecoderLayer.step,
            ("x_BLD + attended_BLD", "attended_BLD + x_BLD"),
            why="a sum of two commutes, to the last bit",
        ),
    },
)
