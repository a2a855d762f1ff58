"""A short hash of the code that a case's tolerance was measured on: the case, its port, its reference; no versions.

Every entry of tolerances.yaml keeps one. While it is the same, the measured values are worth what they were.
"""

import ast
import functools
import hashlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, cast

from parity.case import Case
from parity.registry import Registry

DIGITS = 12


def fingerprint(registry: Registry, case: Case) -> str:
    """Twelve hexadecimal digits that change when the case's, the port's or the reference's source changes.

    Taken in: the case's file and every file of the root's `cases` that it imports, at any depth; and the source of the
    classes and functions in `case.covers`, with what they name from their own module, and the functions of the tables
    that they look up. Left out: what a reference imports one by one from elsewhere, since most of it is plumbing.
    """
    files = {path.relative_to(registry.root).as_posix(): text for path, text in _files(registry, case)}
    found = {**files, **_reference_sources(case)}
    text = "\n".join(f"{name}\n{source}" for name, source in sorted(found.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def _files(registry: Registry, case: Case) -> Iterator[tuple[Path, str]]:
    """The case's file, and the files under the root's `cases` that it needs."""
    waiting, seen = [registry.root / registry.files[case.name]], set[Path]()
    while waiting:
        path = waiting.pop()
        if path in seen or not path.is_file():
            continue
        seen.add(path)
        text = path.read_text()
        yield path, text
        names = _imports(text, ".".join(path.relative_to(registry.root).with_suffix("").parts))
        for name in (name for name in names if name.partition(".")[0] == "cases"):
            place = registry.root / Path(*name.split("."))
            waiting += [place.with_suffix(".py"), place / "__init__.py"]


@functools.lru_cache(maxsize=256)  # a port's cases import the same files, and parsing them takes 0.1 s a case
def _imports(text: str, module: str) -> tuple[str, ...]:
    """The absolute names of modules that a source imports, and of what may be modules among the names it takes."""
    package = module.removesuffix(".__init__") if module.endswith(".__init__") else module.rpartition(".")[0]
    names: list[str] = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names += (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = importlib.util.resolve_name(f"{'.' * node.level}{node.module or ''}", package)
            names += (base, *(f"{base}.{alias.name}" for alias in node.names))
    return tuple(names)


def _reference_sources(case: Case) -> dict[str, str]:
    """Qualified name -> source, of the reference's own code."""
    waiting: list[Any] = list(case.covers)
    sources: dict[str, str] = {}
    while waiting:
        thing = waiting.pop()
        module = sys.modules.get(getattr(thing, "__module__", ""))
        name = f"{thing.__module__}.{thing.__qualname__}" if module else ""
        if module is None or name in sources:
            continue
        sources[name], named = _definitions(module).get(thing.__qualname__, ("", frozenset()))
        values = (vars(module).get(other) for other in named)
        waiting += [other for value in values for other in _own(value, module)]
    return sources


def _own(value: Any, module: ModuleType) -> Iterator[Any]:
    """Classes and functions made in a module, and the functions in a plain dictionary, wherever they were made.

    A registry that others write to is no plain dictionary: what it holds depends on what is installed.
    """
    if type(value) is dict:
        yield from (entry for entry in cast(dict[Any, Any], value).values() if isinstance(entry, FunctionType))
    elif isinstance(value, type | FunctionType) and value.__module__ == module.__name__:
        yield value


@functools.lru_cache(maxsize=64)
def _definitions(module: ModuleType) -> dict[str, tuple[str, frozenset[str]]]:
    """The classes and functions at the top of a module: name -> source with decorators, and the names used in it."""
    path = Path(getattr(module, "__file__", None) or "")
    if path.suffix != ".py" or not path.is_file():
        return {}
    text = path.read_text()
    lines = text.splitlines()
    found: dict[str, tuple[str, frozenset[str]]] = {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            named = frozenset(inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name))
            found[node.name] = ("\n".join(lines[first - 1 : node.end_lineno]), named)
    return found
