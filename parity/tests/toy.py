"""A port of two layers in a folder of its own, for tests of what surrounds the checks."""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

TOLERANCES = """\
defaults:
  exact: {rtol: 1.0e-10}
  rounded: {differ: 0.001}
  float32: {ratio: 4}
  gradient: {rtol: 1.0e-10, ratio: 4}
  bfloat16: {ratio: 4}
  transforms: {rtol: 1.0e-10}
layers: {}
"""
# Every check that runs without being asked for by name.
CHECKS = (
    *("transfer", "structure", "exact", "gradient", "rounded:bfloat16", "rounded:float16"),
    *("float32", "bfloat16", "transforms"),
)
PORT = """\
import jax.numpy as jnp
from flax import nnx


class Scale(nnx.Module):
    def __init__(self, size, dtype, rngs):
        self.scale = nnx.Param(jnp.ones(size, dtype))

    def __call__(self, x):
        return x * self.scale


class Pair(nnx.Module):
    def __init__(self, size, dtype, rngs):
        self.a = Scale(size, dtype, rngs)
        self.b = Scale(size, dtype, rngs)

    def __call__(self, x):
        return self.b(self.a(x))
"""
SCALE = """\
import torch
from hypothesis import strategies as st

import parity
from cases.toy.port import Scale
from parity import draw


class Reference(torch.nn.Module):
    def __init__(self, size):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(size))

    def forward(self, x):
        return x * self.weight


configs = st.fixed_dictionaries({"size": draw.one_of(2, 3)})


def inputs(config, form):
    return st.fixed_dictionaries({"x": draw.floats((2, config["size"]))})


rows = parity.Law(twin=lambda call: parity.permuted(call, {"x": 0}, {"*": 0}), why="each row is scaled alone")

scale = parity.Case(
    name="toy/scale",
    reference=lambda config: Reference(config["size"]),
    port=lambda config, dtype, rngs: Scale(config["size"], dtype, rngs),
    configs=configs,
    inputs=inputs,
    weights=parity.rules({"weight": parity.copy("scale")}),
    faults={"adds": parity.edit(Scale.__call__, ("x * ", "x + "))},
    equivalents={"swaps": parity.same(Scale.__call__, ("x * self.scale", "self.scale * x"), why="a b = b a")},
    batch={"x": 0},
    laws={"rows": rows},
    pool=2,
)
"""
PAIR = """\
import torch

import parity
from cases.toy import case_scale
from cases.toy.port import Pair


class Reference(torch.nn.Module):
    def __init__(self, size):
        super().__init__()
        self.a, self.b = case_scale.Reference(size), case_scale.Reference(size)

    def forward(self, x):
        return self.b(self.a(x))


pair = parity.Case(
    name="toy/pair",
    reference=lambda config: Reference(config["size"]),
    port=lambda config, dtype, rngs: Pair(config["size"], dtype, rngs),
    configs=case_scale.configs,
    inputs=case_scale.inputs,
    parts={"a": "toy/scale", "b": "toy/scale"},
    batch={"x": 0},
    laws={"rows": case_scale.rows},
    skips={"structure": "one check is enough here"},
    pool=2,
)
"""
SUITE = """\
import parity

suite = parity.Suite(
    name="toy", references=(), whole="toy/pair", config=dict, architectures=("toy",), refuses={"bias": "it has none"}
)
"""
WRONG = ("return x * self.scale", "return x * self.scale + 1e-3")


def write(root: Path, *, wrong: bool = False, broken: bool = False) -> Path:
    """A root with the toy port: as it should be, with a wrong layer, or with a case file that raises on line 3."""
    folder = root / "cases" / "toy"
    folder.mkdir(parents=True)
    (root / "tolerances.yaml").write_text(TOLERANCES)
    (root / "pytest.ini").write_text("[pytest]\ntestpaths = cases\n")
    port = PORT.replace(*WRONG) if wrong else PORT
    files = {"port.py": port, "case_scale.py": SCALE, "case_pair.py": PAIR, "suite.py": SUITE}
    if broken:
        files["case_raises.py"] = "import parity\n\nparity.nothing\n"
    (root / "cases" / "__init__.py").touch()  # else another root's package `cases` on the path would come first
    (folder / "__init__.py").touch()
    for name, text in files.items():
        (folder / name).write_text(text)
    return root


@contextmanager
def imports() -> Generator[None]:
    """Cases imported inside are forgotten afterwards: each root has a package `cases` of its own."""
    path, others = list(sys.path), _forget()
    try:
        yield
    finally:
        _forget()
        sys.path[:] = path
        sys.modules.update(others)


def _forget() -> dict[str, ModuleType]:
    names = [name for name in sys.modules if name.partition(".")[0] == "cases"]
    return {name: sys.modules.pop(name) for name in names}
