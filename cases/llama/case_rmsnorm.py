"""The root-mean-square norm: eps inside the root, float32 inside, scaled after the downcast."""

from hypothesis import strategies as st
from transformers.models.llama.modeling_llama import LlamaRMSNorm

import parity
from cases.llama import laws
from cases.llama.palettes import CASTS, EPS, batches
from cases.llama.port.rmsnorm import RMSNorm, normalise
from parity.draw import floats, one_of

rmsnorm = parity.Case(
    name="llama/rmsnorm",
    covers=(LlamaRMSNorm,),
    reference=lambda config: LlamaRMSNorm(config["hidden_size"], config["rms_norm_eps"]),
    port=lambda config, dtype, rngs: RMSNorm(
        config["hidden_size"], config["rms_norm_eps"], dtype=dtype, param_dtype=dtype, rngs=rngs
    ),
    weights=parity.rules({"weight": parity.copy("scale")}),
    configs=st.fixed_dictionaries({"hidden_size": one_of(2, 1, 6, 33, 128), "rms_norm_eps": one_of(*EPS)}),
    forms=lambda config: batches(2, 1, 9),
    inputs=lambda config, form: st.fixed_dictionaries(
        {"hidden_states": floats((form["batch"], form["length"], config["hidden_size"]))}
    ),
    batch={"hidden_states": 0},
    laws={
        "batch_permuted": laws.rows_permuted(lambda form: {"hidden_states": 0}),
        "positions_permuted": laws.places_permuted({"hidden_states": 1}, {"output": 1}),
    },
    faults={
        "eps_from_default": parity.edit(RMSNorm.__call__, ("self.variance_epsilon", "1e-6")),
        "eps_outside_root": parity.edit(
            normalise, ("jax.lax.rsqrt(variance_BL1 + eps)", "(1 / (jnp.sqrt(variance_BL1) + eps))")
        ),
        "eps_missing": parity.edit(normalise, ("variance_BL1 + eps", "variance_BL1 + 1e-30")),
        "rsqrt_off_by_1e-4": parity.edit(
            normalise, ("jax.lax.rsqrt(variance_BL1 + eps)", "jax.lax.rsqrt(variance_BL1 + eps) * (1 + 1e-4)")
        ),
        "divides_by_rsqrt": parity.edit(normalise, ("wide_BLD * jax.lax.rsqrt", "wide_BLD / jax.lax.rsqrt")),
        "mean_subtracted": parity.edit(
            normalise,
            ("jnp.square(wide_BLD)", "jnp.square(wide_BLD - jnp.mean(wide_BLD, -1, keepdims=True))"),
        ),
        "sum_for_mean": parity.edit(normalise, ("jnp.mean(", "jnp.sum(")),
        "scale_missing": parity.edit(
            RMSNorm.__call__,
            ("cast(self.scale[...], self.dtype) * normed_BLD", "jnp.ones_like(self.scale[...]) * normed_BLD"),
        ),
        "one_plus_scale": parity.edit(
            RMSNorm.__call__, ("cast(self.scale[...], self.dtype) *", "(1 + cast(self.scale[...], self.dtype)) *")
        ),
        "root_taken_for_constant": parity.edit(
            normalise,
            (
                "wide_BLD * jax.lax.rsqrt(variance_BL1 + eps)",
                "wide_BLD * jax.lax.stop_gradient(jax.lax.rsqrt(variance_BL1 + eps))",
            ),
            checks=("gradient",),
        ),
        "variance_of_whole_batch": parity.edit(
            normalise, ("axis=-1, keepdims=True", "axis=(0, -1), keepdims=True"), checks=("transforms",)
        ),
        "computed_in_bfloat16": parity.edit(
            normalise,
            ("jnp.promote_types(x_BLD.dtype, jnp.float32)", "jnp.bfloat16"),
            checks=("float32",),
        ),
        "mean_square_in_half": parity.edit(normalise, ("jnp.square(wide_BLD)", "jnp.square(x_BLD)"), checks=CASTS),
        "scaled_before_downcast": parity.both(
            parity.edit(normalise, ("return normed_BLD.astype(x_BLD.dtype)", "return normed_BLD"), checks=CASTS),
            parity.edit(
                RMSNorm.__call__,
                (
                    "return cast(self.scale[...], self.dtype) * normed_BLD",
                    "return (cast(self.scale[...], self.dtype) * normed_BLD).astype(x_BLD.dtype)",
                ),
            ),
        ),
        "left_in_float32": parity.edit(
            normalise, ("return normed_BLD.astype(x_BLD.dtype)", "return normed_BLD + 0"), checks=CASTS
        ),
    },
    equivalents={
        "divides_by_sqrt": parity.same(
            normalise,
            ("wide_BLD * jax.lax.rsqrt(variance_BL1 + eps)", "wide_BLD / jnp.sqrt(variance_BL1 + eps)"),
            why="x * rsqrt(v) = x / sqrt(v)",
        ),
        "squares_by_product": parity.same(
            normalise, ("jnp.square(wide_BLD)", "wide_BLD * wide_BLD"), why="square(x) = x * x"
        ),
        "mean_by_dot": parity.same(
            normalise,
            (
                "jnp.mean(jnp.square(wide_BLD), axis=-1, keepdims=True)",
                'jnp.einsum("...D,...D->...", wide_BLD, wide_BLD)[..., None] / wide_BLD.shape[-1]',
            ),
            why="the mean of squares is the dot product with itself over the width",
        ),
    },
)
