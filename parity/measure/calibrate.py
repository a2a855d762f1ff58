"""Calibration: clean runs measured, bounds proposed for each layer, and no bound that lets a fault of it through."""

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence

from parity.case import Case, Variant
from parity.errors import BadInput
from parity.fingerprint import fingerprint
from parity.measure.bounds import Proposal, propose
from parity.measure.clean import Measured, checks_of, measure
from parity.port import cache
from parity.registry import Registry, nearest
from parity.results import Limit, Model, Result
from parity.run import Runner, Settings
from parity.session import Hooks, Workspace
from parity.tolerance import Tolerances

REJECTING = 50  # examples for each fault, as many as `parity check` takes


class Layer(Model):
    """One check of one case: what was measured, what is proposed, and the code that it was measured on."""

    measured: Measured
    proposals: tuple[Proposal, ...]
    fingerprint: str

    @property
    def refused(self) -> bool:
        return self.measured.trouble is not None or any(proposal.verdict == "refused" for proposal in self.proposals)


class Calibration(Model):
    """A port's layers, bottom-up."""

    layers: tuple[Layer, ...]

    @property
    def exit_status(self) -> int:
        """0, or 1 where a proposal was refused."""
        return 1 if any(layer.refused for layer in self.layers) else 0


def select(registry: Registry, port: str, layers: Collection[str] = ()) -> tuple[Case, ...]:
    """A port's cases, or those named of them, bottom-up.

    Raises:
        BadInput: no such port, a file of it could not be loaded, or it has no such case.
    """
    known = {case.port_name for case in registry.cases.values()}
    for broken in registry.broken:
        if broken.path.split("/")[-2] == port:
            raise BadInput(f"{broken}: a port is calibrated when all of it can be loaded")
    if port not in known:
        raise BadInput(f"unknown port {port!r}{nearest(port, known)}")
    cases = [case for case in registry.bottom_up() if case.port_name == port]
    names = {name for case in cases for name in (case.name, case.name.partition("/")[2])}
    for name in layers:
        if name not in names:
            raise BadInput(f"{port} has no case {name!r}{nearest(name, names)}")
    return tuple(c for c in cases if not layers or c.name in layers or c.name.partition("/")[2] in layers)


def calibrate(
    workspace: Workspace,
    cases: Iterable[Case],
    *,
    examples: int,
    seeds: int,
    loosen: bool = False,
    hooks: Hooks | None = None,
) -> Calibration:
    """Measure clean runs and propose bounds; nothing is written.

    Args:
        workspace: the root's cases, and the bounds that stand.
        cases: which.
        examples: distinct examples a check and seed.
        seeds: how many seeds, from 0 on.
        loosen: whether a bound may be looser than the one that stands.
        hooks: called while it is under way.
    """
    hooks = hooks or Hooks()
    layers: list[Layer] = []
    with cache.persistent():
        for case in cases:
            found = measure(workspace, case, examples=examples, seeds=range(seeds), hooks=hooks)
            proposals = [_proposals(workspace.tolerances, each, loosen=loosen) for each in found]
            told = any(each.trouble for each in found)
            survivors = {} if told else _survivors(workspace, case, [p for own in proposals for p in own], hooks=hooks)
            digits = fingerprint(workspace.registry, case)
            layers += [
                Layer(measured=each, proposals=_without(own, survivors), fingerprint=digits)
                for each, own in zip(found, proposals, strict=True)
            ]
    return Calibration(layers=tuple(layers))


def steps(cases: Iterable[Case], seeds: int) -> int:
    """How many runs a calibration of these cases makes, for a progress bar."""
    total = 0
    for case in cases:
        checks = checks_of(case)
        total += len(checks) * (seeds + len(case.equivalents)) + len(_faults(case, checks))
    return total


def _faults(case: Case, checks: Collection[str]) -> dict[str, Variant]:
    """The faults that one of these checks must reject."""
    return {name: fault for name, fault in case.faults.items() if set(checks).intersection(fault.checks)}


def _proposals(tolerances: Tolerances, measured: Measured, *, loosen: bool) -> tuple[Proposal, ...]:
    case, check = measured.case, measured.check
    stands = {bound.name: bound for bound in tolerances.bounds(case, check)}
    defaults = tolerances.defaults.get(check, {})
    proposals = [
        propose(case, check, name, worst=found.worst, old=stands.get(name), default=defaults.get(name), loosen=loosen)
        for name, found in measured.measures.items()
    ]
    trouble = measured.trouble
    return tuple(proposal.refused(trouble) if trouble else proposal for proposal in proposals)


def _survivors(
    workspace: Workspace, case: Case, proposals: Sequence[Proposal], *, hooks: Hooks
) -> Mapping[str, tuple[str, ...]]:
    """Check -> the faults of the case that it lets through under the proposed bounds.

    A fault that names several checks must be rejected by one of them.
    """
    asked = {proposal.check for proposal in proposals}
    proposed = dataclasses.replace(
        workspace.tolerances, layers={**workspace.tolerances.layers, case.name: _bounds(workspace, case, proposals)}
    )
    runner = Runner(workspace.registry, proposed, Settings(REJECTING))
    survivors: dict[str, tuple[str, ...]] = dict.fromkeys(asked, ())
    for name, fault in _faults(case, asked).items():
        hooks.on_start(case, f"rejects:{name}")
        result: Result = runner.run(case, f"rejects:{name}", progress=hooks.on_progress)
        hooks.on_result(result)
        if result.status != "passed":
            for check in asked.intersection(fault.checks):
                survivors[check] = (*survivors[check], name)
    return survivors


def _bounds(workspace: Workspace, case: Case, proposals: Iterable[Proposal]) -> Mapping[str, Mapping[str, Limit]]:
    """The case's own bounds as they would be."""
    bounds = {check: dict(own) for check, own in workspace.tolerances.layers.get(case.name, {}).items()}
    for proposal in proposals:
        if proposal.new is not None:
            limit = Limit(name=proposal.measure, value=proposal.new, where="proposed")
            bounds.setdefault(proposal.check, {})[proposal.measure] = limit
    return bounds


def _without(proposals: Iterable[Proposal], survivors: Mapping[str, tuple[str, ...]]) -> tuple[Proposal, ...]:
    """The proposals, those refused under which a fault survives."""

    def kept(proposal: Proposal) -> Proposal:
        faults = survivors.get(proposal.check)
        return proposal.refused(f"the fault {' and '.join(faults)} survives") if faults else proposal

    return tuple(kept(proposal) for proposal in proposals)
