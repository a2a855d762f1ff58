"""What holds between two calls of a Llama layer, whatever the reference says; and which inputs have rows."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

import parity
from cases.llama.palettes import Config, port_config

Axes = Mapping[str, int | tuple[int, ...]]
LOWEST = float(np.finfo(np.float32).min)  # what an additive mask hides with, in exact arithmetic too
LENGTH_DEPENDENT = ("dynamic", "longrope")  # their tables look at the largest position of the whole batch
ROWS = {"hidden_states": 0, "position_embeddings": 0, "attention_mask": 0}  # attention and what is built on it
PLACES: Axes = {"hidden_states": 1, "position_embeddings": 1, "attention_mask": (2, 3)}
WHOLE_ROWS = {"input_ids": 0, "inputs_embeds": 0, "attention_mask": 0, "position_ids": 0}
WHOLE_PLACES = {"last_hidden_state": 1, "logits": 1, "hidden_states.*": 1, "attentions.*": 2}


def length_dependent(config: Config) -> bool:
    """Whether the rotary tables of a row depend on the positions of all rows."""
    return port_config(config).rope.rope_type in LENGTH_DEPENDENT


def rows_permuted(rows: Callable[[Config], Mapping[str, int]]) -> parity.Law:
    """Rows of the batch in another order; `rows`: form -> input -> its batch axis."""
    return parity.Law(
        twin=lambda call: parity.permuted(call, rows(call.form), {"loss": (), "*": 0}),
        why="a row does not know its place in the batch",
    )


def places_permuted(inputs: Axes, outputs: Axes) -> parity.Law:
    """Positions in another order, what is given for each position with them."""
    return parity.Law(
        twin=lambda call: parity.permuted(call, inputs, outputs),
        why="a layer knows a position by its table and its mask alone",
    )


def causal(outputs: Mapping[str, int]) -> parity.Law:
    """Later hidden states changed, under a causal mask."""
    return parity.Law(
        twin=lambda call: parity.later_changed(call, {"hidden_states": 1}, outputs, seen=seeing(call)),
        why="the mask hides what is later",
        where=lambda config, form: form["mask"],
    )


def padded(outputs: Axes) -> parity.Law:
    """Hidden states, tables and a mask that is longer and hides what is new."""

    def twin(call: parity.Call) -> parity.Twin:
        inputs = {"hidden_states": (1, None), "position_embeddings": (1, None), "attention_mask": ((2, 3), LOWEST)}
        left = bool(call.rng.integers(2))
        return parity.padded(call, inputs, outputs, left=left, real=seeing(call))

    return parity.Law(twin=twin, why="what is masked out is not there", where=lambda config, form: form["mask"])


def whole_rows(config: Config, form: Config) -> Mapping[str, int]:
    """The batch axes of a whole model's inputs; none where rows share positions' tables, or are added up in a loss."""
    if has_loss(form) or (form["positions"] and length_dependent(config)):
        return {}
    return rows_of(form)


def rows_of(form: Config) -> Mapping[str, int]:
    """The batch axes of a whole model's inputs; positions to keep have one only if each row has its own."""
    return {**WHOLE_ROWS, "logits_to_keep": 0} if form.get("keep") == "each" else {**WHOLE_ROWS, "labels": 0}


def has_loss(form: Config) -> bool:
    """Whether all positions and rows of the call are added up in one number."""
    return str(form.get("keep")).startswith("loss")


def whole_causal(call: parity.Call) -> parity.Twin:
    """Later tokens changed, positions and mask as they were."""
    inputs = {"input_ids": 1, "inputs_embeds": 1}
    return parity.later_changed(call, inputs, WHOLE_PLACES, seen=seeing(call), at=kept(call))


def whole_padded(call: parity.Call) -> parity.Twin:
    """A longer call with its padding masked out; where there was no mask, one for the twin alone."""
    shape, keep = sizes(call), call.inputs.get("logits_to_keep")
    left = isinstance(keep, int) or bool(call.rng.integers(2))  # the last few are still the last few
    given = {"attention_mask": np.ones(shape, np.int64), **call.inputs}
    if isinstance(keep, int):  # what was more than there were is not to reach into the padding
        given["logits_to_keep"] = min(keep, shape[1])
    elif isinstance(keep, np.ndarray):  # negative ones count from an end that moves
        given["logits_to_keep"] = keep % shape[1] + 2 * left
    inputs = {
        "input_ids": (1, None),
        "inputs_embeds": (1, None),
        "attention_mask": (1, 0),
        "position_ids": (1, 0),
    }
    outputs = {**WHOLE_PLACES, "attentions.*": (2, 3), "logits": 1 if keep is None else ()}
    longer = dataclasses.replace(call, inputs=given)
    real = given["attention_mask"] != 0
    return parity.padded(longer, inputs, outputs, left=left, by=2, real=real, at=kept(call))


def can_be_padded(config: Config, form: Config) -> bool:
    """Not with labels or a mask of another size, nor where one ends packing, nor where padding moves rotary tables."""
    packed = form["mask"] == "none" and form["positions"] and not form["use_cache"]
    moved = length_dependent(config) and not form["positions"]
    fits = form["mask"] == "none" or (form["mask"] == "padding" and not form["beyond"])
    return fits and not packed and not moved and not has_loss(form)


WHOLE_LAWS = {
    "causality": parity.Law(
        twin=whole_causal,
        why="no position sees a later one",
        # A mask of booleans hides nothing, and a loss is of all positions.
        where=lambda config, form: form["mask"] != "bool" and not has_loss(form),
    ),
    "padding": parity.Law(twin=whole_padded, why="what is masked out is not there", where=can_be_padded),
    "batch_permuted": rows_permuted(rows_of),
}


def sizes(call: parity.Call) -> tuple[int, int]:
    """Batch and length."""
    given = (call.inputs.get(name) for name in ("input_ids", "inputs_embeds", "hidden_states"))
    batch, length = next(x for x in given if x is not None).shape[:2]
    return batch, length


def seeing(call: parity.Call) -> np.ndarray:
    """The positions [B, L] that see anything; one that sees nothing is uniform over all, later ones included."""
    mask = call.inputs.get("attention_mask")
    if mask is None:
        return np.ones(sizes(call), bool)
    if mask.ndim == 4:
        return (mask == 0).any(-1)[:, 0]
    batch, length = sizes(call)
    given = np.concatenate([mask, np.zeros((batch, length), mask.dtype)], axis=1)[:, :length]  # cut, or continued
    return np.cumsum(given, axis=-1) > 0


def kept(call: parity.Call) -> dict[str, Any]:
    """The positions that logits stand for, where not all are kept."""
    keep = call.inputs.get("logits_to_keep")
    if keep is None:
        return {}
    return {"logits": np.arange(sizes(call)[1])[-keep:] if isinstance(keep, int) else keep}
