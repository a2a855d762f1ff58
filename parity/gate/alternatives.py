"""The fields that a reference's configuration has, and other values that each of them may take."""

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

from parity.case import Json

Path = tuple[str, ...]
MOST = 5  # other values that a field is asked about


@dataclasses.dataclass(frozen=True)
class Options:
    """A field by its path, the values that cases draw for it, and its annotation in the configuration's class.

    `declared`: whether the class has it, so that a case must hand it over.
    """

    path: Path
    palette: tuple[Any, ...] = ()
    annotation: str = ""
    declared: bool = False

    @property
    def words(self) -> tuple[str, ...]:
        """The values that are drawn, where they are words: each chooses a program of its own."""
        words = tuple(value for value in self.palette if isinstance(value, str))
        return words if len(words) == len([value for value in self.palette if value is not None]) else ()

    @property
    def name(self) -> str:
        return ".".join(self.path)


def options(configs: Iterable[Json], built: Any) -> tuple[Options, ...]:
    """Every field: those of the reference's own configuration class, then those that cases draw, mappings opened.

    Args:
        configs: drawn configurations, of all cases of a port.
        built: the configuration that a built reference holds, or None.
    """
    palettes: dict[Path, dict[str, Any]] = {}
    for config in configs:
        for path, value in leaves(config):
            palettes.setdefault(path, {})[_text(value)] = value
    annotations = _annotations(built)
    opened = {path[0] for path in palettes if len(path) > 1}
    paths = dict.fromkeys([(name,) for name in annotations if name not in opened] + list(palettes))
    return tuple(
        Options(path, tuple(palettes.get(path, {}).values()), annotations.get(path[0], ""), path[0] in annotations)
        for path in paths
        if path[-1:] not in _emptied(palettes, opened)
    )


def leaves(config: Json, prefix: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every field of a configuration with its value; a mapping of names is opened."""
    for name, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(cast(Json, value), (*prefix, name))
        else:
            yield (*prefix, name), value


def value_at(config: Json, built: Any, path: Path) -> Any:
    """A field's value: as a configuration has it, else as the reference completed it, else None."""
    node: Any = config
    for step in path:
        if not isinstance(node, Mapping) or step not in node:
            break
        node = cast(Json, node)[step]
    else:
        return node
    completed = getattr(built, path[0], None)
    for step in path[1:]:
        completed = cast(Json, completed).get(step) if isinstance(completed, Mapping) else None
    return completed


def changed(config: Json, path: Path, value: Any) -> Json | None:
    """The configuration with another value at a path; None where a mapping on the way to it is not there."""
    name, *rest = path
    if not rest:
        return {**config, name: value}
    inner = config.get(name)
    if not isinstance(inner, Mapping):
        return None
    deeper = changed(cast(Json, inner), tuple(rest), value)
    return None if deeper is None else {**config, name: deeper}


def others(value: Any, option: Options) -> tuple[Any, ...]:
    """Other values than the one that stands: what cases draw and what its type suggests, in turns."""
    drawn = [other for other in option.palette if _text(other) != _text(value)]
    made = [other for other in _suggested(value, option.annotation) if _text(other) != _text(value)]
    mixed = [each for pair in zip(_padded(drawn, made), _padded(made, drawn), strict=True) for each in pair]
    return tuple({_text(each): each for each in mixed if each is not _NOTHING}.values())[: MOST + len(option.words)]


_NOTHING = object()


def _padded(values: Sequence[Any], other: Sequence[Any]) -> list[Any]:
    return [*values, *[_NOTHING] * (len(other) - len(values))]


def _suggested(value: Any, annotation: str) -> list[Any]:
    """Other values of a type: a switch turned, a number one more or twice as large, a list's numbers doubled."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, 2 * value]
    if isinstance(value, float):
        return [2 * value or 0.5, 0.5 * value, 0.125 * value]
    if isinstance(value, list | tuple) and value and all(isinstance(each, float) for each in cast(list[Any], value)):
        return [[2 * each for each in cast(list[float], value)]]
    if value is None:
        kinds = {"bool": True, "int": 1, "float": 0.5}
        return [made for kind, made in kinds.items() if kind in annotation.replace("|", " ").split()]
    return []


def _annotations(built: Any) -> dict[str, str]:
    """Field -> annotation as text, of a configuration that is a dataclass; else of what it holds in public."""
    if dataclasses.is_dataclass(built) and not isinstance(built, type):
        fields = dataclasses.fields(built)
        return {f.name: f.type.__name__ if isinstance(f.type, type) else str(f.type) for f in fields}
    return {name: "" for name in vars(built) if not name.startswith("_")} if hasattr(built, "__dict__") else {}


def _emptied(palettes: Mapping[Path, Any], opened: set[str]) -> set[Path]:
    """Mappings that some configurations leave out: their fields are asked about, not they."""
    return {path for path in palettes if len(path) == 1 and path[0] in opened}


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=repr)
