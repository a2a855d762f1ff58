"""The cache as a pytree: what does not fit is refused, rows can be taken, and a step compiles once."""

# Jax and flax leave most of what is used here untyped.
# pyright: basic

from collections.abc import Callable, Iterator
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from cases.llama.port import Cache, LlamaConfig, LlamaForCausalLM
from cases.llama.port.mask import Causal

CONFIG = LlamaConfig(
    vocab_size=40,
    hidden_size=24,
    intermediate_size=16,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=10,
)


@pytest.fixture(scope="module")
def llama() -> LlamaForCausalLM:
    """A small one; its parameters are of no matter here."""
    return LlamaForCausalLM(CONFIG, rngs=nnx.Rngs(0))


def ids(batch: int, length: int) -> jax.Array:
    return jnp.arange(batch * length).reshape(batch, length) % CONFIG.vocab_size


@pytest.mark.parametrize(
    ("batch", "length", "message"),
    [
        (2, 5, "the cache holds 3 rows, the input 2"),
        (3, 7, "7 positions do not fit into a cache of 6 slots"),
        (3, 3, "3 positions do not fit: 4 of the cache's 6 slots are filled"),
    ],
    ids=["rows", "longer than the cache", "behind what is filled"],
)
def test_what_does_not_fit_is_refused(llama: LlamaForCausalLM, batch: int, length: int, message: str) -> None:
    """Before anything is computed."""
    cache = llama(ids(3, 4), cache=Cache.empty(CONFIG, 3, 6)).cache
    with pytest.raises(ValueError, match=message):
        llama(ids(batch, length), cache=cache)


def test_a_traced_overflow_is_no_number(llama: LlamaForCausalLM) -> None:
    """Where no error can be raised, no plausible number comes out either, then or later."""
    step = compiled(llama)
    logits, cache = step(ids(1, 3), Cache.empty(CONFIG, 1, 4))
    assert np.isfinite(logits).all()
    for length in (3, 1):
        logits, cache = step(ids(1, length), cache)
        assert np.isnan(logits).all()


def test_a_step_compiles_once_and_writes_in_place(llama: LlamaForCausalLM) -> None:
    """However many slots are filled; a donated cache gives its buffers to the next one."""
    traces: list[int] = []
    step = compiled(llama, traces)
    cache = Cache.empty(CONFIG, 2, 8)
    places = [slots.unsafe_buffer_pointer() for slots in jax.tree.leaves(cache.layers)]
    for _ in range(4):
        given = cache
        _, cache = step(ids(2, 1), given)
        assert all(slots.is_deleted() for slots in jax.tree.leaves(given))
    assert len(traces) == 1
    assert [slots.unsafe_buffer_pointer() for slots in jax.tree.leaves(cache.layers)] == places


def test_rows_go_on_where_they_were(llama: LlamaForCausalLM) -> None:
    """A reordered cache continues the reordered batch."""
    tokens, order = ids(3, 5), jnp.array([2, 0, 0])
    cache = llama(tokens[:, :4], cache=Cache.empty(CONFIG, 3, 5)).cache
    assert cache is not None
    taken = llama(tokens[order, 4:], cache=cache.rows(order)).logits
    np.testing.assert_array_equal(taken, llama(tokens[:, 4:], cache=cache).logits[order])


def test_an_empty_cache_needs_room() -> None:
    """At least one slot and one row."""
    with pytest.raises(ValueError, match="a cache of 0 slots for 2 rows: give at least one of each"):
        Cache.empty(CONFIG, 2, 0)


def compiled(llama: LlamaForCausalLM, traces: list[int] | None = None) -> Callable[[jax.Array, Cache], tuple]:
    """A step under `jax.jit` that takes the cache's buffers over."""
    graph, state = nnx.split(llama)

    @partial(jax.jit, donate_argnums=1)
    def step(tokens: jax.Array, cache: Cache) -> tuple:
        if traces is not None:
            traces.append(1)
        read = nnx.merge(graph, state)(tokens, cache=cache)
        return read.logits, read.cache

    return step


@pytest.mark.parametrize("padding", [0, 2], ids=["no padding", "left padding"])
def test_chunks_change_nothing_behind_what_was_read(padding: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A prompt in two pieces, slots to spare: the second piece's chunks see the first. Padding is read by nobody."""
    whole, chunked = (LlamaForCausalLM(CONFIG, rngs=nnx.Rngs(0), chunk=chunk) for chunk in (64, 2))
    mask = jnp.arange(11)[None].repeat(2, axis=0) >= jnp.array([[0], [padding]])

    def read(model: LlamaForCausalLM) -> np.ndarray:
        first = model(ids(2, 5), attention_mask=mask[:, :5], cache=Cache.empty(CONFIG, 2, 13))
        second = model(ids(2, 11)[:, 5:], attention_mask=mask, cache=first.cache)
        logits = np.concatenate([first.logits, second.logits], axis=1)
        return np.where(mask[..., None], logits, 0)

    expected = read(whole)
    np.testing.assert_allclose(read(chunked), expected, rtol=1e-4, atol=1e-6)

    def forgetful(self: Causal) -> Iterator[tuple[slice, int]]:
        return ((rows, rows.stop) for rows, _ in right(self))

    right = Causal.chunks
    monkeypatch.setattr(Causal, "chunks", forgetful)
    jax.clear_caches()  # of traces that know nothing of it
    assert np.abs(read(chunked) - expected).max() > 1e-3
    jax.clear_caches()


@pytest.mark.parametrize(("length", "sizes"), [(7, [2, 2, 2, 1]), (16, [2] * 8), (17, [3] * 5 + [2]), (24, [3] * 8)])
def test_a_long_prompt_is_eight_chunks_at_most(length: int, sizes: list[int]) -> None:
    """Every query is in one of them, and the last sees all slots."""
    chunks = list(Causal(jnp.zeros((1, 1, length, length + 5)), 2).chunks())
    assert [rows.stop - rows.start for rows, _ in chunks] == sizes
    assert [rows.start for rows, _ in chunks] == [0, *(rows.stop for rows, _ in chunks[:-1])]
    assert [seen - rows.stop for rows, seen in chunks] == [5] * len(sizes)
