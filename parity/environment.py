"""Where a run takes place: versions, threads, devices."""

import os
import platform
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "jax", "jaxlib", "flax", "transformers", "numpy", "hypothesis")


def describe() -> dict[str, Any]:
    """Where a run took place: versions, threads, devices. Imports jax."""
    from parity.port import cache

    return {
        "parity": version(),
        "python": platform.python_version(),
        **{name: _version(name) for name in PACKAGES},
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "threads": {"torch": 1, "xla": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()},
        "jax_backend": cache.backend(),
    }


def version(package: str = "parity") -> str:
    """A package's version, or 'none'; parity's own also where it runs from a checkout that was never installed."""
    if package != "parity":
        return _version(package)
    if (found := _version("parity")) != "none":
        return found
    pyproject = Path(__file__).parents[1] / "pyproject.toml"
    return str(tomllib.loads(pyproject.read_text())["project"]["version"]) if pyproject.is_file() else "unknown"


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "none"
