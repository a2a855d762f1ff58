"""How the stack of layers runs: one after another or as one loop, each layer's activations kept or computed again.

Neither choice changes the function. Shapes: B batch, L length, M memory length, D width, N heads, H head dim.
"""

from collections.abc import Callable, Sequence
from functools import partial
from operator import itemgetter
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from .block import DecoderLayer
from .cache import Cache, LayerCache
from .dropout import keys_of
from .mask import Causal

Tables = tuple[jax.Array, jax.Array]
Past = tuple[LayerCache, jax.Array] | None
Stepped = tuple[jax.Array, jax.Array, LayerCache | None]
Key = jax.Array | None
Mask = jax.Array | Causal
Step = Callable[[DecoderLayer, jax.Array, Mask, Tables, Past, Key], Stepped]


def plain(layer: DecoderLayer, x_BLD: jax.Array, mask: Mask, tables_BLH: Tables, past: Past, key: Key) -> Stepped:
    """One layer: its output [B, L, D], its attention weights [B, N, L, M], and its cache, if there is a `past`."""
    return layer.step(x_BLD, mask, tables_BLH, past, key)


def recomputed(layer: DecoderLayer, x_BLD: jax.Array, mask: Mask, tables_BLH: Tables, past: Past, key: Key) -> Stepped:
    """One layer that keeps its inputs only: the gradient computes the rest again (about a third more arithmetic)."""
    graph, state = nnx.split(layer)

    def run(state: nnx.State, x_BLD: jax.Array, mask: Mask, tables_BLH: Tables, past: Past, key: Key) -> Stepped:
        return plain(nnx.merge(graph, state), x_BLD, mask, tables_BLH, past, key)

    return jax.checkpoint(run)(state, x_BLD, mask, tables_BLH, past, key)


@partial(jax.jit, static_argnums=(0, 1))
def _compiled(step: Step, graph: Any, state: nnx.State, *inputs: Any) -> Stepped:
    return step(nnx.merge(graph, state), *inputs)


def shared(step: Step) -> Step:
    """`step` as one function of the program, which every layer of the same structure calls.

    A stack is traced, differentiated and lowered once instead of once a layer; XLA inlines the calls. Outside of
    `jax.jit`, the layer is what is compiled, once for each shape.
    """

    def run(layer: DecoderLayer, x_BLD: jax.Array, mask: Mask, tables_BLH: Tables, past: Past, key: Key) -> Stepped:
        return _compiled(step, *nnx.split(layer), x_BLD, mask, tables_BLH, past, key)

    return run


class Passed(NamedTuple):
    """What came of a stack: its output, what entered each layer, each layer's attention weights, and its cache.

    A list is empty where it was not wanted, or there is none.
    """

    x_BLD: jax.Array
    states: list[jax.Array]
    weights: list[jax.Array]
    caches: list[LayerCache]


def unrolled(
    layers: Sequence[DecoderLayer],
    step: Step,
    x_BLD: jax.Array,
    mask: Mask,
    tables_BLH: Tables,
    past: Cache | None = None,
    key: Key = None,
) -> Passed:
    """All layers, one after another; the arguments are those of `scanned`."""
    passed, keys = Passed(x_BLD, [], [], []), keys_of(key, len(layers))
    for i, layer in enumerate(layers):
        passed.states.append(x_BLD)
        kept = None if past is None else (past.layers[i], past.filled)
        x_BLD, weights_BNLM, cache = step(layer, x_BLD, mask, tables_BLH, kept, keys[i])
        passed.weights.append(weights_BNLM)
        passed.caches.extend([] if cache is None else [cache])
    return passed._replace(x_BLD=x_BLD)


def scanned(
    layers: Sequence[DecoderLayer],
    step: Step,
    x_BLD: jax.Array,
    mask: Mask,
    tables_BLH: Tables,
    past: Cache | None = None,
    key: Key = None,
    *,
    keep_states: bool,
    keep_weights: bool,
) -> Passed:
    """All layers as one loop: the program holds one layer, however many there are.

    The parameters keep their places (`layers.0` ...) and are stacked at every call: one more copy of the layers in
    memory, and a stacking to compile; with a `past`, of the cache too. Measured for the gradient of 32 layers of width
    64 on a CPU: traced and lowered in 0.2 s instead of 1.2, compiled in 6.9 s instead of 3.9. So it pays where tracing
    counts or layers are large.
    The loop's carry keeps its dtype, so inputs of another dtype than the layers' need a model with a `dtype`.

    Args:
        layers: at least one, all of the same structure.
        step: runs one layer: `plain` or `recomputed`.
        x_BLD: what enters the first layer.
        mask, tables_BLH: the same for every layer.
        past: the cache before this call.
        key: for dropout, in training; each layer gets its own.
        keep_states, keep_weights: whether the two lists are wanted.
    """
    graph = nnx.graphdef(layers[0])
    states = _stacked([nnx.state(layer) for layer in layers])
    caches = None if past is None else _stacked(past.layers)
    keys = None if key is None else jax.random.split(key, len(layers))

    def body(x_BLD: jax.Array, layer: tuple[nnx.State, LayerCache | None, Key]):
        state, cache, key = layer
        kept = None if past is None or cache is None else (cache, past.filled)
        y_BLD, weights_BNLM, cache = step(nnx.merge(graph, state), x_BLD, mask, tables_BLH, kept, key)
        return y_BLD, (x_BLD if keep_states else None, weights_BNLM if keep_weights else None, cache)

    x_BLD, lists = jax.lax.scan(body, x_BLD, (states, caches, keys))
    return Passed(x_BLD, *(_apart(each, len(layers)) for each in lists))


def _stacked(trees: Sequence[Any]) -> Any:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def _apart(stacked: Any, count: int) -> list[Any]:
    return [] if stacked is None else [jax.tree.map(itemgetter(i), stacked) for i in range(count)]
