"""Laws that once blamed a right port: what they ask of their second call."""

import numpy as np

import parity
from cases.llama import laws


def test_no_more_logits_are_kept_of_padding_than_there_were() -> None:
    """Two were asked for of one position, which has one; its padded twin must not give one of the padding."""
    inputs = {"input_ids": np.zeros((1, 1), np.int64), "attention_mask": np.ones((1, 1), np.int64), "logits_to_keep": 2}
    call = parity.Call({}, {"mask": "padding", "beyond": 0, "keep": 2}, inputs, np.random.default_rng(0))
    twin = laws.whole_padded(call)
    assert twin.inputs["input_ids"].shape == (1, 3)
    assert twin.inputs["logits_to_keep"] == 1
