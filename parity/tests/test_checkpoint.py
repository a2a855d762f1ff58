"""A checkpoint's folder: read exactly, held against what a model wants, and every broken one told in one line."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest
from safetensors.numpy import save_file

from parity.checkpoint import INDEX, SINGLE, Checkpoint, fit, open_folder
from parity.errors import BadInput
from parity.weights import Leaf

Array = npt.NDArray[Any]
A = np.arange(6, dtype=np.float32).reshape(2, 3)
B = np.full(4, 0.5, np.float32)
FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
WANTED = {"a.weight": Leaf((2, 3), "float32"), "b.weight": Leaf((4,), "float32")}
TIES = {"head.weight": "a.weight"}


def single(folder: Path, tensors: Mapping[str, Array] | None = None) -> None:
    """Write one file of tensors."""
    save_file(dict(tensors or {"a.weight": A, "b.weight": B}), folder / SINGLE)


def sharded(folder: Path, second: Mapping[str, Array] | None = None, names: Sequence[str] = (FIRST, SECOND)) -> None:
    """Write two files and an index that names `names`."""
    save_file({"a.weight": A}, folder / FIRST)
    save_file(dict(second or {"b.weight": B}), folder / SECOND)
    index(folder, dict(zip(("a.weight", "b.weight"), names, strict=True)))


def index(folder: Path, table: Any) -> None:
    """Write an index."""
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": table}))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a configuration and no weights yet."""
    (tmp_path / "config.json").write_text('{"model_type": "tiny"}')
    return tmp_path


def test_one_file_is_read_by_name(folder: Path) -> None:
    """Its configuration, what its tensors are, and each of them."""
    single(folder)
    checkpoint = open_folder(folder)
    assert checkpoint.path == folder
    assert checkpoint.config == {"model_type": "tiny"}
    assert checkpoint.leaves == WANTED
    assert checkpoint.encode is None
    np.testing.assert_array_equal(checkpoint.read("a.weight"), A, strict=True)
    np.testing.assert_array_equal(checkpoint.read("b.weight"), B, strict=True)


def test_shards_are_one_checkpoint(folder: Path) -> None:
    """A tensor comes from whichever file holds it, and a file that the index does not name is let be."""
    sharded(folder)
    save_file({"other": B}, folder / "adapter.safetensors")
    checkpoint = open_folder(folder)
    assert checkpoint.leaves == WANTED
    np.testing.assert_array_equal(checkpoint.read("a.weight"), A, strict=True)
    np.testing.assert_array_equal(checkpoint.read("b.weight"), B, strict=True)


@pytest.mark.parametrize("dtype", [np.dtype(np.float16), BFLOAT16], ids=lambda dtype: dtype.name)
def test_every_half_is_widened_exactly(folder: Path, dtype: np.dtype[Any]) -> None:
    """All 65536 of them, NaN and inf included; what was stored is told."""
    halves = np.arange(2**16, dtype=np.uint16).view(dtype)
    single(folder, {"x": halves})
    checkpoint = open_folder(folder)
    with np.errstate(invalid="ignore"):  # NaN that signal
        x, expected = checkpoint.read("x"), halves.astype(np.float64)
        assert x.dtype == np.float32
        np.testing.assert_array_equal(x.astype(np.float64), expected)
    assert checkpoint.leaves == {"x": Leaf((2**16,), dtype.name)}


def test_bfloat16_needs_no_other_room_to_be_loaded(folder: Path) -> None:
    """In a process of its own: NumPy knows the dtype only once somebody has imported it."""
    single(folder, {"x": B.astype(BFLOAT16)})
    code = f"""
import pathlib, sys
from parity.checkpoint import open_folder
print(open_folder(pathlib.Path({str(folder)!r})).read("x").tolist(), sorted({{"torch", "jax"}} & set(sys.modules)))
"""
    here = str(Path(__file__).parents[2])
    done = subprocess.run([sys.executable, "-c", code], cwd=here, capture_output=True, text=True, check=True)
    assert done.stdout == "[0.5, 0.5, 0.5, 0.5] []\n"


@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "model.pt", "model.pth", "last.ckpt"], ids=["bin", "pt", "pth", "ckpt"]
)
def test_a_pickle_is_refused_unopened(folder: Path, name: str) -> None:
    """Even one that would do something when it is loaded; next to safetensors it is let be."""
    (folder / name).write_bytes(b"cos\nmkdir\n(S'" + str(folder / "loaded").encode() + b"'\ntR.")
    with pytest.raises(BadInput) as caught:
        open_folder(folder)
    assert str(caught.value) == f"{folder}: {name} is pickled and never loaded: save the weights as safetensors"
    single(folder)
    assert set(open_folder(folder).leaves) == {"a.weight", "b.weight"}
    assert not (folder / "loaded").exists()


def replaced(name: str, text: str) -> Callable[[Path], Any]:
    """Write a file of the folder."""
    return lambda folder: (folder / name).write_text(text)


BROKEN: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no_folder": (lambda f: (f / "config.json").unlink() or f.rmdir(), "{f}: there is no such path"),
    "no_config": (lambda f: (f / "config.json").unlink(), "{f} has no config.json: not a checkpoint's folder"),
    "config_is_no_json": (
        replaced("config.json", "model_type: tiny"),
        "{f}/config.json: not JSON: Expecting value: line 1 column 1 (char 0)",
    ),
    "config_is_a_list": (replaced("config.json", "[]"), "{f}/config.json: a JSON object is expected, not list"),
    "no_weights": (lambda f: None, f"{{f}} has no weights: neither {SINGLE} nor {INDEX}"),
    "index_is_no_json": (
        replaced(INDEX, "{"),
        f"{{f}}/{INDEX}: not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
    ),
    "index_without_a_table": (replaced(INDEX, "{}"), f"{{f}}/{INDEX}: no `weight_map` of tensor names to files"),
    "index_with_an_empty_table": (lambda f: index(f, {}), f"{{f}}/{INDEX}: no `weight_map` of tensor names to files"),
    "missing_shards": (
        lambda f: sharded(f, names=("x.safetensors", "y.safetensors")),
        "{f}: missing shards, named by the index: `x.safetensors`, `y.safetensors`",
    ),
    "path_outside": (
        lambda f: sharded(f, names=(FIRST, "../other.safetensors")),
        f"{{f}}/{INDEX}: names '../other.safetensors', which is not a file of its own folder",
    ),
    "absolute_path": (
        lambda f: sharded(f, names=("/etc/passwd", FIRST)),
        f"{{f}}/{INDEX}: names '/etc/passwd', which is not a file of its own folder",
    ),
    "folder_above": (
        lambda f: sharded(f, names=("..", FIRST)),
        "{f}: missing shards, named by the index: `..`",
    ),
    "one_tensor_twice": (
        lambda f: sharded(f, {"a.weight": A, "b.weight": B}),
        f"{{f}}: tensor `a.weight` is in two files: {FIRST} and {SECOND}",
    ),
    "integers": (
        lambda f: single(f, {"a.weight": A, "b.weight": B.astype(np.int32)}),
        f"{{f}}/{SINGLE}: tensor `b.weight` is I32: only F32, F16, BF16 are read",
    ),
    "doubles": (
        lambda f: single(f, {"a.weight": A.astype(np.float64)}),
        f"{{f}}/{SINGLE}: tensor `a.weight` is F64: only F32, F16, BF16 are read",
    ),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_folder_is_told_in_one_line(folder: Path, how: str) -> None:
    """Which file, and what is the matter with it."""
    breaks, told = BROKEN[how]
    breaks(folder)
    with pytest.raises(BadInput) as caught:
        open_folder(folder)
    assert str(caught.value) == told.format(f=folder)


def test_a_file_is_no_folder(folder: Path) -> None:
    """A checkpoint is given as its folder, not as one of its files."""
    with pytest.raises(BadInput) as caught:
        open_folder(folder / "config.json")
    assert str(caught.value) == f"{folder}/config.json: not a folder or a .gguf file"


def test_a_configuration_nested_without_end_is_told_like_any_other(folder: Path) -> None:
    """The parser gives up, not parity."""
    (folder / "config.json").write_text("[" * 200_000)
    with pytest.raises(BadInput) as caught:
        open_folder(folder)
    assert str(caught.value).startswith(f"{folder}/config.json: not JSON: ")


@pytest.mark.parametrize("size", [0, 4, 60, -1], ids=["empty", "length", "header", "last_byte"])
def test_a_truncated_shard_is_named(folder: Path, size: int) -> None:
    """Wherever it was cut, before any tensor is read; the rest of the line is the reader's own."""
    sharded(folder)
    whole = (folder / SECOND).read_bytes()
    (folder / SECOND).write_bytes(whole[:size])
    with pytest.raises(BadInput) as caught:
        open_folder(folder)
    assert str(caught.value).startswith(f"{folder}/{SECOND}: truncated, or no safetensors file: ")
    assert "\n" not in str(caught.value)


def holding(*names: str, **shapes: tuple[int, ...]) -> Checkpoint:
    """A checkpoint of these tensors, as wanted or of these shapes."""
    wanted = {**WANTED, "head.weight": WANTED["a.weight"]}
    leaves = {name: Leaf(shapes.get(name[0], wanted.get(name, Leaf((1,), "")).shape), "float32") for name in names}
    return Checkpoint(Path("tiny"), {}, leaves, lambda name: A)


@pytest.mark.parametrize(
    ("stored", "read"),
    [
        (("a.weight", "b.weight"), "a.weight"),
        (("head.weight", "b.weight"), "head.weight"),
        (("head.weight", "a.weight", "b.weight"), "a.weight"),
    ],
    ids=["first", "other", "both"],
)
def test_a_tied_tensor_may_be_stored_under_either_name(stored: tuple[str, ...], read: str) -> None:
    """Or under both; the one that comes first in the reference is read."""
    assert fit(holding(*stored), WANTED, ties=TIES) == ({"a.weight": read, "b.weight": "b.weight"}, ())


def test_a_head_that_is_not_tied_is_one_too_many() -> None:
    """The configuration decides whether there is one."""
    with pytest.raises(BadInput) as caught:
        fit(holding("a.weight", "b.weight", "head.weight"), WANTED, ties={})
    assert str(caught.value) == "tiny: the tensors are not those of its configuration: extra: `head.weight`"


def test_everything_that_does_not_fit_is_told_at_once() -> None:
    """Missing, extra and misshapen tensors, in one line."""
    with pytest.raises(BadInput) as caught:
        fit(holding("a.weight", "c.weight", "d.weight", a=(3, 2)), WANTED, ties=TIES)
    assert str(caught.value) == (
        "tiny: the tensors are not those of its configuration: missing: `b.weight`; "
        "extra: `c.weight`, `d.weight`; of another shape: `a.weight` is (3, 2), the model's (2, 3)"
    )


def test_a_tied_tensor_stored_twice_is_measured_twice() -> None:
    """A head of another shape is refused though it is never read."""
    with pytest.raises(BadInput) as caught:
        fit(holding("a.weight", "b.weight", "head.weight", h=(9, 3)), WANTED, ties=TIES)
    assert str(caught.value).endswith(": of another shape: `head.weight` is (9, 3), the model's (2, 3)")


def test_of_many_names_the_first_are_told_and_the_rest_counted() -> None:
    """Four of them."""
    wanted = {f"{number}.weight": Leaf((1,), "float32") for number in range(7)}
    with pytest.raises(BadInput) as caught:
        fit(holding(), wanted, ties={})
    assert str(caught.value).endswith(": missing: `0.weight`, `1.weight`, `2.weight`, `3.weight` and 3 more")


def test_leftovers_are_allowed_and_told() -> None:
    """A star stands for one step of a name; what a pattern does not mean stays one too many."""
    patterns = ("layers.*.inv_freq",)
    found = fit(holding("a.weight", "b.weight", "layers.0.inv_freq"), WANTED, ties={}, leftovers=patterns)
    assert found == ({"a.weight": "a.weight", "b.weight": "b.weight"}, ("layers.0.inv_freq",))
    with pytest.raises(BadInput) as caught:
        fit(holding("a.weight", "b.weight", "layers.0.x.inv_freq"), WANTED, ties={}, leftovers=patterns)
    assert str(caught.value).endswith(": extra: `layers.0.x.inv_freq`")
