"""Safetensors files: names, shapes and dtypes first, then any part of any tensor; written one tensor at a time.

A file is the length of its header (8 bytes, little-endian), the header in JSON, and the tensors, row by row.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Read = Callable[[], Array]
INDEX, SINGLE = "model.safetensors.index.json", "model.safetensors"
DTYPES: Mapping[str, Any] = {
    "F64": np.dtype(np.float64),
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "BF16": jnp.dtype(jnp.bfloat16),
}
CODES: Mapping[str, str] = {dtype.name: code for code, dtype in DTYPES.items()}
PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")
ALIGNMENT = 8  # bytes; what the header is padded to, so that every tensor can be mapped in place


class BadCheckpoint(ValueError):
    """A checkpoint that cannot be read, or does not fit the model; `problems` holds one line each."""

    def __init__(self, subject: str | Path, problems: Sequence[str]):
        self.problems = list(problems)
        super().__init__(f"{subject}:" + "".join(f"\n  {line}" for line in problems))


@dataclass(frozen=True)
class Tensor:
    """Where a tensor lies; its bytes stay on disk until a part of it is asked for."""

    file: Path
    start: int  # bytes from the beginning of the file
    shape: tuple[int, ...]
    dtype: Any

    def mapped(self) -> Array:
        """The tensor as a read-only view of the file. Copy what is to be kept: the file may change."""
        if not math.prod(self.shape):
            return np.zeros(self.shape, self.dtype)
        return np.memmap(self.file, self.dtype, "r", self.start, self.shape)


def open_folder(folder: Path) -> dict[str, Tensor]:
    """All tensors of a checkpoint of one file, or of shards with an index, by name. Nothing is ever unpickled.

    Raises:
        BadCheckpoint: there are no weights, a shard is missing, a tensor stands in two shards, or a file is
            truncated or no safetensors file.
    """
    found: dict[str, Tensor] = {}
    for file in _files(folder):
        for name, tensor in _header(file).items():
            if name in found:
                raise BadCheckpoint(folder, [f"`{name}` is in two files: {found[name].file.name} and {file.name}"])
            found[name] = tensor
    return found


def _files(folder: Path) -> list[Path]:
    if (folder / SINGLE).is_file():  # as in the reference, it goes before an index
        return [folder / SINGLE]
    if not (folder / INDEX).is_file():
        pickled = sorted(file.name for pattern in PICKLED for file in folder.glob(pattern))
        told = f"{pickled[0]} is pickled and never loaded" if pickled else f"neither {SINGLE} nor {INDEX} is there"
        raise BadCheckpoint(folder, [told])
    try:
        names = sorted(set(json.loads((folder / INDEX).read_text())["weight_map"].values()))
        if outside := [name for name in names if Path(name).name != name]:
            raise BadCheckpoint(folder, [f"{INDEX} names {outside[0]!r}, which is not a file of its own folder"])
    except (AttributeError, KeyError, TypeError, RecursionError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BadCheckpoint(folder, [f"{INDEX} maps no tensors to files: {error!r}"]) from None
    if missing := [name for name in names if not (folder / name).is_file()]:
        raise BadCheckpoint(folder, [f"{name} is missing, and {INDEX} names it" for name in missing])
    return [folder / name for name in names]


def _header(file: Path) -> dict[str, Tensor]:
    """The tensors of one file, each known to lie within it."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if not 0 < length <= size - 8:
            raise BadCheckpoint(file, [f"truncated, or no safetensors file: {size} bytes, a header of {length}"])
        text = stream.read(length)
    try:
        header = json.loads(text)
        entries = [(name, entry) for name, entry in header.items() if name != "__metadata__"]
        return {name: _tensor(file, name, entry, begin=8 + length, size=size) for name, entry in entries}
    except (AttributeError, KeyError, TypeError, RecursionError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BadCheckpoint(file, [f"no safetensors file: its header cannot be read: {error!r}"]) from None


def _tensor(file: Path, name: str, entry: Mapping[str, Any], *, begin: int, size: int) -> Tensor:
    code, shape, (start, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
    if code not in DTYPES:
        raise BadCheckpoint(file, [f"`{name}` is {code}: only {', '.join(DTYPES)} are read"])
    if min(shape, default=0) < 0 or end - start != math.prod(shape) * DTYPES[code].itemsize:
        raise BadCheckpoint(file, [f"`{name}` {shape} {code} does not take {end - start} bytes"])
    if not 0 <= start <= end <= size - begin:
        raise BadCheckpoint(file, [f"truncated: `{name}` ends at byte {begin + end} of {size}"])
    return Tensor(file, begin + start, shape, DTYPES[code])


@dataclass(frozen=True)
class Source:
    """A tensor to be written: what it is, and how to get it when its turn comes.

    Raises:
        TypeError: when written, if `read` gives another shape or dtype.
    """

    shape: tuple[int, ...]
    dtype: Any
    read: Read

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def ordered(sources: Mapping[str, Source]) -> list[tuple[str, Source]]:
    """In the order that they are written in."""
    return sorted(sources.items(), key=lambda entry: -entry[1].dtype.itemsize)


def write(file: Path, sources: Mapping[str, Source]) -> None:
    """Write one file, reading one source at a time; the widest dtypes first, so that every tensor is aligned."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    start = 0
    for name, source in ordered(sources):
        code = CODES[source.dtype.name]
        header[name] = {"dtype": code, "shape": source.shape, "data_offsets": (start, start + source.nbytes)}
        start += source.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    with file.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        for name, source in ordered(sources):
            _write(stream, name, source)


def _write(stream: BinaryIO, name: str, source: Source) -> None:
    x = source.read()
    if x.shape != source.shape or x.dtype != source.dtype:
        raise TypeError(f"`{name}` is {x.shape} {x.dtype}, announced as {source.shape} {source.dtype}")
    stream.write(np.ascontiguousarray(x).reshape(-1).view(np.uint8).data)


def shards(sources: Mapping[str, Source], largest: int) -> Iterator[tuple[str, dict[str, Source]]]:
    """File names with what goes into them: at most `largest` bytes each, or one tensor that is larger alone."""
    groups: list[dict[str, Source]] = [{}]
    for name, source in sources.items():
        if groups[-1] and sum(x.nbytes for x in groups[-1].values()) + source.nbytes > largest:
            groups.append({})
        groups[-1][name] = source
    total = len(groups)
    for number, group in enumerate(groups, start=1):
        yield SINGLE if total == 1 else f"model-{number:05}-of-{total:05}.safetensors", group
