"""A port's speed beside its reference's: the same jobs, in the same process, in turns."""

import statistics
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from parity.case import Workload
from parity.environment import describe
from parity.errors import BadInput
from parity.reference import bandwidth
from parity.registry import Registry, nearest

SCHEMA = 1
LEAST, MOST = 3, 30  # times that each side does a job
SECONDS = 10.0  # after which it is done no more than LEAST times, a side
Job = Callable[[], Any]
Progress = Callable[[str], None]


class Side(BaseModel):
    """One side of a job, in seconds: its first time, what it compiles included, and the median of all later ones."""

    model_config = ConfigDict(frozen=True)
    name: str
    first: float
    each: float
    times: int


class Timed(BaseModel):
    """One job: `port`, and `references`, which may be none."""

    model_config = ConfigDict(frozen=True)
    name: str
    tokens: int
    reads: int
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


def measure(workloads: Mapping[str, Workload], *, progress: Progress = lambda text: None) -> Speed:
    """Time every job on both sides, in turns, so that a noisy machine is noisy for both.

    In each turn a job is done twice, and the second time counts: the first pays for the memory that the other sides
    gave back to the system, which no loop over a job does (measured: 0.9 s of a training step of 4).
    """
    rows: list[Timed] = []
    best = bandwidth()
    for name, workload in workloads.items():
        progress(name)
        rows.append(_timed(name, workload))
        best = max(best, bandwidth(repeats=2))
    return Speed(environment=describe(), bandwidth=best, rows=tuple(rows))


def _timed(name: str, workload: Workload) -> Timed:
    sides = {"port": workload.port, **workload.references}
    jobs = {side: make() for side, make in sides.items()}
    first = {side: _seconds(job) for side, job in jobs.items()}
    later = {side: list[float]() for side in jobs}
    started = time.perf_counter()
    for turn in range(MOST):
        if turn >= LEAST and time.perf_counter() - started > SECONDS * len(jobs):
            break
        for side, job in jobs.items():
            job()
            later[side].append(_seconds(job))
    found = [
        Side(name=side, first=first[side], each=statistics.median(later[side]), times=len(later[side])) for side in jobs
    ]
    return Timed(name=name, tokens=workload.tokens, reads=workload.reads, port=found[0], references=tuple(found[1:]))


def _seconds(job: Job) -> float:
    start = time.perf_counter()
    job()
    return time.perf_counter() - start
