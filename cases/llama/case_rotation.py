"""The rotation of queries and keys by given tables: halves against halves, as Hugging Face lays heads out."""

from typing import Any

from hypothesis import strategies as st
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb as reference

import parity
from cases.llama import laws
from cases.llama.palettes import CASTS, HEADS, Config
from cases.llama.port.rotary import apply_rotary_pos_emb, rotate_half
from parity.draw import floats, one_of, rotations


@st.composite
def inputs(draw: st.DrawFn, config: Config, form: Config) -> dict[str, Any]:
    """Queries, keys and tables, with the heads' axis before or after the length's."""
    batch, length, axis, size = form["batch"], form["length"], form["axis"], config["head_dim"]
    q, k = (
        (batch, heads, length, size) if axis == 1 else (batch, length, heads, size)
        for heads in (config["num_attention_heads"], config["num_key_value_heads"])
    )
    cos, sin = draw(rotations((batch, length, size)))
    return {"q": draw(floats(q)), "k": draw(floats(k)), "cos": cos, "sin": sin, "unsqueeze_dim": axis}


def positions_permuted(call: parity.Call) -> parity.Twin:
    """The axis of positions is the heads' other one."""
    axis = 3 - call.form["axis"]
    return parity.permuted(call, {"q": axis, "k": axis, "cos": 1, "sin": 1}, {"*": axis})


ROWS = {"q": 0, "k": 0, "cos": 0, "sin": 0}

rotation = parity.Case(
    name="llama/rotation",
    covers=(reference,),
    reference=lambda config: reference,
    port=lambda config, dtype, rngs: apply_rotary_pos_emb,
    configs=one_of(*HEADS).map(
        lambda heads: dict(zip(("num_attention_heads", "num_key_value_heads", "head_dim"), heads[1:], strict=True))
    ),
    forms=lambda config: st.fixed_dictionaries(
        {"batch": one_of(1, 2), "length": one_of(2, 1, 7), "axis": one_of(1, 2)}
    ),
    inputs=inputs,
    batch=ROWS,
    laws={
        "batch_permuted": laws.rows_permuted(lambda form: ROWS),
        "positions_permuted": parity.Law(twin=positions_permuted, why="each position is turned by its own table"),
    },
    faults={
        "pairs_interleaved": parity.edit(
            rotate_half,
            ("a, b = x[..., :half], x[..., half:]", "a, b = x[..., ::2], x[..., 1::2]"),
            ("jnp.concatenate((-b, a), axis=-1)", "jnp.stack((-b, a), axis=-1).reshape(x.shape)"),
        ),
        "sign_flipped": parity.edit(rotate_half, ("concatenate((-b, a)", "concatenate((b, -a)")),
        "sign_dropped": parity.edit(rotate_half, ("concatenate((-b, a)", "concatenate((b, a)")),
        "halves_not_swapped": parity.edit(rotate_half, ("concatenate((-b, a)", "concatenate((-a, b)")),
        "half_of_the_gradient": parity.edit(
            apply_rotary_pos_emb,
            ("rotate_half(k) * sin", "jax.lax.stop_gradient(rotate_half(k)) * sin"),
            checks=("gradient",),
        ),
        "keys_left_alone": parity.edit(
            apply_rotary_pos_emb, ("k * cos + rotate_half(k) * sin", "k + 0 * rotate_half(k)")
        ),
        "queries_left_alone": parity.edit(
            apply_rotary_pos_emb, ("q * cos + rotate_half(q) * sin", "q + 0 * rotate_half(q)")
        ),
        "turned_twice": parity.edit(
            apply_rotary_pos_emb,
            (
                "k_rotated = k * cos + rotate_half(k) * sin",
                "k = k * cos + rotate_half(k) * sin\n    k_rotated = k * cos + rotate_half(k) * sin",
            ),
        ),
        "turned_in_float32": parity.edit(
            apply_rotary_pos_emb,
            (
                "q * cos + rotate_half(q) * sin",
                "(q.astype(jnp.promote_types(q.dtype, jnp.float32)) * cos + rotate_half(q) * sin).astype(q.dtype)",
            ),
            (
                "k * cos + rotate_half(k) * sin",
                "(k * cos + rotate_half(k).astype(jnp.promote_types(k.dtype, jnp.float32)) * sin).astype(k.dtype)",
            ),
            checks=CASTS,
        ),
        "tables_of_first_row": parity.edit(
            apply_rotary_pos_emb,
            ("cos = jnp.expand_dims(cos, unsqueeze_dim)", "cos = jnp.expand_dims(cos[:1], unsqueeze_dim)"),
            checks=("transforms",),
        ),
        "turned_backwards": parity.edit(
            apply_rotary_pos_emb, ("q * cos + rotate_half(q) * sin", "q * cos - rotate_half(q) * sin")
        ),
    },
    equivalents={
        "as_complex_numbers": parity.same(
            apply_rotary_pos_emb,
            (
                "q * cos + rotate_half(q) * sin",
                "jnp.concatenate((lambda z: (z.real, z.imag))("
                "jax.lax.complex(*jnp.split(q.astype(jnp.promote_types(q.dtype, jnp.float32)), 2, -1)) "
                "* jax.lax.complex(*(jnp.split(t.astype(jnp.promote_types(q.dtype, jnp.float32)), 2, -1)[0] "
                "for t in (cos, sin)))), -1).astype(q.dtype)",
            ),
            why="turning (a, b) by an angle is multiplying a + ib by its unit complex number",
            excused={
                "gradient": "it reads one half of each table; which half the gradient goes to is arbitrary",
                "rounded": "complex numbers have no half precision: the two products are not rounded before their sum",
            },
        ),
        "halves_rolled": parity.same(
            rotate_half,
            ("jnp.concatenate((-b, a), axis=-1)", "jnp.roll(jnp.concatenate((a, -b), axis=-1), half, axis=-1)"),
            why="(a, -b) rolled by half is (-b, a)",
        ),
    },
)
