"""The port's part at each place of a whole model: built once a case, traced once a case and shapes, run on inputs."""

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from parity.case import Case, Json
from parity.checks.subject import shapes
from parity.errors import ParityError
from parity.port import Computed, Port, Traced, build, compiled, stream, streamed_outputs, traced
from parity.port.signature import ANY, arguments, defined
from parity.real.places import Place, port_path
from parity.registry import Registry

Array = npt.NDArray[Any]
Outputs = Mapping[str, Array]
Leaf = Callable[[str], Array]
LARGE = 2**24  # parameters of a part that are read as they are needed, and not all at once


class Parts:
    """The parts of one port for one configuration.

    Args:
        registry: of the cases.
        whole: the case of the whole model.
        config: of the whole.
        dtype: 'float64' (exact), 'rounded:bfloat16', or a working dtype on the real backend.
        leaf: gives a parameter of the whole port by path, in float32.
    """

    def __init__(self, registry: Registry, whole: Case, config: Json, *, dtype: str, leaf: Leaf) -> None:
        self.registry, self.whole, self.config, self.dtype = registry, whole, config, dtype
        self.leaf = leaf
        self._made: dict[Any, Any] = {}

    def build(self, place: Place, dtype: str) -> Port:
        """The port of a place; the same for all places of a case."""
        return self.once(("port", place.case.name, dtype), lambda: build(place.case, self.config, dtype=dtype))

    def exact(self) -> "Parts":
        """The same parts in exact arithmetic."""
        made = copy.copy(self)
        made.dtype, made._made = "float64", {}
        return made

    def run(self, place: Place, inputs: Mapping[str, Any]) -> Outputs:
        """What the part at a place makes of inputs by the port's names, in the arithmetic of `dtype`."""
        port = self.build(place, self.dtype)
        if self.is_real:
            key = ("compiled", id(port), shapes(inputs))
            return self.once(key, lambda: compiled(port, inputs)).run(self.leaves(place, port), inputs)
        if sum(math.prod(leaf.shape) for leaf in port.leaves.values()) > LARGE:
            return streamed_outputs(self.traced(place, inputs), port, self.reader(place, port), inputs)
        return self.traced(place, inputs).run(self.leaves(place, port), inputs)

    def lines(self, place: Place, inputs: Mapping[str, Any]) -> Iterator[Computed]:
        """Every line of the part's program, as it is evaluated; not for the real backend."""
        port = self.build(place, self.dtype)
        return stream(self.traced(place, inputs), port, self.reader(place, port), inputs)

    def traced(self, place: Place, inputs: Mapping[str, Any]) -> Traced:
        """The part's program for these shapes."""
        port = self.build(place, self.dtype)
        return self.once(("trace", id(port), shapes(inputs)), lambda: traced(port, inputs))

    @property
    def is_real(self) -> bool:
        """Whether parts run on the real backend."""
        return self.dtype != "float64" and not self.dtype.startswith("rounded:")

    def accepted(self, place: Place, given: Mapping[str, Any]) -> dict[str, Any]:
        """Of the reference's inputs those that the port takes too, by the port's names.

        The whole gets any where it takes any: they were drawn for both sides.
        """
        case = place.case
        takes = self.once(("arguments", case.name), lambda: arguments(case, self.config))
        named = {case.arguments.get(name, name): value for name, value in given.items()}
        takes_all = not place.path and ANY in takes
        return {name: value for name, value in named.items() if takes_all or name in takes}

    def defined(self, place: Place) -> tuple[str, str]:
        """The file and the name of the class that a place's port is."""
        return self.once(("defined", place.case.name), lambda: defined(place.case, self.config))

    def leaves(self, place: Place, port: Port) -> dict[str, Array]:
        """All parameters of a place, in the order that its port takes them."""
        read = self.reader(place, port)
        return {name: read(name) for name in port.leaves}

    def reader(self, place: Place, port: Port) -> Leaf:
        """What gives a place's parameters by its own names, in the dtype that its program computes with."""
        path = port_path(self.registry, self.whole, place.path)
        prefix = f"{path}." if path else ""
        working = self.dtype.removeprefix("rounded:")

        def read(name: str) -> Array:
            try:
                return self.leaf(f"{prefix}{name}").astype(working, copy=False)
            except KeyError:
                raise ParityError(
                    f"{place}: the whole port has no `{prefix}{name}`, which {place.case.name} has"
                ) from None

        return read

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """What was made under a key before, or is now."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]


def same_values(a: Any, b: Any) -> bool:
    """Whether two trees of inputs hold the same, to the last bit."""
    if isinstance(a, Mapping):
        return isinstance(b, Mapping) and a.keys() == b.keys() and all(same_values(a[name], b[name]) for name in a)
    if isinstance(a, tuple):
        return isinstance(b, tuple) and len(a) == len(b) and all(map(same_values, a, b))
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    return type(a) is type(b) and a == b
