"""Where each parameter stands in a checkpoint: under which name, turned or not, and what else may stand there."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from .tensors import Tensor

Shape = tuple[int, ...]

# A parameter's last name -> the tensor's, and whether it is stored transposed: [out, in].
LEAVES: Mapping[str, tuple[str, bool]] = {
    "kernel": ("weight", True),
    "bias": ("bias", False),
    "scale": ("weight", False),
    "embedding": ("weight", False),
}
HEADS = ("lm_head", "score", "qa_outputs")  # of every class of the reference; a checkpoint may have another one's
TABLE, OUTPUT = "embed_tokens.weight", "lm_head.weight"
LEFTOVER = re.compile(r".*rotary_emb\.inv_freq")  # a buffer of older checkpoints, computed from the configuration
BACKBONE = re.compile(r"(.*?)(embed_tokens|layers\.\d+|norm)\.")


@dataclass(frozen=True)
class Stored:
    """A parameter's tensor: its name in a checkpoint, and whether its two axes are exchanged there."""

    name: str
    transposed: bool

    def shape(self, shape: Shape) -> Shape:
        """The tensor's shape for the parameter's, and the other way round."""
        return shape[::-1] if self.transposed else shape


def stored(path: str) -> Stored:
    """`model.norm.scale` is `model.norm.weight`; raises KeyError for a parameter that the reference does not have."""
    parent, _, leaf = path.rpartition(".")
    name, transposed = LEAVES[leaf]
    return Stored(f"{parent}.{name}" if parent else name, transposed)


def prefix(names: Iterable[str]) -> str:
    """What stands before the backbone's names: nothing, `model.` or, for question answering, `transformer.`."""
    return next((match[1] for name in names if (match := BACKBONE.match(name))), "")


@dataclass(frozen=True)
class Match:
    """A checkpoint held against a model.

    Attributes:
        tensors: parameter path -> its tensor.
        absent: paths of a head that the checkpoint does not have.
        twins: two tensors of the checkpoint that must be equal, since the model ties them.
        problems: one line for each tensor that is missing, extra or misshapen.
    """

    tensors: dict[str, Tensor]
    absent: list[str]
    twins: dict[str, str]
    problems: list[str] = field(default_factory=list[str])


def match(wanted: Mapping[str, Shape], found: Mapping[str, Tensor], *, tied: bool, fresh_head: bool) -> Match:
    """Find every parameter's tensor.

    A checkpoint of the bare backbone and one of a model with a head differ by a prefix, which is seen to. A head that
    the model does not have is left alone.

    Args:
        wanted: shapes by parameter path.
        found: the checkpoint's tensors by name.
        tied: whether the token table is the output layer too; a checkpoint may then hold either name, or both.
        fresh_head: whether a head may be missing from the checkpoint.
    """
    own = {path: stored(path) for path in wanted}
    ours, theirs = prefix(tensor.name for tensor in own.values()), prefix(found)
    names = {path: _moved(tensor.name, ours, theirs) for path, tensor in own.items()}
    table, twins = theirs + TABLE, dict[str, str]()
    if tied and OUTPUT in found:
        if table in found:
            twins = {table: OUTPUT}
        names = {path: OUTPUT if name == table not in found else name for path, name in names.items()}
    missing = {path: name for path, name in names.items() if name not in found}
    absent = [path for path in missing if fresh_head and path.split(".")[0] in HEADS]
    known = {*names.values(), *twins.values()}
    problems = [
        f"`{name}` {own[path].shape(wanted[path])} is missing" for path, name in missing.items() if path not in absent
    ]
    problems += [
        f"`{name}` {tensor.shape} is extra"
        for name, tensor in found.items()
        if name not in known and not _ignored(name, known)
    ]
    problems += [
        f"`{name}` is {found[name].shape}, the model's {own[path].shape(wanted[path])}"
        for path, name in names.items()
        if path not in missing and found[name].shape != own[path].shape(wanted[path])
    ]
    return Match({path: found[name] for path, name in names.items() if path not in missing}, absent, twins, problems)


def _moved(name: str, ours: str, theirs: str) -> str:
    """A backbone's name under the checkpoint's prefix; a head's stays."""
    backbone = name.startswith(ours) and BACKBONE.match(name)
    return theirs + name.removeprefix(ours) if backbone else name


def _ignored(name: str, known: set[str]) -> bool:
    """A leftover, or a head of another class."""
    head = name.split(".")[0]
    return bool(LEFTOVER.fullmatch(name)) or (head in HEADS and not any(own.startswith(f"{head}.") for own in known))
