"""What does not fit on a mesh is refused; run as `on_eight_devices.py` is, on eight virtual devices."""

# Jax and flax leave most of what is used here untyped.
# pyright: basic

import re
from typing import Any

import jax.numpy as jnp
import pytest
from flax import nnx

from cases.llama.on_eight_devices import CONFIG, IDS, build, drawn
from cases.llama.port import RULES, LlamaConfig, MeshMismatch, empty_cache, make_mesh, shard, shard_batch
from cases.llama.port.load import parameters


def test_everything_that_does_not_divide_is_named_before_anything_moves() -> None:
    """Heads, feed-forward network and vocabulary in one error; keys and values are no hindrance."""
    odd = LlamaConfig(
        vocab_size=57,
        hidden_size=18,
        intermediate_size=41,
        num_hidden_layers=1,
        num_attention_heads=6,
        num_key_value_heads=3,
        head_dim=4,
    )
    llama = build(nnx.Rngs(0), config=odd)
    with pytest.raises(MeshMismatch) as raised:
        shard(llama, make_mesh(data=2, model=4))
    assert str(raised.value).splitlines() == [
        "the mesh (data=2, model=4) does not fit:",
        "  `vocab`: 57 over model = 4",
        "  `mlp`: 41 over model = 4",
        "  `heads`: 6 over model = 4",
    ]
    assert all(len(x.get_value().sharding.device_set) == 1 for x in parameters(llama).values())
    assert shard(llama, make_mesh(data=8)) is llama


@pytest.mark.parametrize(
    ("ask", "error", "told"),
    [
        (lambda: make_mesh(data=3, model=2), ValueError, "data = 3 times model = 2 is 6, and there are 8 devices"),
        (lambda: shard_batch({"a": IDS, "b": IDS[:3]}, make_mesh(data=8)), MeshMismatch, "`batch`: 3 over data = 8\n"),
        (
            lambda: shard(drawn(), make_mesh(data=8), {"mlp": "tensor"}),
            MeshMismatch,
            "the rules split `mlp` over `tensor`, which the mesh does not have",
        ),
        (
            lambda: shard(drawn(), make_mesh(data=2, model=4), {**RULES, "embed": "model"}),
            MeshMismatch,
            "`vocab`, `embed` of one array, both over model",
        ),
        (
            lambda: empty_cache(CONFIG, 3, 9, jnp.float32, make_mesh(data=2, model=4)),
            MeshMismatch,
            "`batch`: 3 over data = 2",
        ),
    ],
    ids=["devices", "rows", "axis", "twice", "cache"],
)
def test_what_does_not_fit_is_refused(ask: Any, error: type[Exception], told: str) -> None:
    """One error that names both numbers."""
    with pytest.raises(error, match=re.escape(told.strip())):
        ask()
