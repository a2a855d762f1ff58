"""Transfer rules and the plan made from them: which reference tensor becomes which port leaf, and back.

A rule is written once and read both ways: every step has an exact inverse, nothing is ever cast, and a plan is refused
as a whole, with every problem listed, before a byte moves.
"""

import dataclasses
import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from parity.errors import WeightMapError

Array = npt.NDArray[Any]
Read = Callable[[str], Array]


@dataclasses.dataclass(frozen=True)
class Leaf:
    """Shape and dtype (by name, 'float32') of one tensor."""

    shape: tuple[int, ...]
    dtype: str

    def __str__(self) -> str:
        return f"{self.shape} {self.dtype}"


@dataclasses.dataclass(frozen=True)
class Step:
    """A change of layout and its exact inverse; `undo` also gets the shape from before."""

    do: Callable[[Array], Array]
    undo: Callable[[Array, tuple[int, ...]], Array]


@dataclasses.dataclass(frozen=True)
class Rule:
    """Where the tensors that match one pattern go. Made by the functions below, not by hand.

    `kind` is 'move' (one to one), 'split' (one to many), 'stack' (many to one), 'tied' or 'absent'.
    """

    kind: str
    targets: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    axis: int = 0
    sizes: tuple[int, ...] = ()
    why: str = ""


def copy(to: str) -> Rule:
    """The same array at path `to`."""
    return Rule("move", (to,))


def transpose(to: str, axes: Sequence[int] = (1, 0)) -> Rule:
    """Axes reordered, as a torch (out, in) weight becomes a (in, out) kernel."""
    inverse = tuple(int(axis) for axis in np.argsort(axes))
    return Rule("move", (to,), (Step(lambda x: x.transpose(axes), lambda x, _: x.transpose(inverse)),))


def reshape(to: str, shape: Sequence[int]) -> Rule:
    """The same elements in the same order, in `shape` (one size may be -1)."""
    return Rule("move", (to,), (Step(lambda x: x.reshape(shape), lambda x, before: x.reshape(before)),))


def permute(to: str, index: Callable[[int], npt.NDArray[np.intp]], axis: int = 0) -> Rule:
    """Rows of `axis` reordered: row i of the port is row `index(size)[i]` of the reference."""
    return Rule(
        "move",
        (to,),
        (
            Step(
                lambda x: np.take(x, index(x.shape[axis]), axis),
                lambda x, _: np.take(x, np.argsort(index(x.shape[axis])), axis),
            ),
        ),
    )


def chain(*parts: Rule) -> Rule:
    """One-to-one rules one after the other; the last one's path counts."""
    return Rule("move", parts[-1].targets, tuple(itertools.chain.from_iterable(part.steps for part in parts)))


def split(*to: str, sizes: Sequence[int], axis: int = 0) -> Rule:
    """One fused tensor into several leaves, `sizes` rows of `axis` each."""
    return Rule("split", to, axis=axis, sizes=tuple(sizes))


def stack(to: str, *, axis: int = 0, each: Rule | None = None) -> Rule:
    """All tensors that a pattern with one `*` matches, in numerical order, stacked along a new `axis`.

    `each` is a one-to-one rule for what happens to every one of them first, such as `transpose("")`.
    """
    return Rule("stack", (to,), each.steps if each else (), axis=axis)


def tied(to: str) -> Rule:
    """The reference holds the same tensor as its own `to`; nothing is moved, but they must be equal."""
    return Rule("tied", (to,))


def absent(why: str) -> Rule:
    """The port has no counterpart, for this reason."""
    return Rule("absent", why=why)


@dataclasses.dataclass(frozen=True)
class Rules:
    """Pattern of reference names -> rule. A `*` in a pattern is one name between dots, and the same in a path."""

    table: Mapping[str, Rule]

    def __or__(self, other: "Rules") -> "Rules":
        return Rules({**self.table, **other.table})

    def under(self, reference: str, port: str) -> "Rules":
        """The same rules for a module that stands at these two paths."""
        return Rules(
            {
                f"{reference}.{pattern}": dataclasses.replace(
                    rule, targets=tuple(f"{reference if rule.kind == 'tied' else port}.{to}" for to in rule.targets)
                )
                for pattern, rule in self.table.items()
            }
        )


def rules(table: Mapping[str, Rule]) -> Rules:
    """Weight rules from a table: `rules({"weight": copy("scale")})`."""
    return Rules(dict(table))


# Keyed by the module's exact type and never guessed from shapes: a square kernel must not be ambiguous.
BUILT_IN: Mapping[str, Mapping[str, Rule]] = {
    "torch.nn.modules.linear.Linear": {"weight": transpose("kernel"), "bias": copy("bias")},
    "torch.nn.modules.sparse.Embedding": {"weight": copy("embedding")},
    "torch.nn.modules.normalization.LayerNorm": {"weight": copy("scale"), "bias": copy("bias")},
    "torch.nn.modules.normalization.GroupNorm": {"weight": copy("scale"), "bias": copy("bias")},
    "torch.nn.modules.normalization.RMSNorm": {"weight": copy("scale")},
    "torch.nn.modules.conv.Conv1d": {"weight": transpose("kernel", (2, 1, 0)), "bias": copy("bias")},
    "torch.nn.modules.conv.Conv2d": {"weight": transpose("kernel", (2, 3, 1, 0)), "bias": copy("bias")},
}


@dataclasses.dataclass(frozen=True)
class Move:
    """One step of a plan: these reference tensors are these port leaves."""

    sources: tuple[str, ...]
    rule: Rule
    targets: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]  # of the sources

    def forward(self, read: Read) -> tuple[Array, ...]:
        """Reference tensors in, port leaves out, in the order of `targets`."""
        stepped = [_do(read(source), self.rule.steps) for source in self.sources]
        if self.rule.kind == "split":
            edges = np.cumsum(self.rule.sizes)[:-1]
            return tuple(np.split(stepped[0], edges, axis=self.rule.axis))
        return (np.stack(stepped, self.rule.axis) if self.rule.kind == "stack" else stepped[0],)

    def backward(self, read: Read) -> tuple[Array, ...]:
        """Port leaves in, reference tensors out, in the order of `sources`."""
        leaves = [read(target) for target in self.targets]
        if self.rule.kind == "split":
            return (np.concatenate(leaves, self.rule.axis),)
        if self.rule.kind == "stack":
            leaves = list(np.moveaxis(leaves[0], self.rule.axis, 0))
        return tuple(_undo(leaf, self.rule.steps, shape) for leaf, shape in zip(leaves, self.shapes, strict=True))


@dataclasses.dataclass(frozen=True)
class Plan:
    """A whole transfer, already known to be one-to-one. `ties` maps a second name of a tensor to its first."""

    moves: tuple[Move, ...]
    ties: Mapping[str, str]
    absent: Mapping[str, str]

    def forward(self, read: Read) -> Iterator[tuple[str, Array]]:
        """Port leaves one at a time, as (path, array); `read` gives a reference tensor by name."""
        for move in self.moves:
            yield from zip(move.targets, move.forward(read), strict=True)

    def backward(self, read: Read) -> Iterator[tuple[str, Array]]:
        """Reference tensors one at a time, as (name, array); `read` gives a port leaf by path."""
        for move in self.moves:
            yield from zip(move.sources, move.backward(read), strict=True)


def plan(
    subject: str,
    *,
    reference: Mapping[str, Leaf],
    port: Mapping[str, Leaf],
    rules: Rules,
    types: Mapping[str, str] | None = None,
    at: Mapping[str, str] | None = None,
    ties: Mapping[str, str] | None = None,
) -> Plan:
    """Match every reference tensor with the port's leaves, from names, shapes and dtypes alone.

    Args:
        subject: whom an error speaks of: a case's name or a file's.
        reference: the reference's tensors by name, a tied one once.
        port: the port's leaves by path.
        rules: explicit rules; they go before built-in ones.
        types: reference module path -> qualified type name, for the built-in rules.
        at: reference module path -> the port's path, where they differ, for the built-in rules.
        ties: a tied tensor's other name -> the name in `reference`.

    Raises:
        WeightMapError: some tensor has no rule or two, a rule matches nothing, a leaf is written never or twice, or a
            shape or dtype would change; all of it in one message.
    """
    problems: list[str] = []
    found, absent_names, tied_names = _match(reference, rules, types or {}, at or {}, ties or {}, problems)
    moves = [_move(sources, rule, targets, reference, port, problems) for sources, rule, targets in found]
    writers: dict[str, list[str]] = {}
    for move in moves:
        for target in move.targets:
            writers.setdefault(target, []).extend(move.sources[:1])
    for target, sources in writers.items():
        if target not in port:
            problems.append(f"reference `{sources[0]}` goes to `{target}`, which the port does not have")
        elif len(sources) > 1:
            problems.append(f"port `{target}` is written twice: by `{'` and `'.join(sources)}`")
    problems += [f"port `{path}` {leaf.shape} is never written" for path, leaf in port.items() if path not in writers]
    if problems:
        raise WeightMapError(subject, problems)
    return Plan(tuple(moves), {**(ties or {}), **tied_names}, absent_names)


def _match(
    reference: Mapping[str, Leaf],
    rules: Rules,
    types: Mapping[str, str],
    at: Mapping[str, str],
    ties: Mapping[str, str],
    problems: list[str],
) -> tuple[list[tuple[tuple[str, ...], Rule, tuple[str, ...]]], dict[str, str], dict[str, str]]:
    """Find each tensor's rule: (sources, rule, targets) triples, the absent with their reasons, the tied."""
    patterns = {pattern: _regex(pattern) for pattern in rules.table}
    used: set[str] = set()
    found: list[tuple[tuple[str, ...], Rule, tuple[str, ...]]] = []
    stacks: dict[str, list[tuple[str, ...]]] = {}
    absent_names: dict[str, str] = {}
    tied_names: dict[str, str] = {}
    for name, leaf in reference.items():
        matches = [(pattern, match) for pattern, regex in patterns.items() if (match := regex.fullmatch(name))]
        used.update(pattern for pattern, _ in matches)
        if len(matches) > 1:
            named = "`, `".join(pattern for pattern, _ in matches)
            problems.append(f"reference `{name}` matches more than one rule: `{named}`")
            continue
        if not matches:
            rule = _built_in(name, types, at)
            if rule is None:
                problems.append(f"reference `{name}` {leaf.shape} has no rule")
            else:
                found.append(((name,), rule, rule.targets))
            continue
        pattern, match = matches[0]
        rule = rules.table[pattern]
        if rule.kind == "absent":
            absent_names[name] = rule.why
        elif rule.kind == "tied":
            tied_names[name] = _fill(rule.targets[0], match.groups())
        elif rule.kind == "stack":
            stacks.setdefault(pattern, []).append((name, *match.groups()))
        else:
            found.append(((name,), rule, tuple(_fill(to, match.groups()) for to in rule.targets)))
    for pattern, members in stacks.items():
        ordered = sorted(members, key=lambda member: [int(g) if g.isdigit() else g for g in member[1:]])
        found.append((tuple(member[0] for member in ordered), rules.table[pattern], rules.table[pattern].targets))
    for pattern in rules.table:
        if pattern not in used and not any(patterns[pattern].fullmatch(alias) for alias in ties):
            problems.append(f"rule `{pattern}` names nothing the reference has")
    for name, first in tied_names.items():
        if first not in reference:
            problems.append(f"reference `{name}` is tied to `{first}`, which the reference does not have")
    return found, absent_names, tied_names


def _move(
    sources: tuple[str, ...],
    rule: Rule,
    targets: tuple[str, ...],
    reference: Mapping[str, Leaf],
    port: Mapping[str, Leaf],
    problems: list[str],
) -> Move:
    """Check one move's shapes and dtypes on arrays of no weight, and note what would change."""
    move = Move(sources, rule, targets, tuple(reference[source].shape for source in sources))
    try:
        shapes = [leaf.shape for leaf in move.forward(lambda name: np.broadcast_to(np.int8(0), reference[name].shape))]
    except (ValueError, IndexError) as error:
        problems.append(f"reference `{sources[0]}` {reference[sources[0]].shape} can't follow its rule: {error}")
        return move
    if rule.kind == "split" and sum(rule.sizes) != reference[sources[0]].shape[rule.axis]:
        problems.append(
            f"reference `{sources[0]}` {reference[sources[0]].shape} splits into {rule.sizes} along axis {rule.axis}"
        )
        return move
    if len(targets) != len(shapes):
        problems.append(f"reference `{sources[0]}` splits into {len(shapes)} leaves, and its rule names {len(targets)}")
        return move
    for target, shape in zip(targets, shapes, strict=True):
        leaf = port.get(target)
        if leaf is not None and leaf.shape != shape:
            problems.append(f"port `{target}` {leaf.shape} would get {shape} from reference `{sources[0]}`")
        for source in sources:
            if leaf is not None and leaf.dtype != reference[source].dtype:
                problems.append(
                    f"port `{target}` is {leaf.dtype}, reference `{source}` {reference[source].dtype}: "
                    "a transfer never casts"
                )
                break
    return move


def _built_in(name: str, types: Mapping[str, str], at: Mapping[str, str]) -> Rule | None:
    path, _, leaf = name.rpartition(".")
    rule = BUILT_IN.get(types.get(path, ""), {}).get(leaf)
    if rule is None:
        return None
    prefix = port_path(path, at)
    return dataclasses.replace(rule, targets=tuple(f"{prefix}.{to}" if prefix else to for to in rule.targets))


def port_path(path: str, at: Mapping[str, str]) -> str:
    """The port's path for a reference module path: the longest entry of `at` that is a prefix, else the same."""
    for reference, port in sorted(at.items(), key=lambda entry: -entry[0].count(".")):
        if match := re.fullmatch(_regex(reference).pattern + r"(\..*)?", path):
            *stars, rest = match.groups()
            return _fill(port, stars) + (rest or "")
    return path


def _regex(pattern: str) -> re.Pattern[str]:
    return re.compile(re.escape(pattern).replace(r"\*", "([^.]+)"))


def _fill(path: str, stars: Sequence[str]) -> str:
    for star in stars:
        path = path.replace("*", star, 1)
    return path


def _do(x: Array, steps: Sequence[Step]) -> Array:
    for step in steps:
        x = step.do(x)
    return x


def _undo(x: Array, steps: Sequence[Step], shape: tuple[int, ...]) -> Array:
    shapes = [shape]
    for step in steps[:-1]:  # a reshape's inverse needs the shape from before it
        shapes.append(step.do(np.broadcast_to(np.int8(0), shapes[-1])).shape)
    for step, before in zip(reversed(steps), reversed(shapes), strict=False):
        x = step.undo(x, before)
    return x
