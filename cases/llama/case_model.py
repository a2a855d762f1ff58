"""The backbone: token table, rotary tables, mask, layers, final norm."""

from functools import partial
from typing import Any

from transformers.models.llama.modeling_llama import LlamaModel as Reference

import parity
from cases.llama import cached
from cases.llama.laws import WHOLE_LAWS, whole_rows
from cases.llama.layouts import LAYOUTS
from cases.llama.palettes import Config, configs, port_config, reference_config
from cases.llama.port import mask, stack
from cases.llama.port.attention import Attention
from cases.llama.port.model import LlamaModel, with_last
from cases.llama.whole import forms, inputs

TRANSFORMS = ("transforms",)
NO_CACHE = {"past_key_values": "the reference's cache; a forward pass without one before it only fills it"}


def build(config: Config, dtype: Any, rngs: Any, **options: Any) -> LlamaModel:
    """The port, with options that change nothing in the result."""
    return LlamaModel(port_config(config), dtype=dtype, param_dtype=dtype, rngs=rngs, **options)


model = parity.Case(
    name="llama/model",
    covers=(Reference,),
    held=cached.MODEL,
    parts={
        "embed_tokens": "llama/embedding",
        "layers.*": "llama/block",
        "norm": "llama/rmsnorm",
        "rotary_emb": "llama/rotary",
    },
    reference=lambda config: Reference(reference_config(config)),
    port=build,
    options={
        "scan_in_chunks": partial(build, scan=True, chunk=2),
        "remat_in_chunks": partial(build, remat=True, chunk=3),
    },
    layouts=LAYOUTS,
    batch=whole_rows,
    laws=WHOLE_LAWS,
    configs=configs(layers=(1, 2, 3)),
    forms=forms,
    inputs=inputs,
    ignores=NO_CACHE,
    faults={
        "final_norm_missing": parity.edit(
            LlamaModel.__call__, ("x_BLD = self.norm(passed.x_BLD)", "x_BLD = passed.x_BLD")
        ),
        "last_state_not_normed": parity.edit(
            LlamaModel.__call__,
            ("with_last(passed.states, x_BLD)", "with_last(passed.states, x_BLD / self.norm.scale[...])"),
        ),
        "states_after_layers": parity.edit(
            with_last, ("(*states, normed_BLD)", "(*states[1:], normed_BLD, normed_BLD)")
        ),
        "layers_reversed": parity.edit(stack.unrolled, ("enumerate(layers)", "enumerate(layers[::-1])")),
        "first_layer_for_all": parity.edit(stack.unrolled, ("step(layer,", "step(layers[0],")),
        "layers_cut_off_from_each_other": parity.edit(
            stack.unrolled,
            ("step(layer, x_BLD,", "step(layer, jax.lax.stop_gradient(x_BLD),"),
            checks=("gradient",),
        ),
        "last_layer_skipped": parity.edit(
            stack.unrolled,
            ("x_BLD, weights_BNLM, cache = step(", "y_BLD, weights_BNLM, cache = step("),
            (
                "passed.weights.append(weights_BNLM)",
                "x_BLD = y_BLD if i + 1 < max(len(layers), 2) else x_BLD; passed.weights.append(weights_BNLM)",
            ),
        ),
        "chunk_does_not_see_its_last_key": parity.edit(
            mask.Causal.chunks, ("M - L + stop", "max(M - L + stop - 1, 1)"), checks=TRANSFORMS
        ),
        "first_rows_of_mask_for_all_chunks": parity.edit(
            Attention.attend_in_chunks,
            ("mask.mask_B1LM[:, :, rows, :seen]", "mask.mask_B1LM[:, :, : rows.stop - rows.start, :seen]"),
            checks=TRANSFORMS,
        ),
        "chunks_end_to_start": parity.edit(
            Attention.attend_in_chunks, ("jnp.concatenate(heads,", "jnp.concatenate(heads[::-1],"), checks=TRANSFORMS
        ),
        "padding_in_chunks": parity.edit(
            LlamaModel.in_chunks, ("causal = given is None", "causal = True"), checks=TRANSFORMS
        ),
        "loop_runs_backwards": parity.edit(
            stack.scanned,
            ("scan(body, x_BLD, (states, caches, keys))", "scan(body, x_BLD, (states, caches, keys), reverse=True)"),
            checks=TRANSFORMS,
        ),
        "loop_keeps_what_leaves": parity.edit(
            stack.scanned, ("(x_BLD if keep_states else None,", "(y_BLD if keep_states else None,"), checks=TRANSFORMS
        ),
        "recomputed_without_gradient": parity.edit(
            stack.recomputed,
            ("plain(nnx.merge(graph, state), x_BLD,", "plain(nnx.merge(graph, state), jax.lax.stop_gradient(x_BLD),"),
            checks=TRANSFORMS,
        ),
        "scaled_by_length": parity.edit(
            LlamaModel.__call__,
            ("x_BLD = self.norm(passed.x_BLD)", "x_BLD = self.norm(passed.x_BLD) * (1 + 1e-4 * x_BLD.shape[1])"),
            checks=TRANSFORMS,
        ),
        "positions_ignored": parity.edit(
            LlamaModel.__call__,
            ("if position_ids is None:", "if True:"),
        ),
        "causal_off_by_one": parity.edit(
            mask.causal,
            (
                "jnp.arange(M)[None, :] <= jnp.arange(L)[:, None] + filled",
                "jnp.arange(M)[None, :] <= jnp.arange(L)[:, None] + filled + 1",
            ),
        ),
        "not_causal": parity.edit(
            mask.causal, ("jnp.arange(M)[None, :] <= jnp.arange(L)[:, None] + filled", "jnp.ones((L, M), bool)")
        ),
        "padding_ignored": parity.edit(
            mask.make_mask, ("seen_BLM = seen_BLM & is_token(attention_mask, M)[:, None, :]", "pass")
        ),
        "padding_on_queries": parity.edit(
            mask.make_mask, ("is_token(attention_mask, M)[:, None, :]", "is_token(attention_mask, M)[:, :, None]")
        ),
        "padding_forgets_causality": parity.edit(
            mask.make_mask,
            (
                "seen_BLM & is_token(attention_mask, M)[:, None, :]",
                "is_token(attention_mask, M)[:, None, :] | (seen_BLM & False)",
            ),
        ),
        "packing_ignored": parity.edit(mask.within_sequence, ("same_BLM & past_BLM", "past_BLM | (same_BLM & False)")),
        "infinite_fill": parity.edit(mask.additive, ("jnp.finfo(dtype).min.astype(dtype)", "-jnp.inf")),
        "mask_too_weak": parity.edit(mask.additive, ("jnp.finfo(dtype).min.astype(dtype)", "jnp.asarray(-5.0, dtype)")),
        "packing_seen_with_a_cache": parity.edit(
            mask.make_mask, ("position_ids is not None and not use_cache", "position_ids is not None")
        ),
        "input_scaled": parity.edit(
            LlamaModel.embed,
            ("self.embed_tokens(input_ids)", "self.embed_tokens(input_ids) * self.config.hidden_size**0.5"),
        ),
    },
    equivalents={
        "mask_by_product": parity.same(
            mask.additive,
            (
                "jnp.where(seen, jnp.zeros((), dtype), jnp.finfo(dtype).min.astype(dtype))",
                "(~seen).astype(dtype) * jnp.finfo(dtype).min.astype(dtype)",
            ),
            why="0 times the lowest number is a zero, and 1 times it is itself",
        ),
        "causal_by_tril": parity.same(
            mask.causal,
            ("jnp.arange(M)[None, :] <= jnp.arange(L)[:, None] + filled", "jnp.tril(jnp.ones((L, M), bool), filled)"),
            why="the lower triangle is where the column is at most the row",
        ),
    },
)
