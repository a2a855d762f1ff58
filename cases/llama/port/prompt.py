"""What a text begins with: checked before anything is computed, and padded to sizes that are compiled for.

Everything here is NumPy on the host. Shapes: B batch, L length of the prompt as given, P as padded.
"""

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from .config import LlamaConfig
from .generation_config import GenerationConfig

NEW_TOKENS = 20  # where neither max_new_tokens nor max_length says how many
SMALLEST = 16  # the first bucket, and the least distance of two

Ids = npt.NDArray[np.int32]


@dataclasses.dataclass(frozen=True)
class Prompt:
    """A batch of prompts, ready to read.

    Attributes:
        ids: [B, P] int32, padded on the left.
        mask: [B, P] bool, whether a place holds a token.
        given: L.
        new: how many tokens may follow.
        least: how many must follow before a text may end.
        slots: of the cache that holds all but the last of them.
    """

    ids: Ids
    mask: npt.NDArray[np.bool_]
    given: int
    new: int
    least: int
    slots: int


def prepare(
    input_ids: Any,
    attention_mask: Any | None,
    *,
    model: LlamaConfig,
    config: GenerationConfig,
    cache_length: int | None = None,
) -> Prompt:
    """Check prompts, and pad them on the left to a bucket, so that prompts of about one length share a compilation.

    Args:
        input_ids: [B, L], padded on the left where the prompts differ in length.
        attention_mask: [B, L], 1 for a token and 0 for padding. Where none is given, and a token is `pad_token_id`,
            which ends no text, such tokens are padding, as in the reference.
        model: of the model.
        config: how many tokens may follow.
        cache_length: slots of the cache; a bucket where none is given.

    Raises:
        ValueError: the prompts are empty, of another shape than their mask, hold ids that the model does not know, are
            padded on the right, or don't fit with what is to follow.
    """
    ids = _checked_ids(np.asarray(input_ids), model.vocab_size)
    mask = _checked_mask(ids, attention_mask, config)
    L = ids.shape[1]
    new = _new_tokens(L, model, config)
    if cache_length is not None and L + new - 1 > cache_length:
        raise ValueError(
            f"a prompt of {L} tokens and {new} new ones do not fit a cache of {cache_length} slots: "
            f"{L + new - 1} are needed, all but the last token's"
        )
    P = bucket(L) if cache_length is None else min(bucket(L), cache_length - new + 1)
    left = ((0, 0), (P - L, 0))
    return Prompt(
        ids=np.pad(ids, left),
        mask=np.pad(mask, left),
        given=L,
        new=new,
        least=config.min_length - L if config.min_new_tokens is None else config.min_new_tokens,
        slots=cache_length or bucket(P + new - 1),
    )


def bucket(length: int) -> int:
    """The next size that is compiled for: multiples of 16, of 32 from 128 on, and so on: at most a quarter too long."""
    step = max(SMALLEST, 2 ** ((length - 1).bit_length() - 3))
    return -(-length // step) * step


def _checked_ids(ids: npt.NDArray[Any], vocab_size: int) -> Ids:
    if ids.ndim != 2 or ids.dtype.kind not in "iu":
        raise ValueError(f"input_ids is {ids.dtype} of shape {ids.shape}: give whole numbers [batch, length]")
    if not ids.size:
        raise ValueError(f"input_ids has shape {ids.shape}: a prompt needs a token at least")
    outside = (ids < 0) | (ids >= vocab_size)
    if outside.any():
        row, place = (int(i) for i in np.argwhere(outside)[0])
        raise ValueError(
            f"input_ids[{row}, {place}] is {ids[row, place]}: outside a vocabulary of {vocab_size} "
            f"({int(outside.sum())} such ids)"
        )
    return ids.astype(np.int32)


def _checked_mask(ids: Ids, attention_mask: Any | None, config: GenerationConfig) -> npt.NDArray[np.bool_]:
    """Whether each place holds a token."""
    mask = _told_mask(ids, config) if attention_mask is None else np.asarray(attention_mask)
    if mask.shape != ids.shape:
        raise ValueError(f"attention_mask has shape {mask.shape}, input_ids {ids.shape}")
    if not np.isin(mask, (0, 1)).all():
        raise ValueError("attention_mask holds more than ones and zeros")
    mask = mask.astype(bool)
    if (empty := ~mask.any(axis=-1)).any():
        raise ValueError(f"row {empty.argmax()} of the prompts is all padding: a prompt needs a token at least")
    if (right := ~mask[:, -1]).any():
        raise ValueError(
            f"row {right.argmax()} of the prompts is padded on the right: text follows there, pad on the left"
        )
    return mask


def _told_mask(ids: Ids, config: GenerationConfig) -> npt.NDArray[np.bool_]:
    """Where no mask is given: tokens `pad_token_id` are padding, unless they end texts."""
    pad = config.pad_token_id
    if pad is None or pad in config.ends:
        return np.ones(ids.shape, bool)
    return ids != pad


def _new_tokens(length: int, model: LlamaConfig, config: GenerationConfig) -> int:
    """How many tokens may follow a prompt."""
    if config.max_new_tokens is not None:
        return config.max_new_tokens
    by_default = config.max_length is None
    longest = min(length + NEW_TOKENS, model.max_position_embeddings) if by_default else config.max_length
    assert longest is not None
    if longest <= length:
        name = "max_position_embeddings" if by_default else "max_length"
        raise ValueError(f"{name} = {longest} leaves no room behind a prompt of {length} tokens: set max_new_tokens")
    return longest - length
