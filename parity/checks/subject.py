"""A case under test: both sides built once per configuration, traced or compiled once per form, run many times."""

import contextlib
import json
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from types import CodeType
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from parity import draw, values
from parity.case import Case, Example, Json, Variant
from parity.checks.kept import KeptOutputs, Outputs, keep
from parity.checks.kept import key_of as key_of
from parity.checks.kept import shapes as shapes
from parity.ideal.rounding import Rounding
from parity.port import Followed, Port, Traced, apart, compiled, form, ran, traced
from parity.port import build as build_port
from parity.reference import Reference, jittered, parameters
from parity.reference import build as build_reference
from parity.registry import Registry
from parity.weights import Plan, plan

Array = npt.NDArray[Any]
T = TypeVar("T")
NOTED = "float64"  # what code building a port runs is seen in this dtype, and counts for all


class Subject:
    """One case, as written or with a variant of its port, and whatever was already built for it.

    A variant's subject shares the reference side with the clean one. Nothing outlives the process, and a port shares
    nothing with its variants.
    """

    def __init__(
        self, registry: Registry, case: Case, *, variant: Variant | None = None, clean: "Subject | None" = None
    ) -> None:
        self.registry = registry
        self.case = case
        self.variant = variant
        self._port: OrderedDict[Any, Any] = OrderedDict()
        self._clean = clean if variant and clean and clean.case is case else None
        self._reference: OrderedDict[Any, Any] = clean._reference if clean else OrderedDict()
        self._outputs: KeptOutputs = clean._outputs if clean else KeptOutputs()
        self._drawn: dict[Any, list[Example]] = clean._drawn if clean else {}
        self._inputs: tuple[Example | None, dict[str, dict[str, Any]]] = None, {}  # of the last example, by dtype
        self._parameters: tuple[Example, dict[str, npt.NDArray[np.float32]]] | None = None  # of the last example

    @contextlib.contextmanager
    def patched(self) -> Iterator[None]:
        """The context in which the port is what this subject says it is."""
        if not self.variant or not self.variant.patch:
            yield
            return
        if self._clean and self.variant.touches:
            self._clean._note()
        with self.variant.patch(), apart():
            yield

    def drawn(self, setup: tuple[Json, Json], *, examples: int, seed: int) -> list[Example]:
        """Examples of one configuration and form, drawn once for all the checks that ask for the same ones."""
        key = (key_of(setup[0]), key_of(setup[1]), examples, seed)
        if key not in self._drawn:
            self._drawn[key] = draw.some(self.case, setup, number=examples, seed=seed)
        return self._drawn[key]

    def plan(self, config: Json, dtype: str = "float32") -> Plan:
        """The weight plan, from shapes alone, with both sides in one dtype; raises WeightMapError.

        A plan is the same in every dtype, so the first one made for a configuration serves all.
        """

        def make() -> Plan:
            rules = self.registry.rules(self.case, config)
            if self.variant and self.variant.weights:
                rules = self.variant.weights(rules)
            theirs = self._built(config, dtype)
            return plan(
                self.case.name,
                reference=theirs.leaves,
                port=self.port(config, dtype).leaves,
                rules=rules,
                types=theirs.types,
                at=self.registry.at(self.case),
                ties=theirs.ties,
            )

        return keep(self._port, ("plan", key_of(config)), make)

    def port(self, config: Json, dtype: str) -> Port:
        """The abstract port for one configuration and dtype."""
        key = ("port", dtype, key_of(config))
        return keep(self._port, key, lambda: self._untouched(key) or build_port(self.case, config, dtype=dtype))

    def _untouched(self, key: tuple[str, str, str]) -> Port | None:
        """The clean port, if it is there and nothing that this variant changes was run to build it.

        What it runs when it is called is changed then all the same, since an edit exchanges the code of functions.
        """
        known: OrderedDict[Any, Any] = self._clean._port if self._clean else OrderedDict()
        built: Port | None = known.get(key)
        if built is None or self.variant is None or self.variant.patch is None:
            return built
        code: frozenset[CodeType] | None = known.get(("ran", key[2]))
        return built if self.variant.touches and code and code.isdisjoint(self.variant.touches) else None

    def _note(self) -> None:
        """See what code building the port runs, for every configuration that it was built for."""
        for kind, dtype, *rest in list(self._port):
            if (kind, dtype) == ("port", NOTED):
                config = json.loads(rest[0])
                keep(self._port, ("ran", rest[0]), lambda config=config: ran(self.case, config, dtype=NOTED))

    def parameters(self, example: Example, dtype: str = "float32") -> dict[str, npt.NDArray[np.float32]]:
        """The example's parameters by reference name, float32 numbers whatever dtype the module was built in."""
        if not self._parameters or self._parameters[0] is not example:
            self._parameters = example, parameters(self._built(example.config, dtype).leaves, example.weights)
        return self._parameters[1]

    def leaves(self, example: Example, parameters: Mapping[str, Array], dtype: str) -> dict[str, Array]:
        """Parameters transferred to the port's leaves, in the port's order, then widened or narrowed to `dtype`.

        The transfer itself never casts: both sides narrow the same float32 numbers to a half dtype.
        """
        moved = dict(self.plan(example.config, dtype).forward(lambda name: parameters[name]))
        return {path: moved[path].astype(_working(dtype)) for path in self.port(example.config, dtype).leaves}

    def reference_outputs(self, example: Example, dtype: str, parameters: Mapping[str, Array] | None = None) -> Outputs:
        """Run the reference in a dtype; 'float64' is exact, 'rounded:bfloat16' the ideal machine of bfloat16.

        Kept by example, unless parameters are given.
        """
        if parameters is not None:
            return self._run_reference(example, dtype, parameters)
        key = (dtype, example.token)
        return self._outputs.get(key, lambda: self._run_reference(example, dtype, self.parameters(example, dtype)))

    def forget_outputs(self) -> None:
        """Drop the reference's outputs that are kept, for a measurement of what they cost."""
        self._outputs = KeptOutputs()

    def exact_outputs_of(self, example: Example, dtype: str) -> Outputs:
        """Run the reference in exact float64 on parameters and inputs as `dtype` holds them."""

        def make() -> Outputs:
            module = self._built(example.config, "float64")
            module.fill({name: x.astype(dtype).astype(np.float64) for name, x in self.parameters(example).items()})
            return module.run({name: _widened(values.arrays(tree, dtype)) for name, tree in example.inputs.items()})

        return self._outputs.get(("float64 of", dtype, example.token), make)

    def spread(self, example: Example, dtype: str, *, draws: int = 8) -> dict[str, Array]:
        """How far the reference's program strays from exact when each operation is rounded at random to `dtype`.

        Monte Carlo arithmetic: the largest distance over some draws, element by element.
        """
        exact = self.reference_outputs(example, "float64")
        strays: dict[str, Array] = {name: np.zeros_like(y, dtype=np.float64) for name, y in exact.items()}
        for number in range(draws):
            outputs = jittered(self.case, example, self.parameters(example), dtype=dtype, seed=number)
            for name, y in exact.items():
                strays[name] = np.maximum(strays[name], np.abs(outputs[name] - y))
        return strays

    def exact_outputs(self, example: Example, parameters: Mapping[str, Array] | None = None) -> Outputs:
        """Run the port in exact float64, traced once per configuration and form."""
        inputs = self.port_inputs(example, "float64")
        leaves = self.leaves(
            example, self.parameters(example, "float64") if parameters is None else parameters, "float64"
        )
        return self.traced(example, inputs).run(leaves, inputs)

    def follow(self, example: Example) -> Followed:
        """Run the port in exact float64 as `exact_outputs` does, with every value kept: faults are injected into it."""
        inputs = self.port_inputs(example, "float64")
        leaves = self.leaves(example, self.parameters(example, "float64"), "float64")
        return self.traced(example, inputs).follow(leaves, inputs)

    def rounded_outputs(self, example: Example, dtype: str) -> Outputs:
        """Run the port on the ideal machine of a half-precision dtype; its float32 outputs are float64."""
        inputs, machine = self.port_inputs(example, dtype), f"rounded:{dtype}"
        leaves = self.leaves(example, self.parameters(example, machine), machine)
        return self.traced(example, inputs, machine).run(leaves, inputs)

    def roundings(self, example: Example, dtype: str) -> tuple[list[Rounding], list[Rounding]]:
        """What the reference and the port round on the ideal machine of a half-precision dtype, each in order."""
        machine = f"rounded:{dtype}"
        parameters, inputs = self.parameters(example, machine), self.port_inputs(example, dtype)
        module = self.filled(example, machine, parameters)
        leaves = self.leaves(example, parameters, machine)
        theirs = module.roundings(self.inputs(example, dtype))
        return theirs, self.traced(example, inputs, machine).roundings(leaves, inputs)

    def traced(self, example: Example, inputs: Mapping[str, Any], dtype: str = "float64") -> Traced:
        """The port's program on an ideal machine for an example's configuration and shapes."""
        return self.program(f"{dtype} trace", example, inputs, traced, dtype)

    def program(
        self,
        kind: str,
        example: Example,
        inputs: Mapping[str, Any],
        make: Callable[[Port, Mapping[str, Any]], Traced],
        dtype: str = "float64",
    ) -> Traced:
        """A program made of the port in a way that `kind` names: one for each configuration and shapes.

        Args:
            kind: names what `make` makes.
            example: its configuration counts.
            inputs: by the port's names.
            make: the port on an ideal machine, and inputs -> the program.
            dtype: names the machine.
        """
        module = self.port(example.config, dtype)
        return keep(self._port, (kind, key_of(example.config), shapes(inputs)), lambda: make(module, inputs))

    def working_outputs(self, example: Example, dtype: str) -> Outputs:
        """Run the port on the real backend, compiled once per configuration and form."""
        inputs = self.port_inputs(example, dtype)
        module = self.port(example.config, dtype)
        key = ("compiled", dtype, key_of(example.config), shapes(inputs))
        function = keep(self._port, key, lambda: compiled(module, inputs))
        return function.run(self.leaves(example, self.parameters(example, dtype), dtype), inputs)

    def form(self, example: Example, dtype: str) -> Mapping[str, tuple[tuple[int, ...], np.dtype[Any]]]:
        """Shapes and dtypes of the port's outputs in a working dtype, from an abstract evaluation."""
        inputs = self.port_inputs(example, dtype)
        module = self.port(example.config, dtype)
        key = ("form", dtype, key_of(example.config), shapes(inputs))
        return keep(self._port, key, lambda: form(module, inputs))

    def kept(self, key: tuple[Any, ...], make: Callable[[], T]) -> T:
        """What was made of the port under a key before, or is now; the key's first item is its kind."""
        return keep(self._port, key, make)

    def filled(self, example: Example, dtype: str, parameters: Mapping[str, Array]) -> Reference:
        """The reference with these parameters, narrowed or widened to `dtype`."""
        module = self._built(example.config, dtype)
        module.fill({name: x.astype(_working(dtype)) for name, x in parameters.items()})
        return module

    def _built(self, config: Json, dtype: str = "float32") -> Reference:
        key = ("built", dtype, key_of(config))
        return keep(self._reference, key, lambda: build_reference(self.case, config, dtype=dtype))

    def _run_reference(self, example: Example, dtype: str, parameters: Mapping[str, Array]) -> Outputs:
        module = self.filled(example, dtype, parameters)
        return module.run(self.inputs(example, _working(dtype)))

    def renamed(self, inputs: Mapping[str, T]) -> dict[str, T]:
        """Inputs by the port's names instead of the reference's."""
        return {self.case.arguments.get(name, name): tree for name, tree in inputs.items()}

    def port_inputs(self, example: Example, dtype: str) -> dict[str, Any]:
        """An example's inputs as arrays, by the port's argument names."""
        return self.renamed(self.inputs(example, dtype))

    def inputs(self, example: Example, dtype: str) -> dict[str, Any]:
        """An example's inputs as read-only arrays, by the reference's names; those of the last example are kept."""
        if self._inputs[0] is not example:
            self._inputs = example, {}
        if dtype not in self._inputs[1]:
            arrays = {name: values.arrays(tree, dtype) for name, tree in example.inputs.items()}
            self._inputs[1][dtype] = {name: _read_only(tree) for name, tree in arrays.items()}
        return dict(self._inputs[1][dtype])


def _working(dtype: str) -> str:
    """The dtype of parameters and inputs on the machine that 'rounded:bfloat16' names; any other dtype itself."""
    return dtype.removeprefix("rounded:")


def _widened(tree: Any) -> Any:
    """Half-precision arrays of a tree as float64; all else as it is."""
    if isinstance(tree, tuple):
        return tuple(_widened(branch) for branch in tree)
    return tree.astype(np.float64) if isinstance(tree, np.ndarray) and tree.dtype.kind not in "biu" else tree


def _read_only(tree: Any) -> Any:
    """A tree whose arrays can't be changed: a side that writes to its inputs gets copies of its own."""
    if isinstance(tree, tuple):
        return tuple(_read_only(branch) for branch in tree)
    if isinstance(tree, np.ndarray):
        tree.flags.writeable = False
    return tree
