"""What the cases of the logits processors share: scores, how far they keep from a threshold, and what is not asked."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from cases.llama import laws
from cases.llama.palettes import Config
from parity.draw import SCALES, floats, one_of, tokens
from parity.values import Floats

Scores = npt.NDArray[np.float64]
CLEAR = 1e-5  # how far from a threshold a probability is at the least, where it is not exactly on it
VOCABULARIES = (8, 5, 32)  # 8 and 32 alike scores have probabilities that are exact, and so are their sums
LEAST = (1, 2, 3)  # how many tokens are kept at the least: as many as there are ends of a text, and one
ROWS = {"scores": 0}
LAWS = {"batch_permuted": laws.rows_permuted(lambda form: ROWS)}

NEAR = "only an example as near to the threshold would show it, and most are not"
FLOAT32 = "scores are widened to float32 first"
SKIPS = {
    "gradient": "nothing is trained through it",
    "rounded:bfloat16": FLOAT32,
    "rounded:float16": FLOAT32,
    "bfloat16": FLOAT32,
    "float16": FLOAT32,
}


def forms(config: Config) -> SearchStrategy[dict[str, Any]]:
    """How many rows; a few are enough."""
    return st.fixed_dictionaries({"batch": one_of(1, 3)})


def scores(
    config: Config, form: Config, *, clear: Callable[[Scores], bool] = lambda scores: True
) -> SearchStrategy[Floats]:
    """Scores [B, V]: of any size, all alike (ties everywhere), with an outlier; those that `clear` lets pass."""
    shape = (form["batch"], config["vocab_size"])
    drawn = floats(shape, scales=(1.0, *SCALES, 0.0), rows=("", "zeros", "onehot", "outlier"))
    return drawn.filter(lambda scores: clear(scores.array(np.float64)))


def alone(processor: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    """A processor of the reference as a function of scores, where it does not look at the text."""
    return lambda scores: processor(None, scores)


def text(config: Config, form: Config) -> Any:
    """Token ids [B, L], some of them often."""
    return tokens((form["batch"], form["length"]), config["vocab_size"])


def softmax(scores: Scores) -> Scores:
    """Probabilities [B, V]."""
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def far(values: Scores, threshold: Any) -> bool:
    """Whether no value is so near to its threshold that rounding decides; exactly on it is as good as far away."""
    distance = np.abs(values - threshold)
    return bool(((distance == 0) | (distance > CLEAR)).all())
