"""The gated feed-forward network, with every activation that is a pure function."""

from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from transformers.models.llama.modeling_llama import LlamaMLP

import parity
from cases.llama import laws
from cases.llama.palettes import CASTS, PURE_ACTIVATIONS, Config, batches, configs, port_config, reference_config
from cases.llama.port.linear import linear
from cases.llama.port.mlp import MLP
from parity.draw import SCALES, floats
from parity.weights import Rules


def gate_and_up_swapped(rules: Rules) -> Rules:
    """The halves of a fused gate-and-up matrix taken in the wrong order."""
    return rules | parity.rules(
        {"gate_proj.weight": parity.transpose("up_proj.kernel"), "up_proj.weight": parity.transpose("gate_proj.kernel")}
    )


CONTINUOUS = (
    "softplus: x and log1p(exp(x)) are 2e-9 apart at the threshold of 20, 1e-10 of it, as far as the bound allows"
)


def inputs(config: Config, form: Config) -> SearchStrategy[dict[str, Any]]:
    """1e-6 among the magnitudes, since some activations bend at 0 and differ only beside it.

    `sqrtsoftplus` is asked past its threshold of 20, and not near -87: below, its softplus is subnormal in float32,
    which XLA takes for zero on a CPU and torch does not, and the root has an infinite derivative there.
    """
    shape = (form["batch"], form["length"], config["hidden_size"])
    if config["hidden_act"] == "sqrtsoftplus":
        return st.fixed_dictionaries({"x": floats(shape, scales=(1.0, 8.0, 0.03, 1e-3, 1e-6), rows=("zeros", "same"))})
    return st.fixed_dictionaries({"x": floats(shape, scales=(*SCALES, 1e-6))})


mlp = parity.Case(
    name="llama/mlp",
    covers=(LlamaMLP,),
    reference=lambda config: LlamaMLP(reference_config(config)),
    port=lambda config, dtype, rngs: MLP(port_config(config), dtype=dtype, param_dtype=dtype, rngs=rngs),
    configs=configs(activations=PURE_ACTIVATIONS),
    forms=lambda config: batches(2, 1, 7),
    inputs=inputs,
    pool=24,
    batch={"x": 0},
    laws={
        "batch_permuted": laws.rows_permuted(lambda form: {"x": 0}),
        "positions_permuted": laws.places_permuted({"x": 1}, {"output": 1}),
    },
    survivors={
        "activations.py: gt: gt -> ge": CONTINUOUS,
        "activations.py: gt: 20 -> *": CONTINUOUS,
    },
    faults={
        "activation_ignored": parity.edit(
            MLP.__call__, ("self.act_fn(self.gate_proj(x))", "jax.nn.silu(self.gate_proj(x))")
        ),
        "activation_on_up": parity.edit(
            MLP.__call__,
            ("self.act_fn(self.gate_proj(x))", "self.gate_proj(x)"),
            ("up_BLF = self.up_proj(x)", "up_BLF = self.act_fn(self.up_proj(x))"),
        ),
        "gate_and_up_swapped": parity.remap(gate_and_up_swapped),
        "gate_added": parity.edit(MLP.__call__, ("gate_BLF * up_BLF", "gate_BLF + up_BLF")),
        "down_not_transposed": parity.remap(
            lambda rules: rules | parity.rules({"down_proj.weight": parity.copy("down_proj.kernel")})
        ),
        "gate_taken_for_constant": parity.edit(
            MLP.__call__, ("gate_BLF * up_BLF", "jax.lax.stop_gradient(gate_BLF) * up_BLF"), checks=("gradient",)
        ),
        "state_carried_on": parity.edit(
            MLP.__call__, ("self.up_proj(x)", "self.up_proj(jnp.cumsum(x, axis=1))"), checks=("transforms",)
        ),
        "product_in_bfloat16": parity.edit(
            MLP.__call__,
            ("gate_BLF * up_BLF", "(gate_BLF.astype(jnp.bfloat16) * up_BLF.astype(jnp.bfloat16)).astype(x.dtype)"),
            checks=("float32",),
        ),
        "silu_in_half": parity.edit(
            MLP.__call__,
            (
                "self.act_fn(self.gate_proj(x))",
                '(jax.nn.silu if self.act_fn is ACTIVATIONS["silu"] else self.act_fn)(self.gate_proj(x))',
            ),
            checks=CASTS,
        ),
        "gate_left_in_float32": parity.edit(
            MLP.__call__,
            (
                "self.act_fn(self.gate_proj(x))",
                "self.act_fn(self.gate_proj(x).astype(jnp.promote_types(x.dtype, jnp.float32)))",
            ),
            checks=CASTS,
        ),
        "rounded_before_bias": parity.edit(
            linear, ("y_RO = y_RO + bias_O.astype(wide)", "y_RO = y_RO.astype(dtype) + bias_O"), checks=CASTS
        ),
    },
    equivalents={
        "silu_by_exp": parity.same(
            MLP.__call__,
            (
                "self.act_fn(self.gate_proj(x))",
                "(lambda g: g.astype(jnp.promote_types(g.dtype, jnp.float32)))(self.gate_proj(x))\n"
                "    gate_BLF = (gate_BLF / (1 + jnp.exp(-gate_BLF))).astype(x.dtype) "
                'if self.act_fn is ACTIVATIONS["silu"] else self.act_fn(gate_BLF.astype(x.dtype))',
            ),
            why="x sigmoid(x) = x / (1 + exp(-x))",
            excused={"gradient": "below -88 float32's exponential is infinite, and its derivative here no number"},
        ),
    },
)
