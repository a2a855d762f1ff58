"""Self-attention with grouped keys and values: projections, rotation, scale, mask, softmax, output."""

from typing import Any

import numpy as np
from hypothesis import strategies as st
from transformers.models.llama.modeling_llama import LlamaAttention

import parity
from cases.llama import cached, laws
from cases.llama.palettes import CASTS, Config, batches, configs, port_config, reference_config
from cases.llama.port.attention import Attention, averaged, grouped, merge_heads, scores, softmax, split_heads
from cases.llama.port.rotary import rotate_half
from parity.draw import floats, masks, rotations
from parity.weights import Rules


def inputs(config: Config, form: Config) -> st.SearchStrategy[dict[str, Any]]:
    """Hidden states, tables of random angles, and the additive mask that the model would make, or none."""
    batch, length = form["batch"], form["length"]
    return st.fixed_dictionaries(
        {
            "hidden_states": floats((batch, length, config["hidden_size"]), scales=(1.0, 0.03, 1e-3, 5.0)),
            "position_embeddings": rotations((batch, length, config["head_dim"])),
            "attention_mask": masks(batch, length) if form["mask"] else st.none(),
        }
    )


# Indexes a head's axis so that the two numbers of a pair stand side by side instead of half a head apart.
PAIRED = "[..., jnp.arange(self.head_dim).reshape(2, -1).T.ravel()]"


def square_not_transposed(name: str) -> parity.Variant:
    """A kernel taken as it is; only where it is square does nothing else complain."""
    return parity.remap(lambda rules: rules | parity.rules({f"{name}.weight": parity.copy(f"{name}.kernel")}))


def keys_permuted(rules: Rules) -> Rules:
    """Keys permuted to interleaved pairs and queries not, as a converter that mistakes one of the two."""
    to_rows = parity.chain(parity.permute("", lambda rows: np.arange(rows)[::-1]), parity.transpose("k_proj.kernel"))
    return rules | parity.rules({"k_proj.weight": to_rows})


attention = parity.Case(
    name="llama/attention",
    covers=(LlamaAttention,),
    held=cached.ATTENTION,
    reference=lambda config: LlamaAttention(reference_config(config), layer_idx=0),
    port=lambda config, dtype, rngs: Attention(port_config(config), dtype=dtype, param_dtype=dtype, rngs=rngs),
    configs=configs(),
    forms=lambda config: batches(3, 1, 8, 40, mask=(True, False)),
    inputs=inputs,
    batch=laws.ROWS,
    laws={
        "causality": laws.causal({"0": 1, "1": 2}),
        "padding": laws.padded({"0": 1, "1": (2, 3)}),
        "batch_permuted": laws.rows_permuted(lambda form: laws.ROWS),
        "positions_permuted": laws.places_permuted(laws.PLACES, {"0": 1, "1": (2, 3)}),
    },
    faults={
        "kv_tiled": parity.edit(
            grouped,
            (
                "x.reshape(B, kv_heads, N // kv_heads, *rest)",
                "x.reshape(B, N // kv_heads, kv_heads, *rest).swapaxes(1, 2)",
            ),
        ),
        "scale_missing": parity.edit(
            Attention.attend, ("times(scores(q_BNLH, k_BKMH), self.scaling)", "scores(q_BNLH, k_BKMH)")
        ),
        "scale_twice": parity.edit(Attention.attend, ("k_BKMH), self.scaling)", "k_BKMH), self.scaling**2)")),
        "scale_by_width_over_heads": parity.edit(
            Attention.__init__, ("self.scaling = H**-0.5", "self.scaling = (D // N) ** -0.5")
        ),
        "mask_ignored": parity.edit(Attention.attend, ("if mask_B1LM is not None:", "if False:")),
        "mask_off_by_one": parity.edit(
            Attention.attend, ("scores_BNLM + mask_B1LM", "scores_BNLM + jnp.roll(mask_B1LM, 1, axis=-1)")
        ),
        "mask_on_queries": parity.edit(
            Attention.attend, ("scores_BNLM + mask_B1LM", "scores_BNLM + mask_B1LM.swapaxes(-1, -2)")
        ),
        "mask_weak": parity.edit(
            Attention.attend,
            ("scores_BNLM + mask_B1LM", "scores_BNLM + jnp.maximum(mask_B1LM, -8.0)"),
        ),
        "softmax_over_queries": parity.edit(softmax, ("axis=-1", "axis=-2")),
        "softmax_in_half": parity.edit(softmax, ("jnp.promote_types(dtype, jnp.float32)", "dtype"), checks=CASTS),
        "weights_left_in_float32": parity.edit(softmax, ("axis=-1).astype(dtype)", "axis=-1)"), checks=CASTS),
        "scores_left_in_float32": parity.edit(
            scores,
            ("k_BKMH)\n", "k_BKMH, preferred_element_type=jnp.promote_types(q_BNLH.dtype, jnp.float32))\n"),
            checks=CASTS,
        ),
        "scale_rounded": parity.edit(
            Attention.attend,
            ("times(scores(q_BNLH, k_BKMH), self.scaling)", "scores(q_BNLH, k_BKMH) * self.scaling"),
            checks=CASTS,
        ),
        "weights_taken_for_constant": parity.edit(
            averaged,
            ("grouped(weights_BNLM,", "grouped(jax.lax.stop_gradient(weights_BNLM),"),
            checks=("gradient",),
        ),
        "values_turned_too": parity.edit(
            Attention.step,
            (
                "cache = None",
                "v_BKMH, _ = apply_rotary_pos_emb(v_BKMH, v_BKMH, cos_BLH, sin_BLH)\n    cache = None",
            ),
        ),
        "turn_missing": parity.edit(
            Attention.step,
            ("q_BNLH, k_BKMH = apply_rotary_pos_emb(q_BNLH, k_BKMH, cos_BLH, sin_BLH)", "pass"),
        ),
        "heads_inside_out": parity.edit(
            split_heads,
            (
                "x.reshape(B, L, width // head_dim, head_dim).swapaxes(1, 2)",
                "x.reshape(B, L, head_dim, width // head_dim).transpose(0, 3, 1, 2)",
            ),
        ),
        "heads_not_put_back": parity.edit(merge_heads, ("x_BNLH.swapaxes(1, 2).reshape", "x_BNLH.reshape")),
        "values_averaged_in": parity.edit(
            merge_heads,
            (
                "x_BNLH.swapaxes(1, 2).reshape",
                "(x_BNLH + 1e-4 * x_BNLH.mean(axis=2, keepdims=True)).swapaxes(1, 2).reshape",
            ),
            checks=("transforms",),
        ),
        "q_kernel_as_it_is": square_not_transposed("q_proj"),
        "o_kernel_as_it_is": square_not_transposed("o_proj"),
        "k_rows_reversed": parity.remap(keys_permuted),
        "k_and_v_swapped": parity.remap(
            lambda rules: (
                rules
                | parity.rules(
                    {
                        "k_proj.weight": parity.transpose("v_proj.kernel"),
                        "v_proj.weight": parity.transpose("k_proj.kernel"),
                    }
                )
            )
        ),
    },
    equivalents={
        "scaled_queries": parity.same(
            Attention.attend,
            ("times(scores(q_BNLH, k_BKMH), self.scaling)", "scores(times(q_BNLH, self.scaling), k_BKMH)"),
            why="(s q) k = s (q k)",
            excused={"rounded": "it rounds the scaled queries instead of the scaled scores"},
        ),
        "filled_instead_of_added": parity.same(
            Attention.attend,
            (
                "scores_BNLM = scores_BNLM + mask_B1LM",
                "fill = jnp.asarray(max(float(jnp.finfo(scores_BNLM.dtype).min), -1e9), scores_BNLM.dtype)\n"
                "        scores_BNLM = jnp.where(mask_B1LM < 0, fill, scores_BNLM)",
            ),
            why="exp(-1e9) is 0 as exp(-3e38) is, and a row filled with one number is uniform",
            excused={
                "gradient": "a mask that only chooses gets no gradient, one that is added gets the scores'",
                "rounded:float16": "float16's lowest number is so small that large scores move it, or make it infinite",
            },
        ),
        "softmax_by_hand": parity.same(
            softmax,
            (
                "jax.nn.softmax(wide_BNLM, axis=-1)",
                "(lambda e: e / e.sum(-1, keepdims=True))(jnp.exp(wide_BNLM - wide_BNLM.max(-1, keepdims=True)))",
            ),
            why="the definition of softmax, shifted by the maximum",
        ),
        "keys_repeated": parity.same(
            scores,
            (
                'scores_BKGLM = jnp.einsum("BKGLH,BKMH->BKGLM", grouped(q_BNLH, k_BKMH.shape[1]), k_BKMH)',
                "k_BNMH = jnp.repeat(k_BKMH, q_BNLH.shape[1] // k_BKMH.shape[1], axis=1)\n"
                '    scores_BKGLM = jnp.einsum("BNLH,BNMH->BNLM", q_BNLH, k_BNMH)',
            ),
            why="repeating each head G times is reading head n // G",
        ),
        "pairs_side_by_side_in_both": parity.both(
            parity.same(
                rotate_half,
                ("a, b = x[..., :half], x[..., half:]", "a, b = x[..., ::2], x[..., 1::2]"),
                ("jnp.concatenate((-b, a), axis=-1)", "jnp.stack((-b, a), axis=-1).reshape(x.shape)"),
                why="queries and keys permuted alike, and their tables with them, leave every score as it is",
            ),
            parity.same(
                Attention.step,
                ("self.q_proj(x_BLD), self.head_dim)", f"self.q_proj(x_BLD), self.head_dim){PAIRED}"),
                ("self.k_proj(x_BLD), self.head_dim)", f"self.k_proj(x_BLD), self.head_dim){PAIRED}"),
                (
                    "cos_BLH, sin_BLH = position_embeddings",
                    f"cos_BLH, sin_BLH = (table{PAIRED} for table in position_embeddings)",
                ),
                why="the permutation that puts the two numbers of a pair side by side",
            ),
        ),
    },
)
