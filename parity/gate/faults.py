"""Injected faults: is every one that is not equivalent caught, and does `locate` point at the part it stands in?"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from parity import draw
from parity.case import Suite
from parity.gated import Question
from parity.measure import locating
from parity.measure.audit import is_audited
from parity.measure.audited import Audit, Layer
from parity.registry import Registry
from parity.session import Workspace

CAUGHT_ASKS = "is every injected fault that is not equivalent caught?"
LOCATED_ASKS = "does locate point at the part that a fault stands in?"
SAMPLE = 4  # faults that are located, unless all are asked for
SHARE = 0.98  # of all faults, the share that must be located to the right part and layer, the rest to its parent
Progress = Callable[[str], None]


def caught(registry: Registry, suite: Suite, audit: Audit) -> Question:
    """Hold an audit against the port's cases: all of them were audited, and nothing is left without an answer."""
    names = [case.name for case in registry.bottom_up() if case.port_name == suite.name and is_audited(case)]
    own = [layer for layer in audit.layers if layer.case in names]
    missing = [name for name in names if name not in {layer.case for layer in own}]
    shut = [f"{', '.join(missing)}: no faults were injected: parity audit {suite.name}"] if missing else []
    shut += ["the audit was interrupted"] if audit.interrupted else []
    shut += [line for layer in own for line in _left(layer)]
    total = Audit(layers=tuple(own)).total
    score = "-" if total.score is None else f"{total.score:.2%}"
    return Question(
        name="injected faults",
        asks=CAUGHT_ASKS,
        answer="no" if shut or not total.injected else "yes",
        said=f"{total.caught} of {total.injected} caught, {total.count('equivalent')} equivalent, "
        f"{total.count('explained')} explained; {score} without the equivalent; seed {audit.seed}",
        why_not=tuple(shut) if total.injected or shut else ("no fault was injected anywhere",),
        notes=(*_explained(own), *_left_out(registry, suite)),
        seconds=round(total.seconds, 1),
    )


def _left_out(registry: Registry, suite: Suite) -> Iterator[str]:
    """The cases that say why no faults are injected into them."""
    for case in registry.bottom_up():
        if case.port_name == suite.name and "audit" in case.skips:
            yield f"{case.name}: no faults are injected: {case.skips['audit']}"


def _explained(layers: Sequence[Layer]) -> Iterator[str]:
    """The survivors that the cases explain, a line a place."""
    for layer in layers:
        own = [(s.where, s.reason) for s in layer.survivors if s.verdict == "explained"]
        for (where, reason), count in Counter(own).items():
            yield f"{layer.case}: {count} explained at {where}: {reason}"


def _left(layer: Layer) -> list[str]:
    """What an audit of a case left without an answer, a line each."""
    lines = [f"{layer.case} could not be audited: {layer.trouble}"] if layer.trouble else []
    lines += [
        f"{layer.case}: a fault survives at {s.where}: {s.primitive}: {s.description}"
        for s in layer.survivors
        if s.verdict == "unresolved"
    ]
    lines += [f"{layer.case}: no example shows parameter `{path}` perturbed" for path in layer.missed]
    return lines + [f"{layer.case}: nothing survives any more as `{pattern}`" for pattern in layer.stale]


def located(
    workspace: Workspace, suite: Suite, *, seed: int = 0, deep: bool = False, progress: Progress = lambda text: None
) -> Question:
    """Put faults into a deep model, one at a time, and see which part `locate` names.

    Args:
        workspace: the root's cases and tolerances.
        suite: whose.
        seed: chooses the faults, unless all are taken, and where they stand.
        deep: all faults and equivalents, instead of a few faults.
        progress: told what comes next.
    """
    names = _names(workspace.registry, suite)
    chosen = () if deep else _sample(names, suite, seed)
    found = locating.measure(workspace, suite.name, seed=seed, only=chosen, progress=progress)
    asked = found.count("right", "parent", "wrong", "unseen")
    shut = [
        f"{trial.case}, {trial.name} at `{trial.target}`: {_told(trial)}"
        for trial in found.trials
        if trial.outcome in ("wrong", "unseen", "blamed")
    ]
    if deep and asked and found.share < SHARE:
        shut.append(f"{found.share:.1%} of the faults were located to the right part and layer, {SHARE:.0%} are needed")
    if not asked:
        shut.append("no fault could be asked about")
    few = "" if deep else f", a sample of {len(names)} (all: --deep)"
    return Question(
        name="located",
        asks=LOCATED_ASKS,
        answer="no" if shut else "yes",
        said=f"{found.count('right')} of {asked} faults to the right part and layer, {found.count('parent')} to its "
        f"parent{few}",
        why_not=tuple(shut),
        notes=tuple(
            f"{trial.case}, {trial.name}: located to its parent {' '.join(trial.named)}"
            for trial in found.trials
            if trial.outcome == "parent"
        ),
        seconds=found.seconds,
    )


def _told(trial: locating.Trial) -> str:
    if trial.outcome == "wrong":
        return f"locate names {' and '.join(trial.named)}"
    if trial.outcome == "blamed":
        return f"an equivalent, and locate blames {' and '.join(trial.named)}"
    return f"no example shows it to locate {trial.message}".rstrip()


def _names(registry: Registry, suite: Suite) -> list[str]:
    """The port's faults that the exact check must reject: any example may show them."""
    return [
        name
        for case in registry.bottom_up()
        if case.port_name == suite.name
        for name, fault in case.faults.items()
        if "exact" in fault.checks
    ]


def _sample(names: Sequence[str], suite: Suite, seed: int) -> tuple[str, ...]:
    rng = np.random.default_rng(draw.seed_of(seed, f"{suite.name} located"))
    taken = rng.permutation(len(names))[:SAMPLE]
    return tuple(names[int(number)] for number in sorted(taken))
