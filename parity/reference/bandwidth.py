"""How fast this machine reads its memory."""

import time

import torch

BYTES = 1 << 30  # far more than any cache holds


def bandwidth(*, repeats: int = 5) -> float:
    """Bytes a second, the best of some passes over a gigabyte, on as many threads as torch takes by default."""
    numbers = torch.ones(BYTES // 4)
    best = 0.0
    for _ in range(repeats):
        start = time.perf_counter()
        numbers.sum()
        best = max(best, BYTES / (time.perf_counter() - start))
    return best
