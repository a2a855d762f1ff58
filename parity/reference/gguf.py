"""A GGUF file: its architecture looked at first, then read by transformers, dequantised to float32."""

import contextlib
import functools
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, cast

from parity.checkpoint import Checkpoint, Encode
from parity.errors import BadInput
from parity.reference.build import array
from parity.weights import Leaf

# What transformers notes in a configuration about the file that it came from.
NOT_THE_MODELS = ("quantization_config", "dtype")


def open_gguf(path: Path, architectures: Collection[str]) -> Checkpoint:
    """Read a GGUF file of one of these architectures.

    Raises:
        BadInput: no GGUF, truncated, of another architecture, or a package to read it with is not installed.
    """
    _installed()
    with _read_once():
        found = _architecture(path)
        if found not in architectures:
            raise BadInput(f"{path}: its architecture is {found!r}; this port's: {', '.join(architectures)}")
        try:
            return _load(path)
        except (ValueError, KeyError, OSError, IndexError, AttributeError, NotImplementedError, RuntimeError) as error:
            raise BadInput(f"{path}: transformers can't read it: {type(error).__name__}: {_line(error)}") from None


def encoder(folder: Path, file: str | None = None) -> Encode:
    """The tokenizer of a checkpoint's folder, or of a GGUF file in it, as a function; raises BadInput."""
    from transformers import AutoTokenizer

    if file is None and not any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer.model")):
        raise BadInput(f"{folder} has no tokenizer: neither tokenizer.json nor tokenizer.model")
    options: dict[str, Any] = {"gguf_file": file} if file else {}
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(str(folder), local_files_only=True, **options)
    except Exception as error:  # whatever a tokenizer's own file makes it raise
        raise BadInput(
            f"{folder / (file or '')}: the tokenizer can't be read: {type(error).__name__}: {_line(error)}"
        ) from None
    return lambda text: [int(token) for token in tokenizer(text)["input_ids"]]


def _load(path: Path) -> Checkpoint:
    """What transformers makes of a file; it would draw a tensor that is missing, or misshapen, at random."""
    from transformers import AutoModelForCausalLM

    with _no_bars():
        encode = encoder(path.parent, path.name)
        model, found = cast(Any, AutoModelForCausalLM).from_pretrained(
            str(path.parent),
            gguf_file=path.name,
            local_files_only=True,
            dtype="float32",
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
    config = {
        name: value
        for name, value in model.config.to_dict().items()
        if name not in NOT_THE_MODELS and not name.startswith("_")
    }
    tensors = {name: array(parameter) for name, parameter in model.named_parameters()}
    leaves = {name: Leaf(tuple(x.shape), x.dtype.name) for name, x in tensors.items()}
    leaves.update({name: Leaf(tuple(stored), "float32") for name, stored, _ in found["mismatched_keys"]})
    leaves = {name: leaf for name, leaf in leaves.items() if name not in found["missing_keys"]}
    return Checkpoint(path, config, leaves, lambda name: tensors[name], encode)


def _architecture(path: Path) -> str:
    import gguf

    try:
        field: Any = gguf.GGUFReader(path).fields.get("general.architecture")
        return str(field.contents()) if field else "none"
    except (ValueError, IndexError, KeyError, OSError, TypeError, OverflowError, MemoryError) as error:
        raise BadInput(f"{path}: truncated, or no GGUF file: {_line(error)}") from None


@contextlib.contextmanager
def _read_once() -> Iterator[None]:
    """One reader for one file: transformers makes four, at 5 to 12 s each for 50000 tokens."""
    import gguf

    before = gguf.GGUFReader
    gguf.GGUFReader = functools.lru_cache(maxsize=1)(lambda path, mode="r": before(str(path), mode))  # type: ignore[misc,assignment]
    try:
        yield
    finally:
        gguf.GGUFReader = before  # type: ignore[misc]


@contextlib.contextmanager
def _no_bars() -> Iterator[None]:
    """Nothing on stderr: neither transformers' own bars and warnings nor the bar of its GGUF reader."""
    from transformers import modeling_gguf_pytorch_utils
    from transformers.utils import logging

    theirs: Any = modeling_gguf_pytorch_utils
    bar, shown, level = theirs.tqdm, logging.is_progress_bar_enabled(), logging.get_verbosity()
    theirs.tqdm = lambda items, **_: items
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        theirs.tqdm = bar
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()


def _installed() -> None:
    for package in ("gguf", "accelerate"):
        try:
            __import__(package)
        except ImportError:
            raise BadInput(f"a .gguf file needs the package {package}: pip install 'parity[real]'") from None


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
