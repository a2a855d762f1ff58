"""`parity locate`: a stack of tiny layers with a fault at one place, walked forward and back."""

# Torch, jax and flax leave most of what is used here untyped.
# pyright: basic

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from parity.case import Example, Variant
from parity.errors import BadInput
from parity.located import Culprit, Located, Operation, Place
from parity.locating import drawn, repairs
from parity.locating.backward import pulled
from parity.locating.match import Sketch
from parity.locating.numbers import numbers, variants
from parity.locating.run import DTYPES, locate_drawn, report
from parity.locating.walk import Setting, alone, culprits, layer_of, standings
from parity.measure.injected import Clean
from parity.measure.locating import measure
from parity.reference import build, one_thread
from parity.reference.streamed import streamed
from parity.report import locate as rendered
from parity.tests import stack

EXACT = "float64"


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def example() -> Example:
    """The deepest stack."""
    return next(drawn.examples(stack.stack, seed=0, count=1))


def faulty(variant: Variant, path: str, *, dtype: str = EXACT) -> tuple[Setting, Any]:
    """The stack with a fault at one place, and its inputs."""
    clean = Clean.of(stack.workspace(), stack.stack, example(), dtype)
    return clean.with_fault(variant, clean.setting.places[path]), drawn.inputs(clean.example, dtype)


def located(variant: Variant, path: str, *, backward: bool = False) -> Located:
    """The whole report of a stack with a fault at one place."""
    setting, inputs = faulty(variant, path)
    found = (pulled if backward else alone)(setting, inputs)
    return report(setting, inputs, found, stack.workspace().registry.root, backward=backward)


@pytest.mark.parametrize("dtype", DTYPES)
def test_clean(dtype: str) -> None:
    """A right port is never blamed, in any arithmetic, at any depth."""
    found = locate_drawn(stack.workspace(), "toy", dtype=dtype, count=2)
    assert found.culprits == ()
    assert found.exit_status == 0
    assert max(place.layer for place in found.places if place.layer is not None) == 4


def test_order_and_errors() -> None:
    """Places come in order of execution, parts before what they are part of; the free run inherits what came before."""
    found = located(stack.gain.faults["no_factor"], "layers.2.first")
    paths = [place.path for place in found.places if place.status != "bridged"]
    assert paths[:3] == ["layers.0.first", "layers.0", "layers.1.first"]
    assert paths[-3:] == ["layers.4", "last", ""]
    by_path = {place.path: place for place in found.places}
    assert by_path["layers.3"].own_error is not None
    assert by_path["layers.3"].own_error < 1e-14
    assert by_path["layers.3"].inherited is not None
    assert by_path["layers.3"].inherited > 1e-3
    assert by_path["layers.1"].inherited is not None
    assert by_path["layers.1"].inherited < 1e-14
    assert by_path["nothing"].status == "bridged"
    assert by_path["layers.2"].status == "failed"


def test_part() -> None:
    """A fault in one layer's part is that part's, in that layer, with the line and what is missing."""
    (culprit,) = located(stack.gain.faults["no_factor"], "layers.2.first").culprits
    assert (culprit.path, culprit.case) == ("layers.2.first", "toy/gain")
    assert culprit.operation is not None
    assert culprit.operation.reference_source == "return x * self.weight * self.gain"
    assert culprit.operation.port_file == "parity/tests/stack.py"
    assert culprit.cause == (f"consistent with a factor `gain` = {example().config['gain']} missing",)


def test_built_wrong() -> None:
    """A part that is built with a wrong number is told by the field that should give it."""
    (culprit,) = located(stack.gain.faults["other_factor"], "last").culprits
    assert culprit.path == "last"
    assert "where `gain` = " in culprit.cause[0]


def test_glue() -> None:
    """A layer that fails while its parts pass is glue; the line is its own, not its part's."""
    found = located(stack.layer.faults["no_residual"], "layers.3")
    (culprit,) = found.culprits
    assert culprit.path == "layers.3"
    assert culprit.reason.startswith("glue")
    assert culprit.operation is not None
    assert culprit.operation.primitive == "tanh"
    assert culprit.operation.reference_source == "return x + torch.tanh(self.mix(self.first(x)))"


def test_transfer() -> None:
    """A kernel that is not transposed is named as such."""
    (culprit,) = located(stack.layer.faults["kernel_as_it_is"], "layers.1").culprits
    assert culprit.path == "layers.1"
    assert culprit.cause == ("consistent with `mix` not being transposed",)


def test_several() -> None:
    """A fault in every layer is named in every layer."""
    patch = stack.gain.faults["no_factor"].patch
    assert patch is not None
    with patch():
        found = locate_drawn(stack.workspace(), "toy", count=1)
    assert [culprit.path for culprit in found.culprits] == [*(f"layers.{n}.first" for n in range(5)), "last"]
    assert found.exit_status == 1


def test_backward() -> None:
    """A right function with a wrong gradient is found by its cotangents, and only by them."""
    fault = stack.layer.faults["half_a_gradient"]
    assert located(fault, "layers.1").culprits == ()
    (culprit,) = located(fault, "layers.1", backward=True).culprits
    assert culprit.path == "layers.1"


def test_backward_clean() -> None:
    """The gradients of a right port are right, from the last part to the first."""
    found = locate_drawn(stack.workspace(), "toy", backward=True, count=1)
    assert found.culprits == ()
    assert [place.path for place in found.places][:3] == ["", "last", "layers.4"]


def test_rule() -> None:
    """What fails with a part that fails is no culprit, and what fails alone is glue only if it has parts."""
    stand = standings([("", False), ("a", False), ("a.b", False), ("a.c", True), ("d", False), ("d.e", True)])
    assert stand == {"": "failed", "a": "failed", "a.b": "failed", "d": "glue"}
    places = [Place(path=path, status=status) for path, status in stand.items()]
    assert [place.path for place in culprits(places)] == ["a.b", "d"]


def test_layer() -> None:
    """A layer is the first number in a path."""
    assert [layer_of(path) for path in ("model.layers.3.mlp", "model.norm", "")] == [3, None, None]


def test_one_part() -> None:
    """A single case can be walked by its name."""
    assert locate_drawn(stack.workspace(), "layer", count=1).port == "toy"


@pytest.mark.parametrize(
    ("options", "said"), [({"dtype": "int8"}, "--dtype int8"), ({"backward": True, "dtype": "float32"}, "--backward")]
)
def test_refused(options: dict[str, Any], said: str) -> None:
    """An arithmetic that there is not is refused in one line."""
    with pytest.raises(BadInput, match=said):
        locate_drawn(stack.workspace(), "toy", **options)


def test_streamed() -> None:
    """A reference whose parameters come and go computes what one that holds them does."""
    setting = drawn.setting(
        stack.workspace().registry, stack.workspace().tolerances, stack.stack, example(), dtype=EXACT
    )
    assert setting.read is not None
    inputs = drawn.inputs(example(), EXACT)
    lean = streamed(stack.stack, example().config, setting.read, dtype=EXACT)
    assert all(parameter.device.type == "meta" for parameter in lean.call.parameters())
    assert np.array_equal(lean.run(inputs)["output"], setting.reference.run(inputs)["output"])
    assert all(parameter.device.type == "meta" for parameter in lean.call.parameters())
    assert all(p.device.type == "cpu" for p in build(stack.stack, example().config).call.parameters())


def test_sketch() -> None:
    """Values are equal in any order of axes, but not reshaped, permuted or off by 1e-9; a mask hides nothing."""
    x = np.random.default_rng(0).standard_normal((2, 3, 4))
    assert Sketch.of(x).equals(Sketch.of(x.transpose(2, 0, 1)[None]))
    assert not Sketch.of(x).equals(Sketch.of(x.reshape(4, 3, 2)))
    assert not Sketch.of(x).equals(Sketch.of(x[:, ::-1]))
    assert not Sketch.of(x).equals(Sketch.of(x * (1 + 1e-9)))
    masked, scaled = x.copy(), 2 * x
    masked[0, 0, 0] = scaled[0, 0, 0] = np.finfo(np.float64).min
    assert not Sketch.of(masked).equals(Sketch.of(scaled))


def test_measured() -> None:
    """Every fault of the stack is located to its part and layer, and its equivalent blames nothing."""
    found = measure(stack.workspace(), "toy")
    assert {trial.outcome for trial in found.trials} == {"right", "clean"}
    assert found.share == 1.0
    assert found.exit_status == 0


def test_rendered() -> None:
    """The report says who, why, where in both sources and what it is consistent with, in 80 columns, without colour."""
    operation = Operation(
        primitive="mul",
        port_file="cases/x/port/norm.py",
        port_line=3,
        port_source="y = x * 2",
        reference_file="a/b.py",
        reference_line=7,
        reference_source="y = x * 3",
        error=0.5,
    )
    places = [
        Place(path=f"layers.{n}", case="x/layer", layer=n, own=0.1, own_error=1e-15, inherited=1e-9) for n in range(30)
    ]
    places[17] = places[17].model_copy(update={"status": "failed", "own_error": 0.5, "own": 5e9})
    culprit = Culprit(
        path="layers.17", case="x/layer", reason="fails", operation=operation, cause=("consistent with 2",)
    )
    text = rendered.render(Located(port="x", places=tuple(places), culprits=(culprit,), not_checked=("a thing",)))
    assert max(len(line) for line in text.splitlines()) <= 80
    for said in ("they part at 1 place", "layers.17, x/layer", "norm.py:3", "a/b.py:7", "consistent with 2", "a thing"):
        assert said in text
    assert "x layers.17" in text
    clean = rendered.render(Located(port="x", places=tuple(places[:3])))
    assert clean.startswith("x: no divergence found")


def test_json() -> None:
    """The model survives JSON, its schema under that very name."""
    found = Located(port="x", places=(Place(path="a", own=float("inf")),))
    text = found.model_dump_json(by_alias=True)
    assert json.loads(text)["schema"] == 1
    assert Located.model_validate_json(text) == found


def test_heads() -> None:
    """Groups that are tiled and those that are repeated are told apart, and each is put in the other's order."""
    groups = np.random.default_rng(0).standard_normal((1, 2, 3))
    tiled, repeated = np.tile(groups, (1, 3, 1)), np.repeat(groups, 3, axis=1)
    assert repairs._grouped(tiled, repairs._tiled) == (1, 2)
    assert repairs._grouped(repeated, repairs._repeated) == (1, 2)
    assert repairs._grouped(repeated, repairs._tiled) is None
    assert np.array_equal(np.take(tiled, repairs._repeat(6, 2), 1), repeated)
    assert np.array_equal(np.take(repeated, repairs._tile(6, 2), 1), tiled)


def test_misread_configurations() -> None:
    """A field is left out, or read as something else; nested ones too, and the configuration itself stays as it is."""
    config = {"eps": 1e-5, "act": "gelu", "rope": {"theta": 500.0}}
    made = {said: changed for _, said, changed in variants(config)}
    assert made["`eps` taken as 1e-06 instead of 1e-05"]["eps"] == 1e-6
    assert made["`act` taken as 'gelu_pytorch_tanh' instead of 'gelu'"]["act"] == "gelu_pytorch_tanh"
    assert made["`rope.theta` ignored (its default instead of 500.0)"]["rope"] == {}
    assert "rope" not in made["`rope` ignored"]
    assert config == {"eps": 1e-5, "act": "gelu", "rope": {"theta": 500.0}}


def test_labels_of_a_configuration() -> None:
    """A table from numbers to labels has no fields: nothing of it is misread, and nothing breaks."""
    config = {"eps": 1e-5, "id2label": {0: "no", 1: 2.0}}
    assert numbers(config) == {"eps": 1e-5}
    assert [path for path, _, _ in variants(config) if path.startswith("id2label.")] == []


def test_injected() -> None:
    """A declared fault is injected at the place that is named, in drawn examples too, and the report says so."""
    found = locate_drawn(stack.workspace(), "toy", count=1, fault="no_factor@layers.3.first")
    assert [culprit.path for culprit in found.culprits] == ["layers.3.first"]
    assert found.inputs.endswith("with the fault no_factor@layers.3.first")


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("no_factor", "say NAME@PATH"),
        ("no_factor@layers.9.first", "no case answers for a place `layers.9.first`"),
        ("odd@last", "no case declares it; toy/gain has no_factor, other_factor"),
        ("layer:no_factor@last", "no case declares it"),
    ],
)
def test_injected_nowhere(fault: str, said: str) -> None:
    """A fault or a place that there is not is one line."""
    with pytest.raises(BadInput, match=said):
        locate_drawn(stack.workspace(), "toy", count=1, fault=fault)


def test_backward_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part with more parameters than are differentiated at once is said to be left out, and why."""
    monkeypatch.setattr("parity.locating.backward.LARGE", 8)
    found = locate_drawn(stack.workspace(), "toy", backward=True, count=1)
    assert not {"", "layers.3"} & {place.path for place in found.places}
    assert {"last", "layers.3.first"} <= {place.path for place in found.places}
    assert [note for note in found.not_checked if note.startswith("`layers.3`: 0 million parameters")]
