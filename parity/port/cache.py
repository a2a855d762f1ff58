"""The real backend: what it is, and XLA's compilations kept between processes (nothing else outlives one)."""

import contextlib
import os
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import jax
from jax.experimental.compilation_cache import compilation_cache

LARGEST = 1 << 30  # bytes; beyond, the entries that were used longest ago go
_told: set[str] = set()


def folder() -> Path:
    """Where compilations are kept: `PARITY_CACHE`, or 'parity' in the user's cache folder."""
    if chosen := os.environ.get("PARITY_CACHE"):
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    if not base and sys.platform == "darwin":
        return Path("~/Library/Caches/parity").expanduser()
    return Path(base or "~/.cache").expanduser() / "parity"


@contextlib.contextmanager
def persistent(path: Path | None = None) -> Generator[None]:
    """Keep every compilation on disk for the time of a `with`; settings are as before afterwards.

    A folder that can't be written is said once, and the run goes on without. The size is bounded by pruning here,
    and not by `jax_compilation_cache_max_size`: with that, JAX reads the whole folder at every write (measured:
    0.18 s a compilation at 1000 entries), and one lock holds all workers.
    """
    path = path or folder()
    try:
        path.mkdir(parents=True, exist_ok=True)
        if not os.access(path, os.W_OK):
            raise PermissionError(13, "not writable")
        _prune(path)
    except OSError as error:
        _tell_once(f"parity: compilations are not kept: {path}: {error.strerror}")
        yield
        return
    with _settings(
        jax_compilation_cache_dir=str(path),
        jax_compilation_cache_max_size=-1,
        jax_persistent_cache_min_compile_time_secs=0.0,
        jax_persistent_cache_min_entry_size_bytes=-1,
        jax_persistent_cache_enable_xla_caches="none",
    ):
        yield


def started() -> bool:
    """Whether this process has a backend, and so threads that a fork would be without."""
    from jax._src import xla_bridge  # there is no public way to ask without starting one

    return bool(xla_bridge.backends_are_initialized())


def backend() -> dict[str, Any]:
    """Devices, default matmul precision and whether x64 is on: what a report says of the backend."""
    untyped: Any = jax
    config = untyped.config
    return {
        "devices": [str(device) for device in untyped.devices()],
        "platform": jax.default_backend(),
        "matmul_precision": config.jax_default_matmul_precision or "default",
        "x64": bool(config.jax_enable_x64),
    }


@contextlib.contextmanager
def _settings(**values: Any) -> Generator[None]:
    config: Any = jax.config
    before = {name: getattr(config, name) for name in values}
    try:
        for name, value in values.items():
            config.update(name, value)
        compilation_cache.reset_cache()  # JAX decides at its first compilation, and keeps to it
        yield
    finally:
        for name, value in before.items():
            config.update(name, value)
        compilation_cache.reset_cache()


def _prune(path: Path, largest: int = LARGEST) -> None:
    """Delete the entries used longest ago until the folder is within bounds; another process may be doing the same."""
    with os.scandir(path) as entries:
        files = [(entry.path, entry.stat()) for entry in entries if entry.is_file()]
    size = sum(stat.st_size for _, stat in files)
    for name, stat in sorted(files, key=lambda file: max(file[1].st_atime, file[1].st_mtime)):
        if size <= largest:
            return
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        size -= stat.st_size


def _tell_once(line: str) -> None:
    if line not in _told:
        _told.add(line)
        sys.stderr.write(f"{line}\n")
