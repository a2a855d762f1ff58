"""Write a model as a folder that `transformers` loads bit for bit; every file is whole before it gets its name."""

import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.experimental import multihost_utils

from .load import parameters
from .names import stored
from .tensors import INDEX, SINGLE, Array, Source, ordered, shards, write

CONFIG = "config.json"
WEIGHTS = (SINGLE, "model-*-of-*.safetensors", INDEX)
# What else a folder holds that belongs to the model, and that nothing here reads.
COMPANIONS = (
    "generation_config.json",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template*",
)
UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def save(
    model: nnx.Module, folder: Path, *, config: Mapping[str, Any], max_shard_size: int | str, like: Path | None
) -> None:
    """Write weights and configuration.

    Of several hosts the first one writes, and every one must call this: what lies on others is sent over tensor by
    tensor.

    Args:
        model: all of its parameters are written, each as it is.
        folder: made if there is none; weights that it holds are replaced, other files are left alone.
        config: the contents of config.json, without the dtype.
        max_shard_size: bytes, or text such as "500MB"; a tensor that is larger gets a shard of its own.
        like: a folder whose generation configuration and tokenizer are copied.
    """
    sources = {stored(path).name: _source(path, variable) for path, variable in parameters(model).items()}
    largest = _bytes(max_shard_size)
    dtype = jnp.result_type(*(source.dtype for source in sources.values())).name
    if jax.process_index():
        for _, group in shards(sources, largest):
            for _, source in ordered(group):
                source.read()
    else:
        _write(folder, sources, {**config, "dtype": dtype}, largest=largest, like=like)
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(f"{folder} is written")


def _write(
    folder: Path, sources: Mapping[str, Source], config: Mapping[str, Any], *, largest: int, like: Path | None
) -> None:
    """Everything beside its place, and then into it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as name:
        made = Path(name)
        _write_weights(made, sources, largest)
        _write_json(made / CONFIG, config)
        for file in (file for pattern in COMPANIONS if like for file in like.glob(pattern)):
            shutil.copy(file, made / file.name)
        _publish(made, folder)


def _source(path: str, variable: nnx.Param) -> Source:
    """A parameter, fetched from its devices when its turn comes."""
    there = stored(path)

    def read() -> Array:
        x = variable.get_value()
        x = np.asarray(x if x.is_fully_addressable else multihost_utils.process_allgather(x, tiled=True))
        return x.T if there.transposed else x

    return Source(there.shape(tuple(variable.shape)), jnp.dtype(variable.dtype), read)


def _write_weights(folder: Path, sources: Mapping[str, Source], largest: int) -> None:
    """One file; or shards and the index that says where each tensor is."""
    places: dict[str, str] = {}
    for file, group in shards(sources, largest):
        write(folder / file, group)
        places.update(dict.fromkeys(group, file))
    if set(places.values()) != {SINGLE}:
        total = {"total_size": sum(source.nbytes for source in sources.values())}
        _write_json(folder / INDEX, {"metadata": total, "weight_map": places})


def _publish(made: Path, folder: Path) -> None:
    """Move finished files in; where the folder was there before, what it held of other weights goes last."""
    if not folder.exists():
        umask = os.umask(0)
        os.umask(umask)
        made.chmod(0o777 & ~umask)  # a temporary folder is closed to others
        made.rename(folder)
        made.mkdir()  # for its owner to remove
        return
    names = sorted(file.name for file in made.iterdir())
    for name in names:
        os.replace(made / name, folder / name)
    for file in (file for pattern in WEIGHTS for file in folder.glob(pattern)):
        if file.name not in names:
            file.unlink()


def _write_json(file: Path, content: Mapping[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")


def _bytes(size: int | str) -> int:
    """A size in bytes, from a number or from text such as "500MB" or "2GiB"."""
    parts = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Z]*)", str(size).strip().upper())
    if not parts or parts[2] not in UNITS or not (number := int(float(parts[1]) * UNITS[parts[2]])):
        raise ValueError(f'max_shard_size = {size!r}: give bytes above 0, or text such as "500MB" or "2GiB"')
    return number
