"""A port's speed beside its reference's: the same jobs, each side in a process of its own, in turns."""

import contextlib
import statistics
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from parity.case import Workload
from parity.environment import describe
from parity.errors import BadInput
from parity.measure.side import PORT, Once, at_work
from parity.reference import bandwidth
from parity.registry import Registry, nearest

SCHEMA = 2
LEAST, MOST = 3, 30  # times that each side does a job
SECONDS = 10.0  # after which it is done no more than LEAST times, a side
Start = Callable[[Path, str, str, str, Mapping[str, str]], AbstractContextManager[Once]]
Progress = Callable[[str], None]


class Side(BaseModel):
    """One side of a job, in seconds: its first time, what it compiles included, and the median of all later ones."""

    model_config = ConfigDict(frozen=True)
    name: str
    first: float
    each: float
    times: int


class Timed(BaseModel):
    """One job: `port`, and `references`, which may be none; `environment`: what the port's process was given."""

    model_config = ConfigDict(frozen=True)
    name: str
    tokens: int
    reads: int
    environment: dict[str, str] = {}
    port: Side
    references: tuple[Side, ...]

    @property
    def reference(self) -> Side | None:
        """The fastest."""
        return min(self.references, key=lambda side: side.each, default=None)

    @property
    def factor(self) -> float | None:
        """How many times as fast as the fastest reference the port is."""
        return self.reference.each / self.port.each if self.reference else None


class Speed(BaseModel):
    """A whole measurement; `bandwidth` in bytes a second."""

    model_config = ConfigDict(frozen=True)
    schema_version: int = SCHEMA
    environment: dict[str, Any]
    bandwidth: float
    rows: tuple[Timed, ...]

    def share(self, row: Timed) -> float | None:
        """What the port reads, as a share of what this machine could read in that time."""
        return row.reads / row.port.each / self.bandwidth if row.reads else None


def chosen(registry: Registry, port: str, names: Collection[str]) -> Mapping[str, Workload]:
    """The jobs of a port, or those with these names; raises BadInput for what there is not."""
    if port not in registry.suites:
        raise BadInput(f"unknown port {port!r}{nearest(port, registry.suites)}")
    workloads = registry.suites[port].workloads
    for name in names:
        if name not in workloads:
            raise BadInput(f"{port} has no job {name!r}{nearest(name, workloads)}")
    if not workloads:
        raise BadInput(f"{port} has no jobs to time: its suite has no `workloads`")
    return {name: workload for name, workload in workloads.items() if not names or name in names}


def measure(
    registry: Registry,
    port: str,
    workloads: Mapping[str, Workload],
    *,
    progress: Progress = lambda text: None,
    start: Start = at_work,
) -> Speed:
    """Time every job on both sides, in turns, so that a noisy machine is noisy for both.

    In each turn a job is done twice, and the second time counts: the first finds the processor's caches full of what
    the other sides did, as no loop over a job does.

    Args:
        registry: whose suite the jobs are of.
        port: its name.
        workloads: the jobs.
        progress: told what is timed next.
        start: starts a side's process.
    """
    rows: list[Timed] = []
    best = bandwidth()
    for name, workload in workloads.items():
        progress(name)
        rows.append(_timed(registry.root, port, name, workload, start))
        best = max(best, bandwidth(repeats=2))
    place = describe()
    place["threads"] = dict.fromkeys(("torch", "xla"), place["threads"]["xla"])  # each its default
    return Speed(environment=place, bandwidth=best, rows=tuple(rows))


def _timed(root: Path, port: str, name: str, workload: Workload, start: Start) -> Timed:
    given: dict[str, Mapping[str, str]] = {PORT: workload.environment, **{side: {} for side in workload.references}}
    with contextlib.ExitStack() as stack:
        jobs = {side: stack.enter_context(start(root, port, name, side, more)) for side, more in given.items()}
        first = {side: job() for side, job in jobs.items()}
        later = {side: list[float]() for side in jobs}
        started = time.perf_counter()
        for turn in range(MOST):
            if turn >= LEAST and time.perf_counter() - started > SECONDS * len(jobs):
                break
            for side, job in jobs.items():
                job()
                later[side].append(job())
    found = [
        Side(name=side, first=first[side], each=statistics.median(later[side]), times=len(later[side])) for side in jobs
    ]
    return Timed(
        name=name,
        tokens=workload.tokens,
        reads=workload.reads,
        environment=dict(workload.environment),
        port=found[0],
        references=tuple(found[1:]),
    )
