"""A checkpoint on disk: its configuration, what its tensors are before a byte of them is read, then one at a time."""

import dataclasses
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import ml_dtypes
import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from parity.errors import BadInput
from parity.weights import Leaf

Array = npt.NDArray[Any]
Encode = Callable[[str], list[int]]

WIDENED = {"F32": np.dtype(np.float32), "F16": np.dtype(np.float16), "BF16": np.dtype(ml_dtypes.bfloat16)}
INDEX, SINGLE = "model.safetensors.index.json", "model.safetensors"
PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")
SHOWN = 4  # names of one kind of problem; how many more there are is said


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A configuration and named tensors.

    Attributes:
        path: the folder or file.
        config: the contents of config.json.
        leaves: tensor name -> shape and dtype as stored: float32, float16 or bfloat16.
        read: gives a tensor by name in float32: halves are widened, which is exact.
        encode: text -> token ids, where opening the checkpoint gave a tokenizer too; the folder holds it otherwise.
    """

    path: Path
    config: Mapping[str, Any]
    leaves: Mapping[str, Leaf]
    read: Callable[[str], Array]
    encode: Encode | None = None


def open_folder(path: Path) -> Checkpoint:
    """Open a Hugging Face folder: config.json and one safetensors file, or shards with an index. Nothing is unpickled.

    Raises:
        BadInput: something is missing or can't be read; names the file.
    """
    if not path.is_dir():
        raise BadInput(f"{path}: {'not a folder or a .gguf file' if path.exists() else 'there is no such path'}")
    config = _json(path / "config.json", f"{path} has no config.json: not a checkpoint's folder")
    places: dict[str, Path] = {}
    leaves: dict[str, Leaf] = {}
    for file in _shards(path):
        for name, leaf in _header(file):
            if name in places:
                raise BadInput(f"{path}: tensor `{name}` is in two files: {places[name].name} and {file.name}")
            places[name], leaves[name] = file, leaf
    return Checkpoint(path, config, leaves, lambda name: _read(places[name], name))


def fit(
    checkpoint: Checkpoint,
    wanted: Mapping[str, Leaf],
    *,
    ties: Mapping[str, str],
    leftovers: Iterable[str] = (),
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Hold a checkpoint's names and shapes against a model's, before any tensor is read.

    Args:
        checkpoint: what there is.
        wanted: the model's tensors by name, a tied one once.
        ties: a tied tensor's other name -> its name in `wanted`. A checkpoint may hold either, or both.
        leftovers: patterns of names that a checkpoint may hold and that nothing reads.

    Returns:
        For each name in `wanted` its name in the checkpoint; and the leftovers that were found.

    Raises:
        BadInput: tensors are missing, extra, or of another shape: all of it in one line.
    """
    aliases = {first: other for other, first in ties.items() if other in checkpoint.leaves}
    names = {name: name if name in checkpoint.leaves else aliases.get(name, name) for name in wanted}
    known = {*names.values(), *ties}
    left = tuple(name for name in checkpoint.leaves if name not in known and _matches(name, leftovers))
    missing = [f"`{name}`" for name, stored in names.items() if stored not in checkpoint.leaves]
    extra = [f"`{name}`" for name in checkpoint.leaves if name not in known and name not in left]
    shapes = {**{stored: name for name, stored in names.items()}, **ties}
    unlike = [
        f"`{stored}` is {checkpoint.leaves[stored].shape}, the model's {wanted[name].shape}"
        for stored, name in shapes.items()
        if stored in checkpoint.leaves and checkpoint.leaves[stored].shape != wanted[name].shape
    ]
    problems = [_listed("missing", missing), _listed("extra", extra), _listed("of another shape", unlike)]
    if any(problems):
        raise BadInput(
            f"{checkpoint.path}: the tensors are not those of its configuration: {'; '.join(filter(None, problems))}"
        )
    return names, left


def _shards(path: Path) -> list[Path]:
    index = path / INDEX
    if index.exists():
        table = _json(index, "").get("weight_map")
        if not isinstance(table, Mapping) or not table:
            raise BadInput(f"{index}: no `weight_map` of tensor names to files")
        files = sorted({str(file) for file in cast(Mapping[str, Any], table).values()})
        if outside := [file for file in files if Path(file).name != file]:
            raise BadInput(f"{index}: names {outside[0]!r}, which is not a file of its own folder")
        if absent := [f"`{file}`" for file in files if not (path / file).is_file()]:
            raise BadInput(f"{path}: {_listed('missing shards, named by the index', absent)}")
        return [path / file for file in files]
    if (path / SINGLE).is_file():
        return [path / SINGLE]
    pickled = sorted(file.name for pattern in PICKLED for file in path.glob(pattern))
    if pickled:
        raise BadInput(f"{path}: {pickled[0]} is pickled and never loaded: save the weights as safetensors")
    raise BadInput(f"{path} has no weights: neither {SINGLE} nor {INDEX}")


def _header(file: Path) -> Iterator[tuple[str, Leaf]]:
    """Names, shapes and dtypes of one file; safetensors itself sees to it that the file is as long as they say."""
    try:
        with safe_open(file, framework="np") as tensors:
            for name in tensors.keys():  # noqa: SIM118
                view = tensors.get_slice(name)
                dtype = str(view.get_dtype())
                if dtype not in WIDENED:
                    raise BadInput(f"{file}: tensor `{name}` is {dtype}: only {', '.join(WIDENED)} are read")
                yield name, Leaf(tuple(int(size) for size in view.get_shape()), WIDENED[dtype].name)
    except (SafetensorError, OSError) as error:
        raise BadInput(f"{file}: truncated, or no safetensors file: {' '.join(str(error).split())}") from None


def _read(file: Path, name: str) -> Array:
    with safe_open(file, framework="np") as tensors:
        return np.asarray(tensors.get_tensor(name)).astype(np.float32)


def _json(file: Path, missing: str) -> Mapping[str, Any]:
    try:
        node = json.loads(file.read_text())
    except FileNotFoundError:
        raise BadInput(missing) from None
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput(f"{file}: not JSON: {' '.join(str(error).split())}") from None
    if not isinstance(node, Mapping):
        raise BadInput(f"{file}: a JSON object is expected, not {type(node).__name__}")
    return cast(Mapping[str, Any], node)


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(re.fullmatch(re.escape(pattern).replace(r"\*", "[^.]+"), name) for pattern in patterns)


def _listed(what: str, items: list[str]) -> str:
    if not items:
        return ""
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return f"{what}: {', '.join(items[:SHOWN])}{more}"
