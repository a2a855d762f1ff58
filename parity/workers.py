"""Checks of several cases at once: each worker is a fork of this process and takes one case after another."""

import contextlib
import dataclasses
import multiprocessing
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from typing import Any

from parity.case import Case
from parity.errors import BadInput
from parity.port import cache
from parity.registry import Registry
from parity.results import Result
from parity.run import Runner
from parity.selection import Pairs

OFTEN = 0.1  # seconds between two reports of progress


@dataclasses.dataclass(frozen=True)
class Started:
    """A worker has started a check."""

    worker: int
    case: Case
    check: str


@dataclasses.dataclass(frozen=True)
class Progress:
    """A worker has judged so many examples of those asked."""

    worker: int
    done: int
    asked: int


@dataclasses.dataclass(frozen=True)
class Finished:
    """A worker has come to a result."""

    worker: int
    result: Result


Event = Started | Progress | Finished


def possible() -> bool:
    """Whether this process can be forked: not where forks are unsafe, nor once JAX has started its threads."""
    return sys.platform == "linux" and not cache.started()


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def running(runner: Runner, pairs: Pairs, *, jobs: int) -> Iterator[Iterator[Event]]:
    """What happens while so many workers run these checks, the checks of one case all in one of them.

    A case made of the most others takes longest and is the first to be taken, so that none is left at the end that all
    but one worker wait for. A worker that dies leaves an error for the check it was at, and the rest of its case to
    another.

    Args:
        runner: a copy of it runs in each worker.
        pairs: cases and checks, bottom-up.
        jobs: how many workers.

    Raises:
        BadInput: a worker met one.
    """
    tasks = _tasks(runner.registry, pairs)
    crew = [_start(runner, number) for number in range(min(jobs, len(tasks)))]
    try:
        yield _events(crew, tasks, lambda number: _start(runner, number))
    finally:
        for worker in crew:
            worker.process.terminate()
            worker.process.join()


@dataclasses.dataclass
class _Worker:
    """A process, the line to it, and the checks of its case that have no result yet."""

    number: int
    process: Any
    line: Connection
    left: deque[tuple[Case, str]] = dataclasses.field(default_factory=deque[tuple[Case, str]])


def _tasks(registry: Registry, pairs: Pairs) -> deque[list[tuple[Case, str]]]:
    by_case: dict[str, list[tuple[Case, str]]] = {}
    for case, check in pairs:
        by_case.setdefault(case.name, []).append((case, check))

    def within(name: str) -> set[str]:
        """The case and everything that it is made of, at any depth."""
        parts = registry.cases[name].parts.values() if name in registry.cases else ()
        return {name}.union(*(within(part) for part in parts))

    return deque(sorted(by_case.values(), key=lambda task: (len(within(task[0][0].name)), len(task)), reverse=True))


def _events(
    crew: list[_Worker], tasks: deque[list[tuple[Case, str]]], again: Callable[[int], _Worker]
) -> Iterator[Event]:
    for worker in crew:
        _give(worker, tasks)
    while busy := {worker.line: worker for worker in crew if worker.left}:
        for line in wait(list(busy)):
            worker = busy[line]  # type: ignore[index]
            try:
                kind, *said = worker.line.recv()
            except EOFError:
                yield Finished(worker.number, _died(worker))
                tasks.appendleft(list(worker.left))
                crew[crew.index(worker)] = worker = again(worker.number)
            else:
                if kind == "refused":
                    raise BadInput(said[0])
                if kind == "started":
                    yield Started(worker.number, *worker.left[0])
                elif kind == "progress":
                    yield Progress(worker.number, *said)
                else:
                    worker.left.popleft()
                    yield Finished(worker.number, said[0])
            if not worker.left:
                _give(worker, tasks)


def _give(worker: _Worker, tasks: deque[list[tuple[Case, str]]]) -> None:
    while tasks and not worker.left:
        worker.left.extend(tasks.popleft())
    if worker.left:
        worker.line.send([(case.name, check) for case, check in worker.left])


def _died(worker: _Worker) -> Result:
    worker.process.join()
    case, check = worker.left.popleft()
    said = f"the process that ran it ended with status {worker.process.exitcode}"
    return Result(case=case.name, check=check, status="error", message=said)


def _start(runner: Runner, number: int) -> _Worker:
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(runner, theirs), daemon=True)
    process.start()
    theirs.close()
    return _Worker(number, process, ours)


def _serve(runner: Runner, line: Connection) -> None:
    """In a worker: run the checks of one case after another, until there is no one to tell."""
    with contextlib.suppress(KeyboardInterrupt, EOFError, BrokenPipeError), cache.persistent():
        while True:
            for name, check in line.recv():
                line.send(("started",))
                try:
                    result = runner.run(runner.registry.cases[name], check, progress=_reporting(line))
                except BadInput as error:
                    line.send(("refused", str(error)))
                    return
                line.send(("finished", result))


def _reporting(line: Connection) -> Callable[[int, int], None]:
    last = 0.0

    def report(done: int, asked: int) -> None:
        nonlocal last
        if time.monotonic() - last > OFTEN:
            last = time.monotonic()
            line.send(("progress", done, asked))

    return report
