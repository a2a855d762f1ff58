"""One side of a job in a process of its own: made once, then done whenever it is asked for."""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from pathlib import Path
from typing import IO, Any, TextIO

from parity.errors import BadInput

PORT = "port"
Once = Callable[[], float]


@contextlib.contextmanager
def at_work(root: Path, port: str, job: str, side: str, environment: Mapping[str, str]) -> Generator[Once]:
    """Start a side's process, and give what has it do the job once: () -> seconds.

    Two sides in one process would share an allocator: each would pay for the memory that the other gave back.

    Args:
        root: of the cases.
        port: its name.
        job: the name of one of its suite's workloads.
        side: `PORT`, or the name of a reference.
        environment: variables besides this process's own.

    Raises:
        BadInput: the process came to an end; says its last words.
    """
    command = [sys.executable, "-m", "parity.measure.side", str(root), port, job, side]
    with tempfile.TemporaryFile("w+") as words:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=words,
            text=True,
            cwd=root,
            env={**os.environ, **environment},
        )
        try:
            yield lambda: _asked(process, f"{port}, {job}, {side}", words)
        finally:
            process.kill()
            process.communicate()


def _asked(process: "subprocess.Popen[str]", subject: str, words: IO[str]) -> float:
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write("\n")
        process.stdin.flush()
        answer = process.stdout.readline()
    except BrokenPipeError:
        answer = ""
    if not answer:
        process.wait()
        words.seek(0)
        last = ([line.strip() for line in words if line.strip()] or ["it said nothing"])[-1]
        raise BadInput(f"{subject}: its process ended with status {process.returncode}: {last}")
    return float(answer)


def serve(job: Callable[[], Any], asked: Iterable[str], told: TextIO) -> None:
    """Do the job for every line of `asked`, and tell how many seconds it took."""
    for _ in asked:
        start = time.perf_counter()
        job()
        told.write(f"{time.perf_counter() - start}\n")
        told.flush()


def main(root: str, port: str, job: str, side: str) -> None:
    """What the process does."""
    from parity import session

    told = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a job prints is no answer
    workload = session.load(Path(root)).registry.suites[port].workloads[job]
    make = workload.port if side == PORT else workload.references[side]
    serve(make(), sys.stdin, told)


if __name__ == "__main__":
    main(*sys.argv[1:])
