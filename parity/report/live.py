"""What a run shows of itself while it is under way: bars on a terminal, nothing anywhere else."""

import contextlib
import time
from collections.abc import Generator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from parity.case import Case
from parity.measure import audit as audits
from parity.results import Result
from parity.session import Hooks


@contextlib.contextmanager
def progress(checks: int | None, console: Console | None = None) -> Generator[Hooks]:
    """Hooks that draw one bar for the run and one for the check under way, on stderr, while the `with` lasts.

    `checks` is how many there will be, where that is known beforehand.
    """
    with _bars("checks", checks, console) as drawn:
        yield _hooks(*drawn) if drawn else Hooks()


@contextlib.contextmanager
def audit(cases: int, console: Console | None = None) -> Generator[audits.Hooks]:
    """The same for an audit: one bar for the cases, one for the examples of the case under way."""
    with _bars("cases", cases, console) as drawn:
        if drawn is None:
            yield audits.Hooks()
            return
        hooks = _hooks(*drawn)
        yield audits.Hooks(
            on_start=lambda case: hooks.on_start(case, "audit"),
            on_progress=hooks.on_progress,
            on_layer=lambda layer: hooks.on_result(Result(case=layer.case, check="audit", status="passed")),
        )


@contextlib.contextmanager
def _bars(what: str, total: int | None, console: Console | None) -> Generator[tuple[Progress, TaskID] | None]:
    console = console or Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (
        TextColumn("{task.description}", markup=False),  # a check stands in brackets
        BarColumn(bar_width=16),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        yield bars, bars.add_task(what, total=total, speed="")


def _hooks(bars: Progress, whole: TaskID) -> Hooks:
    current: list[TaskID] = []
    started = 0.0

    def on_start(case: Case, check: str) -> None:
        nonlocal started
        started = time.monotonic()
        current.append(bars.add_task(f"{case.name} [{check}]", total=None, speed=""))

    def on_progress(done: int, asked: int) -> None:
        rate = done / max(time.monotonic() - started, 1e-9)
        bars.update(current[-1], completed=done, total=asked, speed=f"{rate:.0f} examples/s")

    def on_result(result: Result) -> None:
        bars.remove_task(current.pop())
        bars.advance(whole)

    return Hooks(on_start, on_progress, on_result, beside=lambda: _hooks(bars, whole))
