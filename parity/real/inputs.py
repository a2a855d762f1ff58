"""What a checkpoint is asked to read: a real text, and prompts of different lengths, padded on the left."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from parity.checkpoint import Encode
from parity.errors import BadInput

Array = npt.NDArray[Any]
LEAST, MOST = 300, 1024  # tokens of a text: enough to pass every short threshold; attention grows with the square


def read_text(path: Path) -> str:
    """The contents of a text file; raises BadInput."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"--text {path}: {getattr(error, 'strerror', None) or 'not UTF-8'}") from None


def text_set(encode: Encode, text: str, source: str, vocab: int) -> dict[str, Any]:
    """A batch of one: the first `MOST` tokens of a text.

    Raises:
        BadInput: under `LEAST` tokens, or a token that the model has no row for.
    """
    tokens = _known(encode(text), vocab, source)
    if len(tokens) < LEAST:
        raise BadInput(f"{source} has {len(tokens)} tokens: at least {LEAST} are needed")
    return {"input_ids": np.asarray([tokens[:MOST]], np.int64), "use_cache": False}


def prompt_set(encode: Encode, prompts: Sequence[str], vocab: int) -> dict[str, Array]:
    """Prompts padded on the left to the longest, with their mask, and positions that count real tokens only."""
    tokens = [_known(encode(prompt), vocab, f"the prompt {prompt!r}") for prompt in prompts]
    length = max(len(row) for row in tokens)
    ids = np.zeros((len(tokens), length), np.int64)
    mask = np.zeros_like(ids)
    for row, known in enumerate(tokens):
        ids[row, length - len(known) :] = known
        mask[row, length - len(known) :] = 1
    return {"input_ids": ids, "attention_mask": mask, "position_ids": positions(mask)}


def continued(prompts: Mapping[str, Array], tokens: Array) -> dict[str, Any]:
    """The padded prompts and all but the last of the tokens [B, S] that follow them."""
    ids = np.concatenate((prompts["input_ids"], tokens[:, :-1]), axis=1)
    new = np.ones((len(ids), tokens.shape[1] - 1), np.int64)
    mask = np.concatenate((prompts["attention_mask"], new), axis=1)
    return {"input_ids": ids, "attention_mask": mask, "position_ids": positions(mask), "use_cache": False}


def positions(mask: Array) -> Array:
    """0, 1, 2 ... from the first real token on; 0 before it."""
    return np.maximum(np.cumsum(mask, axis=-1) - 1, 0)


def _known(tokens: list[int], vocab: int, source: str) -> list[int]:
    if not tokens:
        raise BadInput(f"{source} has no tokens")
    if max(tokens) >= vocab:
        raise BadInput(f"{source} has token {max(tokens)}, the model {vocab} rows: not this checkpoint's tokenizer")
    return tokens
