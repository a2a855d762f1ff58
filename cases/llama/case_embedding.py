"""The token table, looked up."""

from hypothesis import strategies as st
from torch import nn

import parity
from cases.llama import laws
from cases.llama.palettes import batches
from cases.llama.port.embedding import Embedding, look_up
from parity.draw import one_of, tokens

embedding = parity.Case(
    name="llama/embedding",
    covers=(nn.Embedding,),
    reference=lambda config: nn.Embedding(config["vocab_size"], config["hidden_size"], config["pad_token_id"]),
    port=lambda config, dtype, rngs: Embedding(
        config["vocab_size"], config["hidden_size"], config["pad_token_id"], dtype=dtype, param_dtype=dtype, rngs=rngs
    ),
    configs=st.fixed_dictionaries(
        {
            "vocab_size": one_of(2, 11, 57),
            "hidden_size": one_of(1, 2, 6, 24),
            "pad_token_id": one_of(None, 0, 1),
        }
    ),
    forms=lambda config: batches(2, 1, 9),
    inputs=lambda config, form: st.fixed_dictionaries(
        {"input_ids": tokens((form["batch"], form["length"]), config["vocab_size"])}
    ).map(lambda inputs: {"input": inputs["input_ids"]}),
    arguments={"input": "input_ids"},
    batch={"input": 0},
    laws={
        "batch_permuted": laws.rows_permuted(lambda form: {"input": 0}),
        "positions_permuted": laws.places_permuted({"input": 1}, {"output": 1}),
    },
    faults={
        "scaled_by_root_of_width": parity.edit(
            Embedding.__call__,
            ("cast(rows_BLD, self.dtype)", "cast(rows_BLD, self.dtype) * self.embedding.shape[-1] ** 0.5"),
        ),
        "ids_from_one": parity.edit(look_up, ("table_VD.at[ids]", "table_VD.at[jnp.maximum(ids - 1, 0)]")),
        "last_id_clamped": parity.edit(
            look_up, ("table_VD.at[ids]", "table_VD.at[jnp.minimum(ids, table_VD.shape[0] - 2)]")
        ),
        "padding_row_zeroed": parity.edit(
            Embedding.__call__, ("jax.lax.stop_gradient(rows_BLD)", "jnp.zeros_like(rows_BLD)")
        ),
        "padding_row_learns": parity.edit(
            Embedding.__call__, ("jax.lax.stop_gradient(rows_BLD)", "rows_BLD"), checks=("gradient",)
        ),
        "first_row_for_all": parity.edit(
            look_up, ("table_VD.at[ids]", "table_VD.at[jnp.broadcast_to(ids[:1], ids.shape)]"), checks=("transforms",)
        ),
        "rows_in_bfloat16": parity.edit(
            look_up,
            ("table_VD.at[ids]", "table_VD.astype(jnp.bfloat16).astype(table_VD.dtype).at[ids]"),
            checks=("float32",),
        ),
    },
    equivalents={
        "looked_up_by_one_hot": parity.same(
            look_up,
            (
                'table_VD.at[ids].get(mode="fill", fill_value=jnp.nan, wrap_negative_indices=False)',
                "jax.nn.one_hot(ids, table_VD.shape[0], dtype=table_VD.dtype) @ table_VD",
            ),
            why="a row is the product of its unit vector with the table, exactly",
        ),
    },
)
