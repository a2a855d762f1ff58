"""Transfer rules: exact both ways, refused as a whole, right for torch's and Flax's own layers."""

# Torch and flax leave most of what is used here untyped.
# pyright: basic

import inspect
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import parity
from parity.errors import WeightMapError
from parity.port.build import of as port_of
from parity.reference.build import of
from parity.registry import Registry
from parity.weights import Leaf, Plan, Rule, Rules, plan, port_path
from parity.weights import rules as made

DTYPES = ("float32", "float16", "float64", "int8", "bfloat16")
Arrays = dict[str, np.ndarray]


def array(shape: tuple[int, ...], dtype: str = "float32", *, seed: int = 0) -> np.ndarray:
    """Return random bits of a dtype: NaN with payloads, negative zeros and all."""
    kind = jnp.dtype(dtype)
    bits = np.random.default_rng(seed).integers(0, 256, (*shape, kind.itemsize), np.uint8)
    return bits.view(kind).reshape(shape)


def leaves(arrays: Mapping[str, np.ndarray]) -> dict[str, Leaf]:
    """Return what a plan is made from."""
    return {name: Leaf(x.shape, x.dtype.name) for name, x in arrays.items()}


def planned(arrays: Arrays, rules: Rules, port: Mapping[str, tuple[int, ...]], **others: Any) -> Plan:
    """Plan a transfer into a port of these shapes, with the reference's dtype."""
    dtype = next(iter(arrays.values())).dtype.name
    wanted = {path: Leaf(shape, dtype) for path, shape in port.items()}
    return plan("toy", reference=leaves(arrays), port=wanted, rules=rules, **others)


def there(made: Plan, arrays: Arrays) -> Arrays:
    """Return the port's leaves."""
    return dict(made.forward(lambda name: arrays[name]))


def back(made: Plan, moved: Arrays) -> Arrays:
    """Return the reference's tensors."""
    return dict(made.backward(lambda path: moved[path]))


def assert_same_bytes(before: Arrays, after: Arrays) -> None:
    """Check that two sets of tensors are alike to the last bit."""
    assert before.keys() == after.keys()
    for name, x in before.items():
        y = after[name]
        assert (x.shape, x.dtype) == (y.shape, y.dtype), name
        assert np.ascontiguousarray(x).tobytes() == np.ascontiguousarray(y).tobytes(), name


SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple)


@st.composite
def one_to_one(draw: st.DrawFn, shape: tuple[int, ...]) -> tuple[Rule, tuple[int, ...]]:
    """Draw a one-to-one rule for a shape, and the shape it makes."""
    kind = draw(st.sampled_from(["copy", "transpose", "reshape", "permute"]))
    if kind == "transpose":
        axes = draw(st.permutations(range(len(shape))))
        return parity.transpose("to", axes), tuple(shape[axis] for axis in axes)
    if kind == "reshape":
        merged = draw(st.integers(0, len(shape) - 1))
        new = (*shape[:merged], int(np.prod(shape[merged:])))
        return parity.reshape("to", (*new[:-1], -1) if draw(st.booleans()) else new), new
    if kind == "permute":
        axis = draw(st.integers(0, len(shape) - 1))
        seed = draw(st.integers(0, 99))
        return parity.permute("to", lambda size: np.random.default_rng(seed).permutation(size), axis), shape
    return parity.copy("to"), shape


@st.composite
def chains(draw: st.DrawFn, shape: tuple[int, ...]) -> tuple[Rule, tuple[int, ...]]:
    """Draw up to four rules after one another, and the shape they make."""
    rule, shape = draw(one_to_one(shape))
    for _ in range(draw(st.integers(0, 3))):
        after, shape = draw(one_to_one(shape))
        rule = parity.chain(rule, after)
    return rule, shape


@given(st.data(), SHAPES, st.sampled_from(DTYPES))
def test_one_to_one_rules_have_an_exact_inverse(data: st.DataObject, shape: tuple[int, ...], dtype: str) -> None:
    """Copy, transpose, reshape, permute and any chain of them: there and back is the same bytes, in every dtype."""
    rule, new = data.draw(chains(shape))
    before = {"from": array(shape, dtype)}
    transfer = planned(before, made({"from": rule}), {"to": new})
    moved = there(transfer, before)
    assert moved["to"].shape == new
    assert moved["to"].dtype == before["from"].dtype
    assert_same_bytes(before, back(transfer, moved))


@given(st.data(), st.lists(st.integers(1, 4), min_size=1, max_size=4), st.sampled_from(DTYPES))
def test_split_has_an_exact_inverse(data: st.DataObject, sizes: list[int], dtype: str) -> None:
    """A fused tensor comes apart along any axis, every row in one leaf, and comes together again."""
    axis = data.draw(st.integers(0, 2))
    shape = [2, 3, 4]
    shape[axis] = sum(sizes)
    names = [f"to{number}" for number in range(len(sizes))]
    port = {name: (*shape[:axis], size, *shape[axis + 1 :]) for name, size in zip(names, sizes, strict=True)}
    before = {"fused": array(tuple(shape), dtype)}
    transfer = planned(before, made({"fused": parity.split(*names, sizes=sizes, axis=axis)}), port)
    moved = there(transfer, before)
    assert np.concatenate([moved[name] for name in names], axis).tobytes() == before["fused"].tobytes()
    assert_same_bytes(before, back(transfer, moved))


@given(st.data(), SHAPES, st.integers(1, 12), st.sampled_from(DTYPES))
def test_stack_has_an_exact_inverse(data: st.DataObject, shape: tuple[int, ...], count: int, dtype: str) -> None:
    """Layers are stacked along any new axis, each by its own rule first, and come apart again."""
    rule, new = data.draw(chains(shape))
    axis = data.draw(st.integers(0, len(new)))
    before = {f"layers.{number}.weight": array(shape, dtype, seed=number) for number in range(count)}
    stacked = (*new[:axis], count, *new[axis:])
    rules = made({"layers.*.weight": parity.stack("kernels", axis=axis, each=rule)})
    transfer = planned(before, rules, {"kernels": stacked})
    moved = there(transfer, before)
    assert moved["kernels"].shape == stacked
    assert_same_bytes(before, back(transfer, moved))


def test_stack_is_in_numerical_order() -> None:
    """Layer 10 comes after layer 9, in whatever order the tensors are named."""
    numbers = [10, 2, 0, 11, 1, 9, 3, 4, 5, 6, 7, 8]
    before = {f"h.{number}.w": np.full((1,), number, np.float32) for number in numbers}
    moved = there(planned(before, made({"h.*.w": parity.stack("w")}), {"w": (12, 1)}), before)
    assert moved["w"].ravel().tolist() == list(range(12))


def test_permute_says_where_each_row_comes_from() -> None:
    """Row i of the port is row index[i] of the reference."""
    before = {"w": np.array([[10.0], [20.0], [30.0]], np.float32)}
    transfer = planned(before, made({"w": parity.permute("to", lambda size: np.array([2, 0, 1]))}), {"to": (3, 1)})
    assert there(transfer, before)["to"].ravel().tolist() == [30, 10, 20]


def test_one_tensor_at_a_time() -> None:
    """A transfer reads a tensor when its leaf is asked for, so that a checkpoint streams through it."""
    before = {f"w{number}": array((2,), seed=number) for number in range(3)}
    transfer = planned(before, made({name: parity.copy(name) for name in before}), dict.fromkeys(before, (2,)))
    read: list[str] = []

    def reader(name: str) -> np.ndarray:
        read.append(name)
        return before[name]

    moving = transfer.forward(reader)
    assert read == []
    next(moving)
    assert read == ["w0"]


def test_names_with_stars() -> None:
    """A `*` is one name between dots, and the same in the path; it doesn't reach across a dot."""
    before = {"h.0.mlp.w": array((2,)), "h.1.mlp.w": array((2,), seed=1)}
    rules = made({"h.*.mlp.w": parity.copy("layers.*.ffn.kernel")})
    transfer = planned(before, rules, {"layers.0.ffn.kernel": (2,), "layers.1.ffn.kernel": (2,)})
    assert there(transfer, before)["layers.1.ffn.kernel"] is before["h.1.mlp.w"]
    with pytest.raises(WeightMapError, match=r"reference `h\.0\.mlp\.w` \(2,\) has no rule"):
        planned(before, made({"h.*.w": parity.copy("layers.*.kernel")}), {"layers.0.kernel": (2,)})


def test_dots_are_dots() -> None:
    """A dot in a pattern is no wildcard."""
    with pytest.raises(WeightMapError) as error:
        planned({"axb": array((2,))}, made({"a.b": parity.copy("to")}), {"to": (2,)})
    assert error.value.problems == (
        "reference `axb` (2,) has no rule",
        "rule `a.b` names nothing the reference has",
        "port `to` (2,) is never written",
    )


def test_absent_says_why() -> None:
    """What the port has no counterpart for is kept with its reason, and moves nothing."""
    before = {"w": array((2,)), "inv_freq": array((4,))}
    rules = made({"w": parity.copy("w"), "inv_freq": parity.absent("computed from the configuration")})
    transfer = planned(before, rules, {"w": (2,)})
    assert transfer.absent == {"inv_freq": "computed from the configuration"}
    assert there(transfer, before).keys() == {"w"}


def test_tied_moves_nothing() -> None:
    """A tensor that the checkpoint holds twice goes once; the second name is a tie."""
    before = {"embed.weight": array((5, 2)), "head.weight": array((5, 2))}
    rules = made({"embed.weight": parity.copy("table"), "head.weight": parity.tied("embed.weight")})
    transfer = planned(before, rules, {"table": (5, 2)})
    assert transfer.ties == {"head.weight": "embed.weight"}
    assert back(transfer, there(transfer, before)).keys() == {"embed.weight"}
    with pytest.raises(WeightMapError) as error:
        planned(before, made({"*.weight": parity.tied("tokens.weight")}), {})
    assert error.value.problems == (
        "reference `embed.weight` is tied to `tokens.weight`, which the reference does not have",
        "reference `head.weight` is tied to `tokens.weight`, which the reference does not have",
    )


def test_rule_for_the_other_name_of_a_tie() -> None:
    """A rule for the second name of a tied tensor is no rule for nothing: untied, it would be needed."""
    before = {"embed.weight": array((5, 2))}
    rules = made({"embed.weight": parity.copy("table"), "head.weight": parity.transpose("head")})
    transfer = planned(before, rules, {"table": (5, 2)}, ties={"head.weight": "embed.weight"})
    assert transfer.ties == {"head.weight": "embed.weight"}


def test_everything_wrong_is_said_at_once() -> None:
    """A plan is refused as a whole: one message names every problem that it has."""
    reference = {
        "ruleless": Leaf((2,), "float32"),
        "double.weight": Leaf((2,), "float32"),
        "shaped": Leaf((2, 3), "float32"),
        "halved": Leaf((2,), "float32"),
        "lost": Leaf((2,), "float32"),
        "first": Leaf((2,), "float32"),
        "second": Leaf((2,), "float32"),
        "fused": Leaf((5, 2), "float32"),
        "flat": Leaf((5,), "float32"),
        "odd": Leaf((5,), "float32"),
    }
    port = {
        "double": Leaf((2,), "float32"),
        "shaped": Leaf((2, 3), "float32"),
        "halved": Leaf((2,), "float16"),
        "both": Leaf((2,), "float32"),
        "q": Leaf((2, 2), "float32"),
        "k": Leaf((2, 2), "float32"),
        "flat": Leaf((5, 1), "float32"),
        "odd": Leaf((5,), "float32"),
        "unwritten": Leaf((7,), "float32"),
    }
    rules = made(
        {
            "double.weight": parity.copy("double"),
            "*.weight": parity.copy("*"),
            "shaped": parity.transpose("shaped"),
            "halved": parity.copy("halved"),
            "lost": parity.copy("nowhere"),
            "first": parity.copy("both"),
            "second": parity.copy("both"),
            "fused": parity.split("q", "k", sizes=(2, 2)),
            "flat": parity.transpose("flat"),
            "odd": parity.reshape("odd", (2, -1)),
            "ghost": parity.copy("ghost"),
        }
    )
    with pytest.raises(WeightMapError) as error:
        plan("toy/all", reference=reference, port=port, rules=rules)
    assert error.value.subject == "toy/all"
    assert str(error.value).splitlines() == [
        "toy/all: the weight map is not one-to-one:",
        "  reference `ruleless` (2,) has no rule",
        "  reference `double.weight` matches more than one rule: `double.weight`, `*.weight`",
        "  rule `ghost` names nothing the reference has",
        "  port `shaped` (2, 3) would get (3, 2) from reference `shaped`",
        "  port `halved` is float16, reference `halved` float32: a transfer never casts",
        "  reference `fused` (5, 2) splits into (2, 2) along axis 0",
        "  reference `flat` (5,) can't follow its rule: axes don't match array",
        "  reference `odd` (5,) can't follow its rule: cannot reshape array of size 5 into shape (2,newaxis)",
        "  reference `lost` goes to `nowhere`, which the port does not have",
        "  port `both` is written twice: by `first` and `second`",
        "  port `double` (2,) is never written",
        "  port `unwritten` (7,) is never written",
    ]


def test_stack_of_unlike_tensors_is_refused() -> None:
    """Tensors of unlike shapes or dtypes can't be stacked: neither is padded, neither is cast."""
    rules = made({"h.*.w": parity.stack("w")})
    with pytest.raises(
        WeightMapError, match=r"reference `h\.0\.w` \(2,\) can't follow its rule: all input arrays must"
    ):
        plan(
            "toy",
            reference={"h.0.w": Leaf((2,), "float32"), "h.1.w": Leaf((3,), "float32")},
            port={"w": Leaf((2, 2), "float32")},
            rules=rules,
        )
    with pytest.raises(
        WeightMapError, match=r"port `w` is float32, reference `h\.1\.w` float16: a transfer never casts"
    ):
        plan(
            "toy",
            reference={"h.0.w": Leaf((2,), "float32"), "h.1.w": Leaf((2,), "float16")},
            port={"w": Leaf((2, 2), "float32")},
            rules=rules,
        )


@pytest.mark.parametrize("wrong", [(3, 3), (2, 2, 1), (-1, 6), (5,)], ids=str)
def test_split_into_sizes_that_do_not_fit(wrong: tuple[int, ...]) -> None:
    """Sizes that don't add up, or aren't sizes, are refused."""
    names = [f"to{number}" for number in range(len(wrong))]
    port = {name: (abs(size), 2) for name, size in zip(names, wrong, strict=True)}
    if sum(wrong) == 5 and min(wrong) > 0:
        planned({"fused": array((5, 2))}, made({"fused": parity.split(*names, sizes=wrong)}), port)
        return
    with pytest.raises(WeightMapError, match="fused"):
        planned({"fused": array((5, 2))}, made({"fused": parity.split(*names, sizes=wrong)}), port)


def test_split_into_too_few_names() -> None:
    """As many leaves as sizes, or the plan is refused like any other."""
    with pytest.raises(WeightMapError) as error:
        planned({"fused": array((5, 2))}, made({"fused": parity.split("q", sizes=(3, 2))}), {"q": (3, 2)})
    assert error.value.problems[0] == "reference `fused` splits into 2 leaves, and its rule names 1"


LAYERS: dict[str, tuple[Any, Any, dict[str, Any], tuple[int, ...]]] = {
    "linear": (lambda: nn.Linear(4, 4), nnx.Linear, {"in_features": 4, "out_features": 4}, (3, 4)),
    "linear_without_bias": (
        lambda: nn.Linear(4, 4, bias=False),
        nnx.Linear,
        {"in_features": 4, "out_features": 4, "use_bias": False},
        (3, 4),
    ),
    "table": (lambda: nn.Embedding(4, 4), nnx.Embed, {"num_embeddings": 4, "features": 4}, (2, 3)),
    "layer_norm": (lambda: nn.LayerNorm(4), nnx.LayerNorm, {"num_features": 4, "epsilon": 1e-5}, (3, 4)),
    "group_norm": (
        lambda: nn.GroupNorm(2, 4),
        nnx.GroupNorm,
        {"num_features": 4, "num_groups": 2, "epsilon": 1e-5},
        (2, 4, 5),
    ),
    "root_norm": (lambda: nn.RMSNorm(4, eps=1e-5), nnx.RMSNorm, {"num_features": 4, "epsilon": 1e-5}, (3, 4)),
    "conv1d": (
        lambda: nn.Conv1d(4, 4, 4),
        nnx.Conv,
        {"in_features": 4, "out_features": 4, "kernel_size": (4,), "padding": "VALID"},
        (2, 4, 7),
    ),
    "conv2d": (
        lambda: nn.Conv2d(4, 4, (4, 4)),
        nnx.Conv,
        {"in_features": 4, "out_features": 4, "kernel_size": (4, 4), "padding": "VALID"},
        (2, 4, 6, 7),
    ),
}


@pytest.mark.parametrize("layer", LAYERS)
def test_built_in_rules_make_the_same_layer(layer: str) -> None:
    """By type, never by shape: with every axis as long as the next, Flax's own layer computes what torch's does."""
    make, flax_layer, options, shape = LAYERS[layer]
    module = make()
    reference = of(module, dtype="float32")
    rng = np.random.default_rng(0)
    parameters = {name: rng.standard_normal(leaf.shape).astype(np.float32) for name, leaf in reference.leaves.items()}
    reference.fill(parameters)
    port = port_of(lambda: flax_layer(**options, rngs=nnx.Rngs(0)), dtype="float32", subject="toy")
    transfer = plan("toy", reference=reference.leaves, port=port.leaves, rules=made({}), types=reference.types)
    moved = there(transfer, parameters)
    x = rng.integers(0, 4, shape) if layer == "table" else rng.standard_normal(shape).astype(np.float32)
    theirs = reference.run({argument(module.forward): x})["output"]
    last = x if x.ndim == 2 else np.moveaxis(x, 1, -1)  # torch has channels second, Flax last
    inputs = {argument(flax_layer.__call__): jnp.asarray(last)}
    ours = np.asarray(port.call([jnp.asarray(moved[path]) for path in port.leaves], inputs))
    ours = ours if x.ndim == 2 else np.moveaxis(ours, -1, 1)
    assert np.allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def argument(call: Any) -> str:
    """Return the name of a layer's first argument."""
    return next(name for name in inspect.signature(call).parameters if name != "self")


def test_built_in_rules_go_by_exact_type() -> None:
    """A subclass may compute something else, and gets no rule."""

    class Linear(nn.Linear):
        """Looks like one, and may not be one."""

    reference = of(Linear(2, 2, bias=False), dtype="float32")
    with pytest.raises(WeightMapError, match=r"reference `weight` \(2, 2\) has no rule"):
        plan("toy", reference=reference.leaves, port={}, rules=made({}), types=reference.types)


def test_explicit_rules_go_before_built_in_ones() -> None:
    """A case that says how its kernel goes is believed."""
    reference = of(nn.Linear(2, 2, bias=False), dtype="float32")
    port = {"w": Leaf((2, 2), "float32")}
    transfer = plan(
        "toy", reference=reference.leaves, port=port, rules=made({"weight": parity.copy("w")}), types=reference.types
    )
    assert [move.targets for move in transfer.moves] == [("w",)]


def test_ties_of_a_module_are_moved_once() -> None:
    """Two layers that share a tensor: it goes to the first one's place, and the second is a tie."""
    module = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
    module[1].weight = module[0].weight
    reference = of(module, dtype="float32")
    assert reference.ties == {"1.weight": "0.weight"}
    port = {"0.kernel": Leaf((3, 3), "float32")}
    transfer = plan(
        "toy", reference=reference.leaves, port=port, rules=made({}), types=reference.types, ties=reference.ties
    )
    assert transfer.ties == {"1.weight": "0.weight"}
    assert [move.sources for move in transfer.moves] == [("0.weight",)]


def test_at_says_where_the_port_has_it() -> None:
    """Built-in rules follow renamed paths, wildcards and what lies below included; the most specific name wins."""
    at = {"h": "layers", "h.*.ff": "layers.*.mlp", "h.*.ff.c_fc": "layers.*.mlp.up", "wte": "embed"}
    assert port_path("h.3.ff.c_fc", at) == "layers.3.mlp.up"
    assert port_path("h.3.ff.c_proj.lora", at) == "layers.3.mlp.c_proj.lora"
    assert port_path("h.3.ln", at) == "layers.3.ln"
    assert port_path("wte", at) == "embed"
    assert port_path("wtext", at) == "wtext"
    assert port_path("", at) == ""
    types = {f"h.{number}.ff.c_fc": "torch.nn.modules.linear.Linear" for number in (0, 1)}
    before = {f"h.{number}.ff.c_fc.weight": array((2, 3), seed=number) for number in (0, 1)}
    port = {f"layers.{number}.mlp.up.kernel": (3, 2) for number in (0, 1)}
    moved = there(planned(before, made({}), port, types=types, at=at), before)
    assert np.array_equal(moved["layers.1.mlp.up.kernel"], before["h.1.ff.c_fc.weight"].T, equal_nan=True)


def part(name: str, weights: Rules, **parts: Any) -> parity.Case:
    """Return a case that is nothing but its weight rules."""
    return parity.Case(
        name=name,
        reference=lambda config: None,
        port=lambda config, dtype, rngs: None,
        configs=st.just({}),
        inputs=lambda config, form: st.just({}),
        weights=weights,
        **parts,
    )


def test_rules_of_parts_stand_under_their_paths(tmp_path: Any) -> None:
    """A part's rules, ties and renamed paths hold wherever it stands, wildcards and parts of parts included."""
    norm = part("toy/norm", made({"weight": parity.copy("scale")}))
    ends = part(
        "toy/ends",
        made({"a": parity.copy("x"), "b": parity.tied("a"), "c": parity.absent("unused")}),
        at={"inner": "within"},
    )
    layer = part("toy/layer", made({}), parts={"ln": "toy/norm", "ends": "toy/ends"}, at={"ends": "tips"})
    stack = part("toy/stack", made({"h.*.own": parity.copy("layers.*.own")}), parts={"h.*": "toy/layer"})
    whole = part("toy/whole", made({}), parts={"body": "toy/stack", "none": "toy/missing"}, at={"body.h.*": "b.l.*"})
    cases = {case.name: case for case in (norm, ends, layer, stack, whole)}
    registry = Registry(tmp_path, cases, {}, {})
    table = registry.rules(stack, {}).table
    assert {pattern: rule.targets for pattern, rule in table.items()} == {
        "h.*.ln.weight": ("h.*.ln.scale",),
        "h.*.ends.a": ("h.*.tips.x",),
        "h.*.ends.b": ("h.*.ends.a",),  # a tie stays on the reference's side
        "h.*.ends.c": (),
        "h.*.own": ("layers.*.own",),
    }
    assert registry.at(stack) == {"h.*.ends.inner": "h.*.tips.within", "h.*.ends": "h.*.tips"}
    assert registry.at(whole)["body.h.*.ends.inner"] == "body.h.*.tips.within"
    before = {f"h.{number}.ln.weight": array((2,), seed=number) for number in (0, 1)}
    before |= {f"h.{number}.ends.{name}": array((2,)) for number in (0, 1) for name in "abc"}
    before |= {f"h.{number}.own": array((2,)) for number in (0, 1)}
    port = {f"h.{number}.{name}": (2,) for number in (0, 1) for name in ("ln.scale", "tips.x")}
    port |= {f"layers.{number}.own": (2,) for number in (0, 1)}
    transfer = planned(before, registry.rules(stack, {}), port, at=registry.at(stack))
    assert transfer.ties == {f"h.{number}.ends.b": f"h.{number}.ends.a" for number in (0, 1)}
    assert there(transfer, before)["h.1.ln.scale"] is before["h.1.ln.weight"]


def test_a_part_without_weights_of_the_reference_asks_for_nothing() -> None:
    """Rules are merged with `|`: the right-hand one wins, as a fault of the transfer needs it."""
    rules = made({"a": parity.copy("x")}) | made({"a": parity.copy("y"), "b": parity.copy("z")})
    assert {pattern: rule.targets for pattern, rule in rules.table.items()} == {"a": ("y",), "b": ("z",)}


@pytest.mark.parametrize("dtype", DTYPES)
def test_never_casts(dtype: str) -> None:
    """A leaf of any other dtype is refused, also where no bit would be lost."""
    for other in DTYPES:
        transfer = {
            "reference": {"w": Leaf((2,), dtype)},
            "port": {"w": Leaf((2,), other)},
            "rules": made({"w": parity.copy("w")}),
        }
        if other == dtype:
            plan("toy", **transfer)
            continue
        with pytest.raises(WeightMapError) as error:
            plan("toy", **transfer)
        assert error.value.problems == (f"port `w` is {other}, reference `w` {dtype}: a transfer never casts",)


def test_leaves_of_torch_and_flax_name_their_dtypes_alike() -> None:
    """Both sides write 'bfloat16', so that names can be compared."""
    reference = of(nn.Linear(2, 2, dtype=torch.bfloat16), dtype="bfloat16")
    assert reference.leaves["weight"] == Leaf((2, 2), jnp.dtype(jnp.bfloat16).name)
    assert str(reference.leaves["weight"]) == "(2, 2) bfloat16"
