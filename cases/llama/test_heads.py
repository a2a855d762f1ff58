"""The heads refuse what the reference refuses, and labels that do not fit, before anything is computed."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx
from transformers.models.llama import modeling_llama

from cases.llama.palettes import reference_config
from cases.llama.port import (
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForQuestionAnswering,
    LlamaForSequenceClassification,
    LlamaForTokenClassification,
    UnsupportedConfig,
)
from cases.llama.port.classification import last_token
from cases.llama.port.labels import fitting

SMALL = {
    "model_type": "llama",
    "vocab_size": 11,
    "hidden_size": 6,
    "intermediate_size": 7,
    "num_hidden_layers": 1,
    "num_attention_heads": 1,
    "num_labels": 3,
}
IDS = np.arange(8).reshape(2, 4)


def built(kind: Any, **fields: Any) -> Any:
    """A port, abstractly: nothing is initialised, so what computes would fail."""
    return nnx.eval_shape(lambda: kind(LlamaConfig.from_dict({**SMALL, **fields}), rngs=nnx.Rngs(0)))


def test_several_sequences_without_a_padding_token_are_refused_by_both():
    """Where the last token can't be told, the reference raises and so does the port, before it computes."""
    with pytest.raises(ValueError, match="pad_token_id is None: the last token of each of 2 sequences can't be told"):
        built(LlamaForSequenceClassification)(jnp.asarray(IDS))
    theirs = modeling_llama.LlamaForSequenceClassification(reference_config(SMALL))
    with pytest.raises(ValueError, match="batch sizes > 1"):
        theirs(torch.from_numpy(IDS))


@pytest.mark.parametrize(
    ("kind", "fields", "given", "said"),
    [
        (LlamaForSequenceClassification, {}, {"labels": (3,)}, r"labels has the shape \(3,\).* \(2,\) or \(2, 1\)"),
        (
            LlamaForSequenceClassification,
            {"problem_type": "multi_label_classification"},
            {"labels": (2,)},
            r"labels has the shape \(2,\); it must be \(2, 3\)",
        ),
        (LlamaForCausalLM, {}, {"labels": (2, 3)}, r"labels has the shape \(2, 3\); it must be \(2, 4\)"),
        (LlamaForTokenClassification, {}, {"labels": (2, 3)}, r"labels has the shape \(2, 3\); it must be \(2, 4\)"),
        (LlamaForQuestionAnswering, {}, {"start_positions": (4,)}, r"start_positions has the shape \(4,\)"),
        (LlamaForQuestionAnswering, {}, {"end_positions": (2, 4)}, r"end_positions has the shape \(2, 4\)"),
    ],
    ids=["one_a_sequence", "one_a_class", "a_next_one", "one_a_token", "a_start", "an_end"],
)
def test_labels_that_do_not_fit_are_refused(kind: Any, fields: Any, given: dict[str, tuple[int, ...]], said: str):
    """One clear error names the labels, their shape and what would fit."""
    labels = {name: jnp.zeros(shape, jnp.int32) for name, shape in given.items()}
    with pytest.raises(ValueError, match=said):
        built(kind, pad_token_id=0, **fields)(jnp.asarray(IDS), **labels)


@pytest.mark.parametrize(
    ("classes", "problem", "labels", "shapes"),
    [
        (3, None, jnp.int32, ((2,), (2, 1))),
        (3, None, jnp.float32, ((2, 3),)),
        (1, None, jnp.float32, ((2,), (2, 1))),
        (1, "multi_label_classification", jnp.float32, ((2, 1),)),
        (3, "regression", jnp.float32, ((2, 3),)),
    ],
    ids=["classes", "shares", "a_number", "a_share", "numbers"],
)
def test_the_problem_decides_which_labels_fit(classes: int, problem: str | None, labels: Any, shapes: Any):
    """A class or a single number a sequence has no axis of its own, or one; all else one number a class."""
    config = LlamaConfig.from_dict({**SMALL, "num_labels": classes, "problem_type": problem})
    assert fitting(jax.ShapeDtypeStruct((9,), labels), 2, config) == shapes  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "kind",
    [LlamaForSequenceClassification, LlamaForTokenClassification, LlamaForQuestionAnswering],
    ids=["of_a_text", "of_tokens", "of_a_span"],
)
def test_there_and_back_through_transformers(kind: Any, tmp_path: Path):
    """A head that `transformers` saved is loaded, saved and loaded by it again: the same bits and as many classes."""
    config = reference_config({**SMALL, "num_labels": 5, "problem_type": "regression", "classifier_dropout": 0.3})
    theirs = getattr(modeling_llama, kind.__name__)(config)
    theirs.save_pretrained(tmp_path / "theirs")
    ours = kind.from_pretrained(tmp_path / "theirs")
    read = ours.config
    assert (read.num_labels, read.problem_type, read.token_dropout) == (5, "regression", 0.3)
    ours.save_pretrained(tmp_path / "ours", like=tmp_path / "theirs")
    again = type(theirs).from_pretrained(tmp_path / "ours")
    assert again.config.num_labels == 5
    assert again.config.id2label == theirs.config.id2label
    for (name, x), (other, y) in zip(theirs.state_dict().items(), again.state_dict().items(), strict=True):
        assert name == other
        assert torch.equal(x, y)


def test_the_last_token_is_the_last_that_is_no_padding():
    """Padding on the left, on the right, inside, nowhere, and nothing else."""
    ids = jnp.asarray([[0, 0, 5, 6], [5, 6, 0, 0], [5, 0, 6, 0], [5, 6, 7, 8], [0, 0, 0, 0]])
    assert last_token(ids, 0).tolist() == [3, 1, 2, 3, 0]  # type: ignore[union-attr]


def test_how_many_classes_there_are_is_read_as_the_reference_reads_it():
    """`num_labels` outranks the names, and without either there are two; the same from `transformers`."""
    fields = [{}, {"id2label": {"0": "a", "1": "b", "2": "c"}}, {"id2label": {"0": "a", "1": "b"}, "num_labels": 5}]
    base = {name: value for name, value in SMALL.items() if name != "num_labels"}
    ours = [LlamaConfig.from_dict({**base, **given}).num_labels for given in fields]
    assert ours == [reference_config({**base, **given}).num_labels for given in fields] == [2, 3, 5]


def test_a_head_that_is_none_is_refused():
    """An unknown problem, and a choice of one, by name and with what would do."""
    with pytest.raises(UnsupportedConfig, match=r"problem_type = 'ranking' \(one of regression, "):
        LlamaConfig.from_dict({**SMALL, "problem_type": "ranking"})
    with pytest.raises(UnsupportedConfig, match="num_labels = 1 there is nothing to choose from"):
        LlamaConfig.from_dict({**SMALL, "problem_type": "single_label_classification", "num_labels": 1})
