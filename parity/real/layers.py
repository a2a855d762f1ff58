"""Every layer of a checkpoint on the reference's own inputs: in exact arithmetic, then float32 with that as arbiter."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from parity.canary import STILL, Canary, dead, described, heard, visible
from parity.case import Case, Json
from parity.error import exact_error, measure, same_form
from parity.errors import BadInput, OutputMismatch
from parity.port import Compiled, Port, Traced, build, compiled, traced
from parity.port.signature import arguments
from parity.real.places import Place, leaves_at, places, port_path, widened
from parity.real.tally import Tally
from parity.reference import Reference
from parity.reference.capture import capture, submodule
from parity.registry import Registry
from parity.results import Result
from parity.run import crash
from parity.tolerance import Tolerances

Array = npt.NDArray[Any]
Outputs = Mapping[str, Array]
CHECKS = {"exact": "checkpoint:exact", "float32": "checkpoint:float32"}


class Layers:
    """Judges a whole model at each place that a case answers for, while the reference runs.

    Traces and compilations are shared by the layers of a stack. The reference's exact module at a place is the
    submodule of the whole, so it is that very layer. The first place that passes is asked again with a fault in it, as
    the run's canary.

    Args:
        reference: the whole in float32, filled.
        truth: the whole in float64, filled.
        leaves: the port's parameters in float32, by path.
    """

    def __init__(
        self,
        registry: Registry,
        tolerances: Tolerances,
        whole: Case,
        config: Json,
        *,
        reference: Reference,
        truth: Reference,
        leaves: Mapping[str, Array],
    ) -> None:
        self.registry, self.tolerances, self.whole, self.config = registry, tolerances, whole, config
        self.reference, self.truth, self.leaves = reference, truth, leaves
        self.places = places(registry, whole, reference.types)
        self.visited: set[str] = set()
        self.canary: Canary | None = None
        self._tallies: dict[tuple[str, str], Tally] = {}
        self._made: dict[Any, Any] = {}

    def run(self, name: str, inputs: Mapping[str, Any], progress: Callable[[], None]) -> tuple[Outputs, Outputs]:
        """Run the reference on one input set, judging each place as it passes.

        Args:
            name: of the input set, as a failure says it.
            inputs: of the whole.
            progress: called after each place.

        Returns:
            The whole's exact outputs and the port's in float32; the latter empty where they could not be compared.
        """
        kept: list[tuple[Outputs, Outputs]] = []

        def visit(path: str, given: dict[str, Any], outputs: Outputs) -> None:
            place = self.places[path]
            self.visited.add(path)
            accepted = dict(self._accepted(place.case, given))
            exact = self._exact(place, name, given, accepted)
            working = self._float32(place, name, accepted, outputs, exact)
            if not path:
                kept.append((exact, working))
            progress()

        paths = {path: place.case for path, place in self.places.items()}
        capture(self.reference, paths, inputs, visit)
        return kept[0]

    def results(self) -> Iterator[Result]:
        """One result for each case and check, in the order of the registry."""
        for case in self.registry.bottom_up():
            for check in CHECKS:
                if (case.name, check) in self._tallies:
                    yield self._tallies[case.name, check].result()

    def _exact(self, place: Place, name: str, given: Mapping[str, Any], accepted: Mapping[str, Any]) -> Outputs:
        """Compare in exact arithmetic; the reference's exact outputs, whatever the port did."""
        started = time.monotonic()
        tally = self._tally(place.case, "exact")
        theirs = submodule(self.truth, place.path, place.case).run(widened(given))
        wide = widened(accepted)
        self._hold(
            tally,
            place,
            name,
            theirs,
            lambda: self._trace(place.case, wide).run(self._leaves(place, "float64"), wide),
        )
        if self.canary is None and tally.status == "passed":
            self.canary = self._sing(place, name, theirs, wide)
        tally.seconds += time.monotonic() - started
        return theirs

    def _hold(self, tally: Tally, place: Place, name: str, theirs: Outputs, make: Callable[[], Outputs]) -> None:
        """Judge what a port makes, both sides exact."""
        try:
            ours = make()
            same_form(theirs, ours)
            tally.add(exact_error(theirs, ours), place.path, name, self.tolerances)
        except OutputMismatch as error:
            tally.trouble("failed", str(error), place.path, name)
        except BadInput:
            raise
        except Exception as error:
            tally.trouble("error", crash(error), place.path, name)

    def _sing(self, place: Place, name: str, theirs: Outputs, wide: Mapping[str, Any]) -> Canary:
        """Inject a fault that moves an output far, and see this run's own way of judging reject it."""
        followed = self._trace(place.case, wide).follow(self._leaves(place, "float64"), wide)
        found = next(visible(followed, seed=0), None)
        if found is None:
            return dead(place.case, STILL)
        injected, outputs = found
        tally = Tally(place.case.name, CHECKS["exact"], "exact")
        self._hold(tally, place, name, theirs, lambda: outputs)
        rejected = tally.status == "failed"
        return heard(place.case, described(injected, self.registry), rejected=rejected, message=tally.message)

    def _float32(
        self, place: Place, name: str, accepted: Mapping[str, Any], theirs: Outputs, exact: Outputs
    ) -> Outputs:
        """Compare on the real backend with what passed through the reference; the port's outputs, if they compare."""
        started = time.monotonic()
        tally = self._tally(place.case, "float32")
        ours: Outputs = {}
        try:
            ours = self._compile(place.case, accepted).run(self._leaves(place, "float32"), accepted)
            tally.add(measure(theirs, ours, exact=exact), place.path, name, self.tolerances)
        except OutputMismatch as error:
            ours = {}
            tally.trouble("failed", str(error), place.path, name)
        except BadInput:
            raise
        except Exception as error:
            tally.trouble("error", crash(error), place.path, name)
        tally.seconds += time.monotonic() - started
        return ours

    def _accepted(self, case: Case, given: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        """The arguments that the port takes too, by the port's names."""
        takes = self._once(("arguments", case.name), lambda: arguments(case, self.config))
        for name, value in given.items():
            if (to := case.arguments.get(name, name)) in takes:
                yield to, value

    def _leaves(self, place: Place, dtype: str) -> dict[str, Array]:
        path = port_path(self.registry, self.whole, place.path)
        return leaves_at(self._port(place.case, dtype), place, path, self.leaves, dtype)

    def _trace(self, case: Case, inputs: Mapping[str, Any]) -> Traced:
        port = self._port(case, "float64")
        return self._once(("trace", case.name, _shapes(inputs)), lambda: traced(port, inputs))

    def _compile(self, case: Case, inputs: Mapping[str, Any]) -> Compiled:
        port = self._port(case, "float32")
        return self._once(("compiled", case.name, _shapes(inputs)), lambda: compiled(port, inputs))

    def _port(self, case: Case, dtype: str) -> Port:
        return self._once(("port", case.name, dtype), lambda: build(case, self.config, dtype=dtype))

    def _once(self, key: Any, make: Callable[[], Any]) -> Any:
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def _tally(self, case: Case, check: str) -> Tally:
        return self._tallies.setdefault((case.name, check), Tally(case.name, CHECKS[check], check))


def _shapes(tree: Any) -> Any:
    if isinstance(tree, Mapping):
        return tuple((name, _shapes(branch)) for name, branch in tree.items())
    if isinstance(tree, tuple):
        return tuple(_shapes(branch) for branch in tree)
    return (tree.shape, tree.dtype.name) if isinstance(tree, np.ndarray) else repr(tree)
