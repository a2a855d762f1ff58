"""The numbers of a configuration, whatever their fields are called, and configurations with one field misread."""

import copy
from collections.abc import Iterator, Mapping
from typing import Any, cast

from parity.case import Json

ACTIVATIONS = ("silu", "gelu", "gelu_pytorch_tanh", "gelu_new", "quick_gelu", "relu")
USUAL = (1e-5, 1e-6, 1e-8, 1e-12, 1e4, 5e5, 1e6)  # what a fraction or a base is where nobody says otherwise


def numbers(config: Json) -> dict[str, float]:
    """Every number of a configuration by the name of its field; a nested one's is joined by dots."""
    return {path: value for path, value in _fields(config) if isinstance(value, int | float) and _is_number(value)}


def variants(config: Json) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Configurations in which one field is read as something else: the field, what to say, the configuration."""
    for path, value in _fields(config):
        yield path, f"`{path}` ignored (its default instead of {value!r})", _with(config, path, None, drop=True)
        for other in _others(value):
            yield path, f"`{path}` taken as {other!r} instead of {value!r}", _with(config, path, other)
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield name, f"`{name}` ignored", _with(config, name, None, drop=True)


def _fields(config: Json, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in config.items():
        if isinstance(value, Mapping):
            nested = cast(Mapping[Any, Any], value)
            if all(isinstance(key, str) for key in nested):  # a table of labels by number has no fields
                yield from _fields(nested, f"{prefix}{name}.")
        elif isinstance(value, bool | int | float | str):
            yield prefix + name, value


def _others(value: Any) -> Iterator[Any]:
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, str):
        yield from (name for name in ACTIVATIONS if value in ACTIVATIONS and name != value)
    elif isinstance(value, int):
        yield from (value - 1, value + 1)
    elif isinstance(value, float):
        yield from (usual for usual in USUAL if usual != value)


def _with(config: Json, path: str, value: Any, *, drop: bool = False) -> dict[str, Any]:
    changed: dict[str, Any] = copy.deepcopy(dict(config))
    *above, name = path.split(".")
    node = changed
    for step in above:
        node = node[step]
    if drop:
        node.pop(name)
    else:
        node[name] = value
    return changed


def _is_number(value: Any) -> bool:
    return not isinstance(value, bool) and value > 0
