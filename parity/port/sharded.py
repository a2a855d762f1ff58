"""A port on many devices: virtual ones of this machine's processor, which XLA divides one program among."""

import dataclasses
import os
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from parity.errors import BadInput
from parity.port.build import Port
from parity.port.cache import started
from parity.port.run import Array, Outputs, abstract, named, split
from parity.port.transform import gradients

DEVICES = 8
_FLAG = "xla_force_host_platform_device_count"
Layout = Callable[[Any, Mapping[str, Any]], tuple[Mapping[str, Any], Mapping[str, Any]] | None]


def ask_for_devices() -> None:
    """Let this process, and those forked from it, see many devices; nothing where JAX has counted them already."""
    config: Any = jax.config
    if not started() and _FLAG not in os.environ.get("XLA_FLAGS", ""):
        config.update("jax_num_cpu_devices", DEVICES)


def enough_devices() -> None:
    """See to it that there are enough; raises BadInput where there are not."""
    if (found := len(jax.devices())) < DEVICES:
        raise BadInput(f"`sharded` needs {DEVICES} devices, and JAX has started with {found}: run it by itself first")


@dataclasses.dataclass(frozen=True)
class LaidOut:
    """A float64 port's call and its gradient as one program, compiled for the way its arrays lie."""

    port: Port
    function: Any
    parameters: tuple[Any, ...]  # shardings, in the port's order
    inputs: Mapping[str, Any]  # shardings by name

    def run(self, parameters: Mapping[str, Array], inputs: Mapping[str, Any]) -> tuple[Outputs, Outputs]:
        """Outputs by name, and the gradient by parameter path and floating input, gathered from all devices."""
        arrays, _ = split(inputs, "float64")
        with jax.enable_x64(True):
            put = [jax.device_put(x, lie) for x, lie in zip(parameters.values(), self.parameters, strict=True)]
            outputs, gradient = self.function(put, {k: jax.device_put(x, self.inputs[k]) for k, x in arrays.items()})
        return _gathered(outputs), _gathered(gradient)


def laid_out(port: Port, inputs: Mapping[str, Any], layout: Layout, *, differentiate: bool) -> LaidOut | None:
    """A port laid out over devices for these inputs' shapes and static values.

    Args:
        port: built in float64.
        inputs: of a call, by the port's names.
        layout: see `Case.layouts`.
        differentiate: whether a gradient is wanted; it has no entries otherwise.

    Returns:
        None where the layout fits neither.

    Raises:
        KeyError: the layout names a parameter or an input that there is not.
    """
    arrays, static = split(inputs, "float64")
    found = layout(port.bind(abstract(port)), arrays)
    if found is None:
        return None
    parameters, given = found
    if unknown := [*(parameters.keys() - port.leaves.keys()), *(given.keys() - arrays.keys())]:
        raise KeyError(f"the layout places {', '.join(sorted(unknown))}, which there is not")
    everywhere = NamedSharding(next(iter(parameters.values())).mesh, PartitionSpec())

    def call(parameters: list[Any], arrays: dict[str, Any]) -> dict[str, Any]:
        return dict(named(port.call(parameters, {**arrays, **static})))

    def both(parameters: list[Any], arrays: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        return call(parameters, arrays), gradients(port, call)(parameters, arrays) if differentiate else {}

    return LaidOut(
        port,
        jax.jit(both),
        tuple(parameters.get(path, everywhere) for path in port.leaves),
        {name: given.get(name, everywhere) for name in arrays},
    )


def _gathered(tree: Mapping[str, Any]) -> Outputs:
    return {name: np.asarray(x) for name, x in tree.items()}
