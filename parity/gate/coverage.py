"""Coverage: has every class of the reference's own tree a case, or a built-in rule?"""

from collections.abc import Iterator, Mapping

from parity import draw
from parity.case import Case, Suite
from parity.gated import Question
from parity.reference.capture import abstract
from parity.registry import Registry
from parity.run import crash
from parity.weights import BUILT_IN

ASKS = "has every class of the reference's tree a case or a built-in rule?"
NOTHING = ("torch.nn.modules.linear.Identity", "torch.nn.modules.dropout.Dropout")  # in evaluation mode
CONTAINERS = "torch.nn.modules.container."  # modules that hold others and compute nothing


def coverage(registry: Registry, suite: Suite) -> Question:
    """Read the classes off the trees of the suite's reference models, as the port's cases draw and build them.

    A class without parameters and without modules of its own, such as an activation, needs no case where it stands
    inside a module that has one, and that is not itself a declared reference model: it is computed there.
    """
    shut = [str(broken) for broken in registry.broken if broken.path.split("/")[-2] == suite.name]
    if not suite.references:
        shut.append(f"the suite of {suite.name} declares no reference model: there is no tree to read")
    if suite.whole not in registry.cases:
        shut.append(f"the suite names {suite.whole} as the whole model, and there is no such case")
    own = [case for case in registry.bottom_up() if case.port_name == suite.name]
    for case in own:
        missing = {name for name in case.parts.values() if name not in registry.cases}
        shut += [f"{case.name} has {name} as a part, and there is no such case" for name in sorted(missing)]
    answered: dict[str, str] = {}
    told: set[str] = set()
    for model in suite.references:
        case = registry.covering(model)
        if case is None or case.port_name != suite.name:
            shut.append(f"{_name(model)}: no case of {suite.name} builds this reference model")
            continue
        try:
            shut += _uncovered(registry, suite, case, answered, told)
        except Exception as error:  # the author's code
            shut.append(f"{case.name}: its reference can't be built: {crash(error)}")
    kinds = [list(answered.values()).count(kind) for kind in ("case", "built in", "inside")]
    return Question(
        name="coverage",
        asks=ASKS,
        answer="no" if shut else "yes",
        said=f"{len(answered)} classes: {kinds[0]} by a case, {kinds[1]} built in, {kinds[2]} inside what has a case",
        why_not=tuple(dict.fromkeys(shut)),
    )


def _uncovered(registry: Registry, suite: Suite, case: Case, answered: dict[str, str], told: set[str]) -> Iterator[str]:
    """The classes of a reference that nothing answers for, a line each and only once; the others are noted."""
    covers = {_name(thing) for other in registry.cases.values() for thing in other.covers}
    models = {_name(model) for model in suite.references}
    for config, _ in draw.pool(case, seed=0):
        built = abstract(case, config)
        for path, kind in built.types.items():
            how = _how(path, built.types, built.leaves, covers, models)
            if how:
                answered[kind] = how
            elif kind not in told:
                told.add(kind)
                yield f"{kind} (`{path}` of {case.name}) has no case and no built-in rule"


def _how(
    path: str, types: Mapping[str, str], leaves: Mapping[str, object], covers: set[str], models: set[str]
) -> str | None:
    """By what a module is answered for: 'case', 'built in', 'inside'; or None."""
    kind = types[path]
    if kind in covers:
        return "case"
    if kind in BUILT_IN or kind in NOTHING or kind.startswith(CONTAINERS):
        return "built in"
    alone = not any(other.startswith(f"{path}.") for other in (*types, *leaves))
    steps = path.split(".")
    above = (types.get(".".join(steps[:count]), "") for count in range(len(steps) - 1, -1, -1))
    nearest = next((name for name in above if name and not name.startswith(CONTAINERS)), "")
    return "inside" if alone and nearest in covers - models else None


def _name(thing: object) -> str:
    return f"{getattr(thing, '__module__', '')}.{getattr(thing, '__qualname__', thing)}"
