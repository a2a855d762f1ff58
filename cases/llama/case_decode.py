"""Decoding with a key/value cache: the prompt in one piece or several, then a token or some at a time.

The reference decodes with its growing cache or with its fixed one; `decode` also holds the port against the reference
that reads everything at once. What comes out at padding is not compared: a position that sees nothing is uniform over
all the slots that there are, and of these a growing cache has fewer.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import torch
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from transformers import DynamicCache, StaticCache
from transformers.models.llama.modeling_llama import LlamaForCausalLM as Reference

import parity
from cases.llama.laws import WHOLE_ROWS, length_dependent
from cases.llama.layouts import LAYOUTS
from cases.llama.palettes import Config, configs, limits, port_config, reference_config
from cases.llama.port import mask
from cases.llama.port.attention import Attention
from cases.llama.port.cache import Cache, LayerCache
from cases.llama.port.heads import LlamaForCausalLM
from cases.llama.port.model import LlamaModel
from parity.draw import one_of, padding, positions, tokens

# How many positions each call reads: a prompt, then token by token; in pieces; several tokens at a time.
STEPS = ((3, 1, 1), (2, 3, 1, 1), (1, 1, 1, 1), (4, 2, 1), (6,), (9, 4, 1, 1), (14, 1, 1))
SPARE = (0, 1, 5)  # slots that are never filled


class Stepwise(Reference):
    """The reference, call after call, with a cache that grows or one of fixed length."""

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        input_ids: Any,
        steps: tuple[int, ...],
        spare: int,
        fixed: bool,
        attention_mask: Any = None,
        position_ids: Any = None,
    ) -> dict[str, torch.Tensor]:
        """Logits [B, L, V] of all steps; 0 at padding."""
        length = sum(steps) + spare
        past = StaticCache(config=self.config, max_cache_len=length) if fixed else DynamicCache(config=self.config)
        logits, end = [], 0
        for step in steps:
            start, end = end, end + step
            read = super().forward(
                input_ids=input_ids[:, start:end],
                attention_mask=None if attention_mask is None else attention_mask[:, :end],
                position_ids=None if position_ids is None else position_ids[:, start:end],
                past_key_values=past,
                use_cache=True,
            )
            logits.append(read.logits)
        return {"logits": _without_padding(torch.cat(logits, dim=1), attention_mask)}


class AtOnce(Reference):
    """The reference in one call, without a cache."""

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        input_ids: Any,
        steps: tuple[int, ...],
        spare: int,
        fixed: bool,
        attention_mask: Any = None,
        position_ids: Any = None,
    ) -> dict[str, torch.Tensor]:
        """Logits [B, L, V]; 0 at padding."""
        seen = torch.ones_like(input_ids) if attention_mask is None else attention_mask  # so that nothing is packed
        read = super().forward(input_ids, attention_mask=seen, position_ids=position_ids, use_cache=False)
        return {"logits": _without_padding(read.logits, attention_mask)}


class PortStepwise(LlamaForCausalLM):
    """The port, call after call, with its cache."""

    def __call__(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        input_ids: jax.Array,
        steps: tuple[int, ...],
        spare: int,
        fixed: bool,
        attention_mask: jax.Array | None = None,
        position_ids: jax.Array | None = None,
    ) -> dict[str, jax.Array]:
        """Logits [B, L, V] of all steps; 0 at padding."""
        dtype = self.model.embed_tokens.embedding[...].dtype
        past = Cache.empty(self.config, input_ids.shape[0], sum(steps) + spare, dtype)
        if attention_mask is not None:
            attention_mask = attention_mask.astype(bool)  # so that a fault turns it, where a 2 is as true as a 1
        logits, end = [], 0
        for step in steps:
            start, end = end, end + step
            read = super().__call__(
                input_ids[:, start:end],
                None if attention_mask is None else attention_mask[:, :end],
                None if position_ids is None else position_ids[:, start:end],
                cache=past,
            )
            assert read.cache is not None
            past = read.cache
            logits.append(read.logits)
        return {"logits": _without_padding(jnp.concatenate(logits, axis=1), attention_mask)}


def _without_padding(logits: Any, mask: Any) -> Any:
    return logits if mask is None else logits * mask[..., None]


def forms(config: Config) -> SearchStrategy[dict[str, Any]]:
    """Steps that stay below a limit of the rotary tables or pass it, which cache, padding, and positions or none."""
    calls = {
        "batch": one_of(1, 2, 3),
        "steps": one_of(*STEPS),
        "spare": one_of(*SPARE),
        "fixed": one_of(False, True),
        "padding": one_of(False, True),
        "positions": one_of(False, True),
    }
    return st.fixed_dictionaries(calls)


@st.composite
def inputs(draw: st.DrawFn, config: Config, form: Config) -> dict[str, Any]:
    """Ids, a mask that is padded on the left or inside, and positions that begin where they like, also past a limit."""
    batch, steps = form["batch"], tuple(form["steps"])
    length = sum(steps)
    drawn: dict[str, Any] = {"input_ids": draw(tokens((batch, length), config["vocab_size"]))}
    if form["padding"]:
        drawn["attention_mask"] = draw(padding(batch, length, sides=("left", "interior", "none")))
    if form["positions"]:
        starts = (0, 5, *(limit - 2 for limit in sorted(limits(config))), 250)
        drawn["position_ids"] = draw(positions(batch, length, starts=starts, forms=("arange", "rows")))
    return drawn | {"steps": steps, "spare": form["spare"], "fixed": form["fixed"]}


def same_at_once(config: Config, form: Config) -> bool:
    """Not where the tables look at the largest position so far: what is in the cache was turned by other ones."""
    return not length_dependent(config)


def rows(config: Config, form: Config) -> dict[str, int]:
    """The batch axes; none where rows share positions' tables."""
    return {} if form["positions"] and length_dependent(config) else dict(WHOLE_ROWS)


def build(config: Config, dtype: Any, rngs: Any, **options: Any) -> PortStepwise:
    """The port, with options that change nothing in the result."""
    return PortStepwise(port_config(config), dtype=dtype, param_dtype=dtype, rngs=rngs, **options)


def in_one_step(call: parity.Call) -> parity.Twin:
    """The same, read in one call."""
    steps = (sum(call.inputs["steps"]),)
    return parity.Twin(inputs={**call.inputs, "steps": steps}, alike=lambda output, x, y: (x, y))


written = LayerCache.written

decode = parity.Case(
    name="llama/decode",
    parts={"model": "llama/model"},
    reference=lambda config: Stepwise(reference_config(config)),
    port=build,
    at_once=parity.AtOnce(reference=lambda config: AtOnce(reference_config(config)), where=same_at_once),
    configs=configs(layers=(1, 2)),
    forms=forms,
    inputs=inputs,
    layouts=LAYOUTS,
    batch=rows,
    laws={
        "read_at_once": parity.Law(
            twin=in_one_step, why="a step sees what a longer one would have seen", where=same_at_once
        ),
    },
    options={"scan_in_chunks": partial(build, scan=True, chunk=2)},
    pool=6,
    skips={
        "rounded:float16": "the casts are those of rounded:bfloat16",
        "gradient": "nobody learns through a cache; the reference writes its fixed one in place, and has no gradient",
    },
    faults={
        "written_one_late": parity.edit(written, ("new_BKLH, filled,", "new_BKLH, filled + 1,")),
        "written_at_the_start": parity.edit(written, ("new_BKLH, filled,", "new_BKLH, 0,")),
        "count_stuck": parity.edit(Cache.advanced, ("self.filled + L", "self.filled + 1")),
        "values_written_as_keys": parity.edit(written, ("put(self.values, v_BKLH)", "put(self.values, k_BKLH)")),
        "positions_start_again": parity.edit(
            LlamaModel.__call__, ("jnp.arange(x_BLD.shape[1])[None] + filled", "jnp.arange(x_BLD.shape[1])[None]")
        ),
        "positions_off_by_one": parity.edit(
            LlamaModel.__call__,
            ("jnp.arange(x_BLD.shape[1])[None] + filled", "jnp.arange(x_BLD.shape[1])[None] + filled + (filled > 0)"),
        ),
        "cached_keys_turned_again": parity.edit(
            Attention.step,
            (
                "past[0].written(",
                "LayerCache(jnp.where(jnp.arange(past[0].keys.shape[2])[:, None] < past[1], "
                "apply_rotary_pos_emb(past[0].keys, past[0].keys, cos_BLH[:, :1], sin_BLH[:, :1])[0], past[0].keys), "
                "past[0].values).written(",
            ),
        ),
        "keys_cached_unturned": parity.edit(
            Attention.step,
            ("past[0].written(k_BKMH,", "past[0].written(split_heads(self.k_proj(x_BLD), self.head_dim),"),
        ),
        "old_values_read": parity.edit(
            Attention.step,
            ("k_BKMH, v_BKMH = cache.keys, cache.values", "k_BKMH, v_BKMH = cache.keys, past[0].values"),
        ),
        "empty_slots_seen": parity.edit(
            mask.causal, ("jnp.arange(L)[:, None] + filled", "jnp.maximum(jnp.arange(L)[:, None] + filled, L)")
        ),
        "past_hidden": parity.edit(mask.causal, ("jnp.arange(L)[:, None] + filled", "jnp.arange(L)[:, None]")),
        "padding_of_the_last_step_only": parity.edit(
            mask.make_mask,
            (
                "is_token(attention_mask, M)",
                "jnp.where(jnp.arange(M) < filled, True, is_token(attention_mask, M))",
            ),
        ),
        "first_layer_cached_for_all": parity.edit(
            LlamaModel.__call__,
            ("cache.advanced(tuple(passed.caches),", "cache.advanced(tuple(passed.caches[:1] * len(passed.caches)),"),
        ),
        "kept_in_half": parity.edit(
            written,
            ("new_BKLH.astype(slots_BKMH.dtype)", "new_BKLH.astype(jnp.bfloat16).astype(slots_BKMH.dtype)"),
            checks=("float32",),
        ),
    },
    equivalents={
        "written_by_scatter": parity.same(
            written,
            (
                "jax.lax.dynamic_update_slice_in_dim(slots_BKMH, new_BKLH, filled, axis=2)",
                "slots_BKMH.at[:, :, filled + jnp.arange(new_BKLH.shape[2])].set(new_BKLH)",
            ),
            why="as long as there is room, a slice is its indices",
        ),
    },
)
