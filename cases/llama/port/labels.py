"""Which labels fit the inputs: asked before anything is computed."""

import jax

from .config import LlamaConfig
from .loss import problem_of


def size_of(input_ids: jax.Array | None, inputs_embeds: jax.Array | None) -> tuple[int, int]:
    """Batch and length of what a model is given.

    Raises:
        ValueError: neither is given.
    """
    given = inputs_embeds if input_ids is None else input_ids
    if given is None:
        raise ValueError("give either input_ids or inputs_embeds: not both, not neither")
    return given.shape[0], given.shape[1]


def expect(name: str, x: jax.Array | None, *shapes: tuple[int, ...]) -> None:
    """Refuse labels of another shape than these; none given is fine.

    Raises:
        ValueError: names the labels, their shape and those that fit.
    """
    if x is not None and x.shape not in shapes:
        raise ValueError(f"{name} has the shape {x.shape}; it must be {' or '.join(map(str, shapes))}")


def fitting(labels: jax.Array, batch: int, config: LlamaConfig) -> tuple[tuple[int, ...], ...]:
    """The shapes that labels of `batch` sequences may have: a class, or the number of a single regression, for
    each sequence, with or without an axis of its own; else a number for each sequence and class."""
    problem = problem_of(labels, config)
    if problem == "single_label_classification" or (problem == "regression" and config.num_labels == 1):
        return (batch,), (batch, 1)
    return ((batch, config.num_labels),)
