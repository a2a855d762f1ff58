"""The jobs that the port's speed is measured at, on the shapes of SmolLM2-135M with parameters of no meaning."""

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax import nnx
from transformers import DynamicCache, StaticCache
from transformers.models.llama.modeling_llama import LlamaForCausalLM as Reference

import parity
from cases.llama.palettes import port_config, reference_config
from cases.llama.port.cache import Cache
from cases.llama.port.heads import LlamaForCausalLM

Job = Callable[[], Any]

SMOLLM2: Mapping[str, Any] = {
    "model_type": "llama",
    "vocab_size": 49152,
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "max_position_embeddings": 8192,
    "rope_theta": 100000.0,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": True,
}
READ, SLOTS = 128, 192  # positions in the cache before a step, and room for how many there is
PROMPT = 512
TRAINED = (4, 128)  # rows, tokens
LEARNING_RATE = 1e-4
# XLA takes the gigabytes of a training step from the system anew for every step: in pages of 2 MB instead of 4 kB that
# is an eighth of the time less. (PyTorch's step takes longer with them.)
HUGE_PAGES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}


def _port(layers: int = 30, **options: Any) -> tuple[Any, nnx.State]:
    """The port's structure, and parameters like those of a fresh model."""
    config = port_config({**SMOLLM2, "num_hidden_layers": layers})
    empty = nnx.eval_shape(lambda: LlamaForCausalLM(config, rngs=nnx.Rngs(0), **options))
    graph, state = nnx.split(empty)
    return graph, jax.tree.map(lambda leaf: jnp.asarray(_numbers(leaf.shape)), state)


@cache
def _some() -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.02, 1 << 16).astype(np.float32)


def _numbers(shape: tuple[int, ...]) -> np.ndarray:
    return np.resize(_some(), shape)


def _reference() -> Any:
    """The reference as it runs best on a processor, with its own fresh parameters."""
    config = reference_config(SMOLLM2)
    config._attn_implementation = "sdpa"
    return Reference(config).eval()


def decoding(batch: int, layers: int = 30, **options: Any) -> Job:
    """The port: one token more in each row, greedily, behind what is in the cache."""
    graph, state = _port(layers, **options)

    @partial(jax.jit, donate_argnums=2)
    def step(state: nnx.State, tokens_B1: jax.Array, past: Cache) -> tuple[jax.Array, Cache]:
        read = nnx.merge(graph, state)(tokens_B1, cache=past, logits_to_keep=1)
        assert read.cache is not None
        return jnp.argmax(read.logits, axis=-1), read.cache

    tokens_B1 = jnp.ones((batch, 1), jnp.int32)
    past = Cache.empty(nnx.merge(graph, state).config, batch, SLOTS)

    def job() -> None:
        nonlocal tokens_B1, past
        tokens_B1, past = step(state, tokens_B1, Cache(past.layers, jnp.asarray(READ, jnp.int32)))
        tokens_B1.block_until_ready()

    return job


def reference_decoding(batch: int, *, compiled: bool) -> Job:
    """The reference: with its growing cache, or compiled with its fixed one."""
    model = _reference()
    past: Any = StaticCache(config=model.config, max_cache_len=SLOTS) if compiled else DynamicCache(config=model.config)
    step = torch.compile(model) if compiled else model
    tokens_B1 = torch.ones((batch, 1), dtype=torch.long)
    mask = torch.ones((batch, READ + 1), dtype=torch.long)
    with torch.no_grad():
        model(torch.ones((batch, READ), dtype=torch.long), past_key_values=past, logits_to_keep=1)

    def job() -> None:
        nonlocal tokens_B1
        with torch.no_grad():
            read = step(
                tokens_B1, attention_mask=mask, past_key_values=past, position_ids=_last(batch), logits_to_keep=1
            )
            tokens_B1 = read.logits.argmax(-1)
            past.crop(-1) if not compiled else _back(past)

    return job


def _last(batch: int) -> torch.Tensor:
    return torch.full((batch, 1), READ)


def _back(past: StaticCache) -> None:
    """Let a fixed cache forget the last step."""
    for layer in past.layers:
        layer.cumulative_length.fill_(READ)  # pyright: ignore[reportAttributeAccessIssue]


def prefilling() -> Job:
    """The port: a prompt into an empty cache, and the first token behind it."""
    graph, state = _port()

    @jax.jit
    def read(state: nnx.State, tokens_BL: jax.Array) -> tuple[jax.Array, Cache]:
        model = nnx.merge(graph, state)
        read = model(tokens_BL, cache=Cache.empty(model.config, 1, PROMPT), logits_to_keep=1)
        assert read.cache is not None
        return jnp.argmax(read.logits, axis=-1), read.cache

    tokens_BL = jnp.ones((1, PROMPT), jnp.int32)
    return lambda: jax.block_until_ready(read(state, tokens_BL))


def reference_prefilling(*, compiled: bool) -> Job:
    """The reference: the same, into a cache of its own."""
    model = _reference()
    step = torch.compile(model) if compiled else model
    tokens_BL = torch.ones((1, PROMPT), dtype=torch.long)

    def job() -> None:
        with torch.no_grad():
            step(tokens_BL, use_cache=True, logits_to_keep=1).logits.argmax(-1)

    return job


def training(**options: Any) -> Job:
    """The port: loss, gradients, and a step of AdamW."""
    import optax

    graph, state = _port(**options)
    optimiser = optax.adamw(LEARNING_RATE)
    tokens_BL = jnp.ones(TRAINED, jnp.int32)

    @partial(jax.jit, donate_argnums=(0, 1))
    def step(state: nnx.State, moments: Any) -> tuple[nnx.State, Any, jax.Array]:
        def loss(state: nnx.State) -> jax.Array:
            found = nnx.merge(graph, state)(tokens_BL, labels=tokens_BL).loss
            assert found is not None
            return found

        value, gradient = jax.value_and_grad(loss)(state)
        updates, moments = optimiser.update(gradient, moments, state)
        return optax.apply_updates(state, updates), moments, value  # pyright: ignore[reportReturnType]

    moments = optimiser.init(state)  # pyright: ignore[reportArgumentType]

    def job() -> None:
        nonlocal state, moments
        state, moments, value = step(state, moments)
        value.block_until_ready()

    return job


def reference_training(*, compiled: bool) -> Job:
    """The reference: the same."""
    model = _reference().train()
    step = torch.compile(model) if compiled else model
    optimiser = torch.optim.AdamW(model.parameters(), LEARNING_RATE, weight_decay=1e-4)
    tokens_BL = torch.ones(TRAINED, dtype=torch.long)

    def job() -> None:
        step(tokens_BL, labels=tokens_BL, use_cache=False).loss.backward()
        optimiser.step()
        optimiser.zero_grad()

    return job


def _bytes(batch: int) -> int:
    """What a step can't do without reading: every parameter, the table once as head, and the filled slots."""
    config = port_config(SMOLLM2)
    D, F, V, Y = config.hidden_size, config.intermediate_size, config.vocab_size, config.num_hidden_layers
    N, K, H = config.num_attention_heads, config.num_key_value_heads, config.head_dim
    layer = 2 * D * N * H + 2 * D * K * H + 3 * D * F + 2 * D
    return 4 * (Y * layer + V * D + D + 2 * Y * batch * K * H * READ)


def _both(job: Callable[..., Job], *given: Any) -> dict[str, Callable[[], Job]]:
    return {"eager": partial(job, *given, compiled=False), "torch.compile": partial(job, *given, compiled=True)}


WORKLOADS: Mapping[str, parity.Workload] = {
    **{
        f"decode, batch {batch}": parity.Workload(
            port=partial(decoding, batch),
            references=_both(reference_decoding, batch),
            tokens=batch,
            reads=_bytes(batch),
        )
        for batch in (1, 8)
    },
    f"prefill of {PROMPT}": parity.Workload(port=prefilling, references=_both(reference_prefilling), tokens=PROMPT),
    "training step, 4 x 128": parity.Workload(
        port=training,
        references=_both(reference_training),
        tokens=TRAINED[0] * TRAINED[1],
        environment=HUGE_PAGES,
    ),
    **{
        f"{layers} layers, {'a loop' if scan else 'unrolled'}": parity.Workload(
            port=partial(decoding, 1, layers, scan=scan)
        )
        for scan in (False, True)
        for layers in (2, 12, 30)
    },
}
