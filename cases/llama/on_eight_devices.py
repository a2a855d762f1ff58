"""The port on a mesh: `test_sharding.py` runs this file in a process of its own, on eight virtual devices.

What is computed on many devices is held against one device in float64, where the two differ by rounding alone; what
would be as right but slower is held by how the arrays lie and by which sums over devices the program has.
"""

# Jax and flax leave most of what is used here untyped.
# pyright: basic

import dataclasses
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.sharding import PartitionSpec as P
from jax.tree_util import keystr

import parity
from cases.llama.port import (
    RULES,
    Cache,
    LlamaConfig,
    LlamaForCausalLM,
    MeshMismatch,
    empty_cache,
    generate,
    initialise,
    load,
    make_mesh,
    parameter,
    shard,
    shard_batch,
    sharding,
)
from cases.llama.port.load import parameters
from cases.llama.port.mlp import MLP
from cases.llama.port.training import Recipe, adamw, train_step
from parity.error import exact_error, measure

CONFIG = LlamaConfig(
    vocab_size=64,
    hidden_size=24,
    intermediate_size=40,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=10,
    attention_bias=True,
    mlp_bias=True,
    pad_token_id=3,
)
SPLIT = {**RULES, "embed": "data"}
# Fewer kv heads than devices; as many; parameters over every device.
LAYOUTS = {"2x4": (2, 4, RULES), "4x2": (4, 2, RULES), "2x4 split": (2, 4, SPLIT)}
IDS = np.random.default_rng(0).integers(0, CONFIG.vocab_size, (4, 9))
SUMS = ("all-reduce", "all-gather", "all-to-all", "collective-permute", "reduce-scatter")


@pytest.fixture(autouse=True)
def wide() -> Iterator[None]:
    """Float64 wherever nothing else is asked for."""
    with jax.enable_x64(True):
        yield


def build(rngs: nnx.Rngs, dtype: Any = jnp.float64, config: LlamaConfig = CONFIG) -> LlamaForCausalLM:
    return LlamaForCausalLM(config, dtype=dtype, param_dtype=dtype, rngs=rngs)


def drawn(dtype: Any = jnp.float64, config: LlamaConfig = CONFIG) -> LlamaForCausalLM:
    """On one device; no norm is 1 and no bias 0."""
    made, rng = build(nnx.Rngs(0), dtype, config), np.random.default_rng(1)
    for variable in parameters(made).values():
        variable.set_value(jnp.asarray(rng.standard_normal(variable.shape) / 4 + (len(variable.shape) == 1), dtype))
    return made


@jax.jit
def outputs(llama: LlamaForCausalLM, ids: jax.Array) -> dict[str, Any]:
    """Logits, and the gradient of the loss by parameter."""
    graph, state = nnx.split(llama)

    def loss(state: Any) -> Any:
        out = nnx.merge(graph, state)(ids, labels=ids)
        return out.loss, out.logits

    gradient, logits = jax.grad(loss, has_aux=True)(state)
    return {"logits": logits, **{keystr(path): x for path, x in jax.tree.leaves_with_path(gradient)}}


def arrays(tree: dict[str, Any]) -> dict[str, np.ndarray]:
    return {name: np.asarray(x) for name, x in tree.items()}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_logits_and_gradients_are_those_of_one_device(layout: str) -> None:
    """The loss's gradient for every parameter, and all logits, with a batch split over rows."""
    data, model, rules = LAYOUTS[layout]
    mesh = make_mesh(data=data, model=model)
    many = outputs(shard(drawn(), mesh, rules), shard_batch(jnp.asarray(IDS), mesh, rules))
    one = outputs(drawn(), jnp.asarray(IDS))
    assert many["logits"].sharding.device_set == set(jax.devices())
    assert exact_error(arrays(one), arrays(many)).measures["rtol"] < 1e-12


def test_float32_is_as_accurate_as_on_one_device() -> None:
    """By the error ratio of the check `float32`, with the same bound, the truth taken from float64."""
    mesh = make_mesh(data=2, model=4)
    exact = outputs(drawn(), jnp.asarray(IDS))
    one = outputs(drawn(jnp.float32), jnp.asarray(IDS))
    many = outputs(shard(drawn(jnp.float32), mesh), shard_batch(jnp.asarray(IDS), mesh))
    error = measure(arrays(one), arrays(many), exact=arrays(exact))
    assert 0 < error.measures["ratio"] < 4


def test_decoding_is_that_of_one_device() -> None:
    """Five positions, then one at a time, the cache given away: the logits of one pass, compiled once."""
    mesh, compiled = make_mesh(data=2, model=4), []

    @partial(jax.jit, donate_argnums=1)
    def step(llama: LlamaForCausalLM, cache: Cache, ids: jax.Array) -> Any:
        compiled.append(ids.shape)
        out = llama(ids, cache=cache)
        return out.logits, out.cache

    llama, cache = shard(drawn(), mesh), empty_cache(CONFIG, 4, 9, jnp.float64, mesh)
    lies = jax.tree.map(lambda x: x.sharding, cache)
    logits = []
    for ids in np.split(IDS, [5, 6, 7, 8], axis=1):
        part, cache = step(llama, cache, shard_batch(jnp.asarray(ids), mesh))
        logits.append(np.asarray(part))
    assert jax.tree.all(jax.tree.map(lambda x, lay: x.sharding.is_equivalent_to(lay, x.ndim), cache, lies))
    assert compiled == [(4, 5), (4, 1)]
    expected = np.asarray(drawn()(jnp.asarray(IDS)).logits)
    np.testing.assert_allclose(np.concatenate(logits, axis=1), expected, rtol=0, atol=1e-12 * np.abs(expected).max())


def test_texts_are_those_of_one_device() -> None:
    """`generate` with parameters on a mesh, which makes its own cache."""
    many = shard(drawn(), make_mesh(data=2, model=4))
    one, other = (generate(llama, IDS, max_new_tokens=5).sequences for llama in (drawn(), many))
    np.testing.assert_array_equal(one, other)


def test_steps_of_the_optimiser_are_those_of_one_device() -> None:
    """Two of AdamW, each in two micro-batches whose rows are split; its moments lie as their parameters do."""
    mesh = make_mesh(data=2, model=4)
    shallow = dataclasses.replace(CONFIG, num_hidden_layers=1)
    one, many = drawn(config=shallow), shard(drawn(config=shallow), mesh)
    for llama in (one, many):
        optimizer, step = adamw(llama, Recipe(learning_rate=1e-2)), nnx.jit(train_step)
        for ids in (IDS, IDS[::-1]):
            ids = jnp.asarray(ids.reshape(2, 2, -1))
            ids = shard_batch(ids, mesh, axis=1) if llama is many else ids
            step(llama, optimizer, {"input_ids": ids, "labels": ids})
    lies = sharding.shardings(one, mesh)
    for path, variable in parameters(many).items():
        np.testing.assert_allclose(variable.get_value(), parameters(one)[path].get_value(), atol=1e-12, err_msg=path)
        assert variable.get_value().sharding.is_equivalent_to(lies[path], len(variable.shape))
    moments = [x for x in jax.tree.leaves(nnx.state(optimizer)) if x.shape == (CONFIG.hidden_size, CONFIG.vocab_size)]
    assert [x.sharding.spec for x in moments] == [P(None, "model")] * 2


def sums(mesh: Any) -> dict[str, int]:
    """How often the program of a forward pass moves numbers between devices."""
    llama = shard(drawn(), mesh)
    lowered = jax.jit(lambda llama, ids: llama(ids).logits).lower(llama, shard_batch(jnp.asarray(IDS), mesh))
    program = lowered.compile().as_text() or ""
    return {name: n for name in SUMS if (n := len(re.findall(rf"= \S+ {name}(?:-start)?\(", program)))}


def assert_few_sums() -> None:
    """The token table's rows, and two for each layer: one behind attention, one behind the feed-forward network."""
    assert sums(make_mesh(data=2, model=4)) == {"all-reduce": 1 + 2 * CONFIG.num_hidden_layers}


def assert_lie_as_they_should() -> None:
    """Kernels over the mesh's second axis, keys and values whole where the heads don't divide."""
    lies = {
        path.removeprefix("model.layers.0."): (variable.get_value().sharding.spec, variable.get_value())
        for path, variable in parameters(shard(drawn(), make_mesh(data=2, model=4))).items()
    }
    expected = {
        "self_attn.q_proj.kernel": P(None, "model"),
        "self_attn.k_proj.kernel": P(None, None),
        "self_attn.v_proj.bias": P(None),
        "self_attn.o_proj.kernel": P("model", None),
        "self_attn.o_proj.bias": P(None),
        "mlp.up_proj.bias": P("model"),
        "mlp.gate_proj.kernel": P(None, "model"),
        "mlp.down_proj.kernel": P("model", None),
        "input_layernorm.scale": P(None),
        "model.embed_tokens.embedding": P("model", None),
        "lm_head.kernel": P(None, "model"),
    }
    assert {path: lies[path][0] for path in expected} == expected
    fitting = shard(drawn(), make_mesh(data=4, model=2)).model.layers[1].self_attn
    assert fitting.v_proj.kernel.get_value().sharding.spec == P(None, "model")
    for spec, x in lies.values():
        assert x.addressable_shards[0].data.size * 4 ** ("model" in spec) == x.size


def test_a_layer_sums_twice_and_gathers_nothing() -> None:
    """What a forward pass sends between devices is what it must."""
    assert_few_sums()


def test_parameters_lie_as_they_should() -> None:
    """And each device holds a quarter of what is split, and no more."""
    assert_lie_as_they_should()


def assert_loads(folder: Path) -> None:
    """A checkpoint read onto a mesh is the one read onto one device, and is saved as the same bytes."""
    mesh = make_mesh(data=2, model=4)
    llama = drawn(jnp.float32)
    llama.save_pretrained(folder / "saved")
    read = LlamaForCausalLM.from_pretrained(folder / "saved", mesh=mesh, rules=SPLIT)
    lies = sharding.shardings(llama, mesh, SPLIT)
    for path, variable in parameters(read).items():
        np.testing.assert_array_equal(variable.get_value(), parameters(llama)[path].get_value(), err_msg=path)
        assert variable.get_value().sharding == lies[path]
    read.save_pretrained(folder / "again")
    assert (folder / "again/model.safetensors").read_bytes() == (folder / "saved/model.safetensors").read_bytes()


def test_a_checkpoint_is_read_onto_a_mesh(tmp_path: Path) -> None:
    """Part by part, bit for bit."""
    assert_loads(tmp_path)


def test_a_head_is_drawn_onto_a_mesh(tmp_path: Path) -> None:
    """The one that a checkpoint does not have lies as it should too."""
    drawn(jnp.float32).model.save_pretrained(tmp_path / "bare")
    mesh = make_mesh(data=2, model=4)
    read = LlamaForCausalLM.from_pretrained(tmp_path / "bare", mesh=mesh, rngs=nnx.Rngs(0))
    assert read.lm_head.kernel.get_value().sharding.spec == P(None, "model")
    assert 0.01 < np.std(read.lm_head.kernel[...]) < 0.03


def test_a_fresh_one_is_that_of_one_device() -> None:
    """Each device draws its part of the same random numbers."""
    mesh = make_mesh(data=2, model=4)
    many = parameters(initialise(build, nnx.Rngs(5), mesh, SPLIT))
    one = parameters(build(nnx.Rngs(nnx.Rngs(5).params())))
    lies = sharding.shardings(build(nnx.Rngs(0)), mesh, SPLIT)
    for path, variable in many.items():
        assert variable.get_value().sharding == lies[path]
        np.testing.assert_allclose(variable.get_value(), one[path].get_value(), rtol=1e-12, err_msg=path)


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


FAULTS = {
    "parts_read_before_they_are_turned": (
        assert_loads,
        parity.edit(load._array, ("view[index or ()]", "(view.T[index[::-1]].reshape(view[index].shape))")),
    ),
    "first_part_for_all": (assert_loads, parity.edit(load._array, ("key = str(index)", "key = ''"))),
    "heads_cut_in_two": (
        lambda folder: assert_lie_as_they_should(),
        parity.edit(sharding._placed, ('counts.get(axis or "", size)', "size")),
    ),
    "keys_always_whole": (
        lambda folder: assert_lie_as_they_should(),
        parity.edit(sharding._placed, ("and pieces %", "and axis == 'kv_heads' or name is not None and pieces %")),
    ),
    "bias_lies_as_the_inputs": (
        lambda folder: assert_lie_as_they_should(),
        parity.edit(parameter.parameter, ("out_sharding=axes", "out_sharding=axes if len(axes) > 1 else (None,)")),
    ),
    "down_projection_split_by_columns": (
        lambda folder: assert_few_sums(),
        parity.edit(MLP.__init__, ('axes=("mlp", "embed")', 'axes=("embed", "mlp")')),
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found(fault: str, tmp_path: Path) -> None:
    """A deliberate bug in the port's own source: the comparison runs to its end and fails."""
    ask, variant = FAULTS[fault]
    assert variant.patch is not None
    with variant.patch(), pytest.raises(AssertionError):
        ask(tmp_path)
