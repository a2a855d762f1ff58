"""Numbers as a reader wants them: as few digits as say enough."""

from collections.abc import Mapping
from typing import Any, cast

from parity.tolerance import passing as passing

Node = Mapping[str, Any]


def share(used: float | None) -> str:
    """A share of a limit: '0.31', '4e-05', '9e+05'."""
    if used is None:
        return ""
    if used == 0 or 0.005 <= used < 1000:
        return f"{used:.2f}" if used < 10 else f"{used:.0f}"
    return f"{used:.0e}"


def apart(*values: float) -> list[str]:
    """Values with as many digits as show that they differ; seven at least."""
    for digits in range(7, 17):
        texts = [f"{value:.{digits}g}" for value in values]
        if len(set(texts)) == len(set(values)):
            return texts
    return [f"{value:.17g}" for value in values]


def fields(node: Mapping[str, Any]) -> str:
    """'hidden=1, eps=1e-06'."""
    return ", ".join(f"{name}={plain(value)}" for name, value in node.items())


def plain(value: Any) -> str:
    """A JSON value in a line, without the quotes of plain words."""
    if isinstance(value, bool | None):
        return str(value)
    if isinstance(value, Mapping):
        return f"{{{fields(cast(Node, value))}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(plain(item) for item in cast(list[Any], value))}]"
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)


def described(name: str, node: Any) -> str:
    """An input's description in short: 'x(1, 1, 1) of magnitude 0.001', 'ids(1, 3) tokens high=32'."""
    if isinstance(node, list):
        return f"{name}=({', '.join(described('', item) for item in cast(list[Any], node))})"
    if not isinstance(node, Mapping) or "kind" not in node:
        return f"{name}={plain(node)}" if name else plain(node)
    node = cast(Node, node)
    rest = {
        key: value
        for key, value in node.items()
        if key not in ("kind", "shape", "seed", "data") and value not in ("", False, None)
    }
    shape = f"({', '.join(str(size) for size in node['shape'])})"
    if node["kind"] == "floats":
        scale, rows = rest.get("scale", 1.0), rest.get("rows")
        return f"{name}{shape} of magnitude {scale:g}{f', rows: {rows}' if rows else ''}"
    return f"{name}{shape} {node['kind']}{' ' if rest else ''}{fields(rest)}"


def example_short(example: Mapping[str, Any]) -> str:
    """A drawn example in one line: its configuration, its form, its inputs, its weights."""
    inputs = [described(name, node) for name, node in example.get("inputs", {}).items()]
    parts = [fields(example.get("config", {})), fields(example.get("form", {})), *inputs]
    regime = example.get("weights", {}).get("regime")
    return ", ".join([part for part in parts if part] + ([f"weights {regime}"] if regime else []))
