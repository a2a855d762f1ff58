"""One replayed example, verbosely: what went in, how far each output is off, the worst elements, the verdict."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text

from parity.error import Error, exact_error, measure, ulps
from parity.errors import OutputMismatch
from parity.replayed import Replay
from parity.report.failure import failure
from parity.report.numbers import apart, described, fields
from parity.report.terminal import console_of, print_as_is, text_of
from parity.results import Result

WORST = 5  # elements of each output that are listed


def render(replay: Replay, *, width: int = 80, color: bool = False) -> str:
    """The whole replay as text."""
    console = console_of(color)
    for line in _given(replay):
        print_as_is(console, Text(line))
    print_as_is(console)
    if replay.port and replay.reference:
        console.print(_outputs(replay))
        print_as_is(console)
    for name in replay.port:
        if name in replay.reference and (table := _elements(replay, name)):
            console.print(table)
            print_as_is(console)
    for line in replay.trouble:
        print_as_is(console, Text(line, style="bold red"))
    for line in _verdict(replay, width):
        print_as_is(console, Text(line, style="bold green" if replay.finding.passed else "bold red"))
    return text_of(console)


def _given(replay: Replay) -> Iterator[str]:
    example = replay.example.as_json()
    yield f"{replay.case} [{replay.check}]"
    yield f"  config: {fields(example['config']) or '-'}"
    yield f"  form: {fields(example['form']) or '-'}"
    for name, node in example["inputs"].items():
        yield f"  input: {described(name, node)}{_seeded(node)}"
    yield f"  weights: {fields(example['weights'])}"
    for name, shape in replay.parameters.items():
        yield f"    {name} {shape}"


def _seeded(node: Any) -> str:
    return f", seed={node['seed']}" if isinstance(node, Mapping) and "seed" in node else ""


def _errors(replay: Replay, name: str) -> Error | str:
    """One output's error as the check measures it, or why it can't be measured."""
    exact, reference, port = ({name: side[name]} for side in (replay.exact, replay.reference, replay.port))
    try:
        if reference[name].dtype != np.float64:
            return measure(reference, port, exact=exact)
        if reference[name].shape != port[name].shape:
            return f"shape {port[name].shape} in the port"
        return exact_error(reference, port)
    except OutputMismatch as error:
        return str(error)


def _outputs(replay: Replay) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("output", "shape", "dtype", "error"):
        table.add_column(name, overflow="fold")
    for name in {**replay.reference, **replay.port}:
        if name not in replay.reference or name not in replay.port:
            side = "port" if name in replay.port else "reference"
            table.add_row(name, "", "", f"only in the {side}")
            continue
        error = _errors(replay, name)
        said = (
            error
            if isinstance(error, str)
            else ", ".join(f"{key} {value:.3g}" for key, value in error.measures.items())
        )
        reference = replay.reference[name]
        table.add_row(name, str(reference.shape), str(reference.dtype), said)
    return table


def _elements(replay: Replay, name: str) -> Table | None:
    """The elements farthest apart; nothing where the outputs are equal or have other shapes."""
    reference, port = replay.reference[name], replay.port[name]
    if reference.shape != port.shape or not reference.size:
        return None
    with np.errstate(invalid="ignore"):
        distance = np.nan_to_num(np.abs(port.astype(np.float64) - reference), nan=math.inf)
        distance = np.where(np.isnan(port.astype(np.float64)) & np.isnan(reference.astype(np.float64)), 0.0, distance)
    if not distance.any():
        return None
    exact = replay.exact.get(name) if reference.dtype != np.float64 else None
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column(f"worst of `{name}`", no_wrap=True)
    for side in ("reference", "port", *(["exact"] if exact is not None else []), "ulp"):
        table.add_column(side, justify="right", no_wrap=True)
    for flat in np.argsort(distance, axis=None)[::-1][:WORST]:
        index = np.unravel_index(int(flat), distance.shape)
        if distance[index] == 0.0:
            break
        sides = [float(reference[index]), float(port[index]), *([float(exact[index])] if exact is not None else [])]
        gap = ulps(sides[0], sides[1], reference.dtype)
        table.add_row(str(tuple(int(i) for i in index)), *apart(*sides), "-" if gap is None else str(gap))
    return table


def _verdict(replay: Replay, width: int) -> list[str]:
    finding = replay.finding
    if finding.passed:
        limit = finding.limit
        used = f": {finding.used:.2g} of the limit ({limit.name} {limit.value:g}, {limit.where})" if limit else ""
        return [f"ok{used}"]
    result = Result(
        case=replay.case,
        check=replay.check,
        status="failed",
        used=finding.used,
        worst=finding.error.worst if finding.error else None,
        limit=finding.limit,
        message=finding.message,
    )
    head, *rest = failure(result, width=width)
    return [f"FAIL {head}", *rest]
