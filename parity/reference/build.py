"""A reference module: built once per configuration, filled and run many times, always as if it were fresh."""

import contextlib
import dataclasses
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from parity import values
from parity.case import Case, Example, Json
from parity.errors import ParityError
from parity.held import Held
from parity.ideal.rounding import Rounding
from parity.ideal.torch_float64 import float64
from parity.ideal.torch_rounded import rounded
from parity.weights import Leaf

Array = npt.NDArray[Any]
Outputs = dict[str, Array]


@dataclasses.dataclass(frozen=True)
class Reference:
    """A torch module, or a function, with what it was when fresh.

    Attributes:
        call: the module or function.
        dtype: what it was built in; 'float64' is exact: float64 throughout, constants and upcasts included;
            'rounded:bfloat16' (or float16) is the ideal machine of that dtype, whose float32 is float64.
        parameters: the module's parameters by name, a tied one once.
        ties: a tied parameter's other name -> its name in `parameters`.
        types: module path -> qualified type name.
        fresh: what restores buffers and plain attributes: a module may keep state between calls (dynamic rope does).
        ignores: outputs that are not compared.
        held: an argument that is given as what it holds, and whose outputs say what it holds afterwards.
    """

    call: Callable[..., Any]
    dtype: str
    parameters: Mapping[str, nn.Parameter]
    ties: Mapping[str, str]
    types: Mapping[str, str]
    fresh: tuple[tuple[nn.Module, dict[str, Any], dict[str, torch.Tensor]], ...]
    ignores: frozenset[str] = frozenset()
    held: Held | None = None

    @property
    def leaves(self) -> dict[str, Leaf]:
        """Parameter shapes and dtypes by name."""
        return {name: Leaf(tuple(p.shape), str(p.dtype).removeprefix("torch.")) for name, p in self.parameters.items()}

    def fill(self, arrays: Mapping[str, Array]) -> None:
        """Set every parameter, in place of what it held, at the array's own dtype; memory may be shared."""
        for name, parameter in self.parameters.items():
            parameter.data = tensor(arrays[name])

    def run(self, inputs: Mapping[str, Any]) -> Outputs:
        """Call with keyword inputs (arrays, scalars, tuples of them); the outputs by name.

        A lone output is 'output'; a tuple's are '0', '1'; a dictionary's go by key, nested ones joined by dots.
        None is left out.
        """
        with arithmetic(_while_running(self.dtype)):
            return self.call_named(inputs)

    def roundings(self, inputs: Mapping[str, Any]) -> list[Rounding]:
        """Run a reference of the ideal half-precision machine, and list what it rounds, in order."""
        record: list[Rounding] = []
        with rounded("float32", record=record):
            self.call_named(inputs)
        return record

    def call_named(self, inputs: Mapping[str, Any]) -> Outputs:
        """`run`, in whatever arithmetic is in force."""
        self.restore()
        with torch.no_grad():
            given = {name: tensors_of(tree) for name, tree in inputs.items()}
            if self.held is None or self.held.argument not in given:
                return {name: array(y) for name, y in leaves_of(self.call(**given), self.ignores)}
            holder = self.held.make(self.call, given[self.held.argument])
            outputs = self.call(**{**given, self.held.argument: holder})
            named = {name: array(y) for name, y in leaves_of(outputs, self.ignores)}
            return named | held_after(self.held, self.call, holder)

    def restore(self) -> None:
        """Set buffers and plain attributes to what they were when it was fresh."""
        for module, attributes, buffers in self.fresh:
            module.__dict__.update(attributes)
            for name, buffer in buffers.items():
                module._buffers[name] = buffer.clone()


def build(case: Case, config: Json, *, dtype: str = "float32") -> Reference:
    """Build the case's reference for a configuration, in evaluation mode, as `from_pretrained(dtype=...)` would."""
    with arithmetic(dtype), quiet():
        return of(case.reference(config), dtype=dtype, ignores=case.ignores, held=case.held)


def of(call: Callable[..., Any], *, dtype: str, ignores: Iterable[str] = (), held: Held | None = None) -> Reference:
    """A reference from a module (or function) that is there already."""
    if not isinstance(call, nn.Module):
        return Reference(call, dtype, {}, {}, {}, (), frozenset(ignores), held)
    call.eval()
    first = {id(parameter): name for name, parameter in call.named_parameters()}
    every = call.named_parameters(remove_duplicate=False)
    return Reference(
        call=call,
        dtype=dtype,
        parameters=dict(call.named_parameters()),
        ties={name: first[id(p)] for name, p in every if first[id(p)] != name},
        types={path: f"{type(m).__module__}.{type(m).__qualname__}" for path, m in call.named_modules()},
        fresh=tuple(_snapshot(module) for module in call.modules()),
        ignores=frozenset(ignores),
        held=held,
    )


def jittered(case: Case, example: Example, parameters: Mapping[str, Array], *, dtype: str, seed: int) -> Outputs:
    """Build and run the reference in float64 with every operation rounded at random, as coarsely as `dtype` is."""
    with jitter(case, example, parameters, dtype=dtype, seed=seed) as (module, inputs):
        return module.call_named(inputs)


@contextlib.contextmanager
def jitter(
    case: Case, example: Example, parameters: Mapping[str, Array], *, dtype: str, seed: int
) -> Iterator[tuple[Reference, dict[str, Any]]]:
    """The reference built and filled in randomly rounded float64, with an example's inputs; run it inside."""
    with float64(jitter=float(torch.finfo(getattr(torch, dtype)).eps) / 2, seed=seed), quiet():
        module = of(case.reference(example.config), dtype="float64", ignores=case.ignores)
        module.fill({name: x.astype(np.float64) for name, x in parameters.items()})
        yield module, {name: values.arrays(tree, np.float64) for name, tree in example.inputs.items()}


@contextlib.contextmanager
def arithmetic(dtype: str) -> Iterator[None]:
    """The arithmetic that a dtype stands for: an ideal machine's, or torch's own with that default dtype."""
    if dtype == "float64" or dtype.startswith("rounded:"):
        with float64() if dtype == "float64" else rounded(dtype.removeprefix("rounded:")):
            yield
        return
    before = torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, dtype))
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _while_running(dtype: str) -> str:
    """The arithmetic to run in: `from_pretrained` sets a half-precision default dtype only while it builds."""
    machine, _, working = dtype.rpartition(":")
    return f"{machine}:float32".removeprefix(":") if working in ("bfloat16", "float16") else dtype


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No warnings about odd configurations and inputs: what is drawn is odd on purpose."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """One torch thread for tiny tensors: two cost 70 times as much on a small decoder block."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def tensors_of(tree: Any) -> Any:
    """A tree of arrays as tensors."""
    if isinstance(tree, tuple):
        return tuple(tensors_of(branch) for branch in cast(tuple[Any, ...], tree))
    return tensor(cast(Array, tree)) if isinstance(tree, np.ndarray) else tree


def tensor(x: Array) -> torch.Tensor:
    """An array as a tensor; bfloat16 by its bits, since torch does not read NumPy's."""
    x = np.ascontiguousarray(x).reshape(x.shape)
    if not x.flags.writeable:
        x = x.copy()
    if x.dtype.name == "bfloat16":
        return torch.from_numpy(x.view(np.uint16)).view(torch.bfloat16)
    return torch.from_numpy(x)


def array(t: torch.Tensor) -> Array:
    """A tensor as an array; bfloat16 as ml_dtypes' bfloat16."""
    t = t.detach()
    if t.dtype == torch.bfloat16:
        import ml_dtypes

        return t.contiguous().view(torch.uint16).numpy().view(ml_dtypes.bfloat16)
    return t.numpy()


def _snapshot(module: nn.Module) -> tuple[nn.Module, dict[str, Any], dict[str, torch.Tensor]]:
    plain = {
        name: value
        for name, value in module.__dict__.items()
        if isinstance(value, bool | int | float | str | torch.Tensor | None)
    }
    buffers = {name: buffer.clone() for name, buffer in module._buffers.items() if buffer is not None}
    return module, plain, buffers


def held_after(held: Held, module: Any, holder: Any) -> Outputs:
    """What an argument holds after a call, as outputs under the argument's name."""
    after = {held.argument: held.read(module, holder, {})}
    return {name: array(x).copy() for name, x in leaves_of(after, frozenset())}


def leaves_of(outputs: Any, ignores: frozenset[str], path: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """A module's outputs by name, one tensor each; raises ParityError for what is no tensor."""
    if outputs is None or path in ignores:
        return
    if isinstance(outputs, torch.Tensor):
        yield path or "output", outputs
    elif isinstance(outputs, Mapping | list | tuple):
        fields = cast(Any, outputs.items() if isinstance(outputs, Mapping) else enumerate(outputs))
        for step, value in fields:
            yield from leaves_of(value, ignores, f"{path}.{step}" if path else str(step))
    else:
        raise ParityError(
            f"the reference returned a {type(outputs).__name__} at `{path}`: only tensors can be compared"
        )
