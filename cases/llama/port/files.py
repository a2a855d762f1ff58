"""`from_pretrained` and `save_pretrained` of the whole models: a Hugging Face folder in and out, without torch."""

import json
from pathlib import Path
from typing import Any, Self

import jax.numpy as jnp
from flax import nnx
from jax.sharding import Mesh
from jax.typing import DTypeLike

from .config import LlamaConfig
from .config_json import merged
from .load import load
from .save import CONFIG, save
from .sharding import RULES, Rules, shardings
from .tensors import BadCheckpoint


class Pretrained(nnx.Module):
    """A whole model: made from a configuration, which it keeps."""

    config: LlamaConfig

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        *,
        config: LlamaConfig | None = None,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike | None = None,
        rngs: nnx.Rngs | None = None,
        mesh: Mesh | None = None,
        rules: Rules = RULES,
        **options: Any,
    ) -> Self:
        """Read a checkpoint straight into arrays, cast and turned one by one: memory peaks at the model and one tensor.

        Args:
            folder: holds config.json, and model.safetensors or shards with an index.
            config: goes before config.json, which is not read then.
            dtype: of computations; that of the parameters where none is given.
            param_dtype: of parameters; where none is given `dtype`, or else that of each tensor as stored.
            rngs: where given, a head that the checkpoint does not have is drawn from them, to be trained.
            mesh: where given, parameters are laid out over it by `rules`, and no device gets more than its own part.
            options: further arguments of the class, such as `scan`.

        Raises:
            UnsupportedConfig: config.json asks for what this port does not compute.
            BadCheckpoint: names every tensor that is missing, extra or misshapen, or the file that cannot be read.
            MeshMismatch: the mesh does not divide the model.
        """
        folder = Path(folder)
        found = _read_config(folder) if config is None else config
        made = {"dtype": dtype, "param_dtype": param_dtype or dtype or jnp.float32, **options}
        build: Any = cls
        return load(
            lambda streams: build(found, rngs=streams, **made),
            folder,
            tied=found.tie_word_embeddings,
            dtype=param_dtype or dtype,
            rngs=rngs,
            shardings=lambda model: {} if mesh is None else shardings(model, mesh, rules),
        )

    def save_pretrained(
        self, folder: str | Path, *, max_shard_size: int | str = "5GB", like: str | Path | None = None
    ) -> None:
        """Write config.json and the parameters, each in the dtype it has.

        Args:
            folder: made if there is none; weights that it holds are replaced.
            max_shard_size: bytes, or text such as "500MB"; a tensor that is larger gets a shard of its own.
            like: the checkpoint's folder that the model came from: fields of its config.json that this port does not
                read, its generation_config.json and its tokenizer are kept.
        """
        before = {} if like is None else json.loads((Path(like) / CONFIG).read_text())
        config = merged(self.config, before) | {"architectures": [type(self).__name__]}
        save(
            self,
            Path(folder),
            config=config,
            max_shard_size=max_shard_size,
            like=None if like is None else Path(like),
        )


def _read_config(folder: Path) -> LlamaConfig:
    if not (folder / CONFIG).is_file():
        raise BadCheckpoint(folder, [f"no {CONFIG} is there: give a checkpoint's folder"])
    try:
        return LlamaConfig.from_json(folder)
    except (json.JSONDecodeError, UnicodeDecodeError, AttributeError) as error:
        raise BadCheckpoint(folder, [f"{CONFIG} is no JSON object: {error}"]) from None
