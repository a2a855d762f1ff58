"""The rotary tables: cosine and sine of position times inverse frequency, for every rope type a Llama can have."""

from hypothesis import strategies as st
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

import parity
from cases.llama import laws
from cases.llama.palettes import CASTS, batches, port_config, reference_config, rotaries, thresholds
from cases.llama.port import rope_frequencies as frequencies
from cases.llama.port.rotary import RotaryEmbedding
from parity.draw import floats, positions

STARTS = (0, 5, 12, 250, 4000, 32000)  # inside, just past, and far past every limit of the palettes

rotary = parity.Case(
    name="llama/rotary",
    covers=(LlamaRotaryEmbedding,),
    reference=lambda config: LlamaRotaryEmbedding(reference_config(config)),
    port=lambda config, dtype, rngs: RotaryEmbedding(port_config(config), dtype=dtype, param_dtype=dtype, rngs=rngs),
    configs=rotaries(),
    forms=lambda config: batches(*thresholds(config)),
    inputs=lambda config, form: st.fixed_dictionaries(
        {
            "x": floats((form["batch"], form["length"], config["hidden_size"])),
            "position_ids": positions(form["batch"], form["length"], starts=STARTS),
        }
    ),
    pool=40,
    skips={"gradient": "the tables depend on positions alone: nothing flows back"},
    batch=lambda config, form: {} if laws.length_dependent(config) else {"x": 0, "position_ids": 0},
    laws={
        "batch_permuted": laws.rows_permuted(lambda form: {"x": 0, "position_ids": 0}),
        "positions_permuted": laws.places_permuted({"x": 1, "position_ids": 1}, {"*": 1}),
    },
    faults={
        "theta_ignored": parity.edit(frequencies._default, ("config.rope.rope_theta", "10000.0")),
        "spread_over_whole_width": parity.edit(
            frequencies._default, ("exponents(config.head_dim)", "(exponents(config.head_dim) / 2)")
        ),
        "linear_factor_ignored": parity.edit(frequencies._linear, ("inv_freq / config.rope.factor", "inv_freq")),
        "linear_factor_in_exponent": parity.edit(
            frequencies._linear,
            ("** exponents(rotary_dim(config))", "** (exponents(rotary_dim(config)) / config.rope.factor)"),
            ("inv_freq / config.rope.factor", "inv_freq"),
        ),
        "llama3_ignored": parity.edit(
            frequencies._llama3,
            ("_tuple(np.where(slow, inv_freq / rope.factor, np.where(fast, inv_freq, blended)))", "_tuple(inv_freq)"),
        ),
        "llama3_ramp_reversed": parity.edit(
            frequencies._llama3,
            (
                "(1 - smooth) * inv_freq / rope.factor + smooth * inv_freq",
                "smooth * inv_freq / rope.factor + (1 - smooth) * inv_freq",
            ),
        ),
        "llama3_no_middle_band": parity.edit(frequencies._llama3, ("np.where(fast, inv_freq, blended)", "inv_freq")),
        "yarn_band_not_truncated": parity.edit(frequencies._yarn, ("math.floor(low), math.ceil(high)", "low, high")),
        "yarn_band_swapped": parity.edit(
            frequencies._yarn,
            ("interpolated * (1 - keep) + extrapolated * keep", "interpolated * keep + extrapolated * (1 - keep)"),
        ),
        "yarn_tables_not_scaled": parity.edit(frequencies._yarn, ("_yarn_scaling(config)", "1.0")),
        "longrope_always_short": parity.edit(RotaryEmbedding.frequencies_for, ("length > original", "length < 0")),
        "longrope_always_long": parity.edit(RotaryEmbedding.frequencies_for, ("length > original", "length > 0")),
        "longrope_long_one_too_early": parity.edit(
            RotaryEmbedding.frequencies_for, ("length > original", "length >= original")
        ),
        "longrope_by_configured_length": parity.edit(
            RotaryEmbedding.frequencies_for, ("length > original", "self.config.max_position_embeddings > original")
        ),
        "longrope_tables_not_scaled": parity.edit(frequencies._longrope, ("_longrope_scaling(config)", "1.0")),
        "dynamic_never_stretched": parity.edit(RotaryEmbedding.frequencies_for, ("length > longest", "length < 0")),
        "dynamic_by_count_of_positions": parity.edit(
            RotaryEmbedding.frequencies_for, ("jnp.max(position_ids) + 1", "position_ids.shape[-1]")
        ),
        "proportional_spread_over_turning": parity.edit(
            frequencies._proportional, ("(np.arange(0, 2 * turning, 2) / config.head_dim)", "exponents(2 * turning)")
        ),
        "positions_by_arange": parity.edit(
            RotaryEmbedding.__call__,
            (
                "position_ids[..., None].astype(wide)",
                "(jnp.zeros_like(position_ids) + jnp.arange(position_ids.shape[-1]))[..., None].astype(wide)",
            ),
        ),
        "places_added": parity.edit(
            RotaryEmbedding.__call__,
            ("position_ids[..., None].astype(wide)", "(position_ids + jnp.arange(x.shape[1]))[..., None].astype(wide)"),
            checks=("transforms",),
        ),
        "positions_in_bfloat16": parity.edit(
            RotaryEmbedding.__call__,
            ("position_ids[..., None].astype(wide)", "position_ids[..., None].astype(x.dtype)"),
            checks=CASTS,
        ),
        "frequencies_in_bfloat16": parity.edit(
            RotaryEmbedding.__call__,
            (
                "self.frequencies_for(position_ids, wide)",
                "self.frequencies_for(position_ids, x.dtype).astype(wide)",
            ),
            checks=CASTS,
        ),
        "angles_in_half": parity.edit(
            RotaryEmbedding.__call__,
            ("jnp.concatenate((angles_BLP, angles_BLP), axis=-1)", "jnp.tile(angles_BLP.astype(x.dtype), 2)"),
            checks=CASTS,
        ),
        "tables_left_in_float32": parity.edit(
            RotaryEmbedding.__call__,
            ("dtype = self.dtype or x.dtype", "dtype = wide"),
            checks=CASTS,
        ),
        "cosine_and_sine_swapped": parity.edit(
            RotaryEmbedding.__call__,
            ("jnp.cos(angles_BLH)", "jnp.sin(angles_BLH )"),
            ("jnp.sin(angles_BLH)", "jnp.cos(angles_BLH)"),
        ),
        "angles_interleaved": parity.edit(
            RotaryEmbedding.__call__,
            ("jnp.concatenate((angles_BLP, angles_BLP), axis=-1)", "jnp.repeat(angles_BLP, 2, axis=-1)"),
        ),
    },
    equivalents={
        "tables_doubled_after_cosine": parity.same(
            RotaryEmbedding.__call__,
            ("angles_BLH = jnp.concatenate((angles_BLP, angles_BLP), axis=-1)", "angles_BLH = jnp.tile(angles_BLP, 2)"),
            why="two tiles of the half are the half beside itself",
        ),
        "angles_by_outer_product": parity.same(
            RotaryEmbedding.__call__,
            (
                "position_ids[..., None].astype(wide) * inv_freq",
                'jnp.einsum("BL,P->BLP", position_ids.astype(wide), inv_freq)',
            ),
            why="an outer product has no sum to reorder",
        ),
    },
)
