"""The search on a real checkpoint, one layer of each side in memory at a time."""

import contextlib
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from parity.located import Located
from parity.locating.backward import pulled
from parity.locating.injected import injected
from parity.locating.parts import Parts
from parity.locating.run import check_dtype, report, told_of
from parity.locating.walk import Progress, Setting, alone
from parity.port import cache
from parity.real.inputs import read_text, text_set
from parity.real.run import Opened, open_checkpoint, transfer_plan
from parity.reference import build, one_thread
from parity.reference.gguf import encoder
from parity.reference.streamed import streamed
from parity.session import Workspace

Array = npt.NDArray[Any]
FORWARD = 96  # tokens of a text: it must have more, but every layer is evaluated half a dozen times
SHORT = 24  # of them, for the search inside a culprit
BACKWARD = 64  # tokens of a text that is also walked backward: all activations are kept then
SMALL = 2**28  # parameters of a model that so few tokens go through fastest on one torch thread
Read = Callable[[str], Array]


def locate_checkpoint(
    workspace: Workspace,
    port: str,
    path: Path,
    *,
    text: Path | None = None,
    dtype: str = "float64",
    backward: bool = False,
    fault: str | None = None,
    progress: Progress = lambda done, asked: None,
) -> Located:
    """Locate on a checkpoint that reads a text.

    Args:
        workspace: the root's cases and tolerances.
        port: the name of a suite.
        path: a Hugging Face folder, or a .gguf file.
        text: a file to read instead of the suite's own text; its first `FORWARD` tokens count.
        dtype: one of `parity.locating.run.DTYPES`.
        backward: walk the cotangents from the outputs down instead; in float64.
        fault: `[CASE:]NAME@PATH`: this declared fault is in the port, at this place only.
        progress: called with the places done, and how many there are.

    Raises:
        BadInput: the checkpoint or the text can't be used.
        WeightMapError: its weights can't be transferred.
    """
    started = time.monotonic()
    check_dtype(dtype, backward=backward)
    said = read_text(text) if text else None
    opened = open_checkpoint(workspace, port, path)
    with cache.persistent(), one_thread() if _is_small(opened) else contextlib.nullcontext():
        inputs = _inputs(opened, said, str(text), most=BACKWARD if backward else FORWARD)
        setting = _setting(workspace, opened, dtype, backward=backward)
        setting = injected(setting, fault) if fault else setting
        found = (pulled if backward else alone)(setting, inputs, above=False, progress=progress)
        short = {**inputs, "input_ids": np.ascontiguousarray(inputs["input_ids"][:, :SHORT])}
        made = report(setting, inputs, found, workspace.registry.root, backward=backward, short=short)
    read = text or "the port's own text"
    told = f"the first {inputs['input_ids'].shape[1]} tokens of {read}{told_of(fault)}"
    seconds = round(time.monotonic() - started, 3)
    return made.model_copy(update={"checkpoint": str(path), "inputs": told, "seconds": seconds})


def leaves_of_checkpoint(workspace: Workspace, opened: Opened) -> Read:
    """What gives a parameter of the port by path, read from the checkpoint each time; KeyError where there is none."""
    moves = {target: move for move in transfer_plan(workspace, opened).moves for target in move.targets}

    def read(path: str) -> Array:
        move = moves[path]
        return move.forward(opened.tensor)[move.targets.index(path)]

    return read


def _is_small(opened: Opened) -> bool:
    """Whether torch's threads cost more than they bring.

    On two busy cores, 135 million parameters took 82 s and 61 of a processor with two threads, 54 s and 32 with one.
    """
    return sum(math.prod(leaf.shape) for leaf in opened.shapes.leaves.values()) < SMALL


def _setting(workspace: Workspace, opened: Opened, dtype: str, *, backward: bool) -> Setting:
    """Both sides; for gradients the reference is in memory as a whole."""
    whole, config = opened.whole, opened.config
    parts = Parts(workspace.registry, whole, config, dtype=dtype, leaf=leaves_of_checkpoint(workspace, opened))
    truth = None
    if backward:
        reference = build(whole, config, dtype=dtype)
        reference.fill({name: opened.tensor(name).astype(dtype) for name in opened.names})
        return Setting(reference, parts, workspace.tolerances.beyond(), read=opened.tensor)
    if parts.is_real:
        truth = streamed(whole, config, lambda name: opened.tensor(name).astype(dtype), dtype="float64")
    reference = streamed(whole, config, opened.tensor, dtype=dtype)
    return Setting(reference, parts, workspace.tolerances.beyond(), truth, opened.tensor)


def _inputs(opened: Opened, text: str | None, source: str, *, most: int) -> dict[str, Any]:
    encode = opened.checkpoint.encode or encoder(opened.checkpoint.path)
    own = opened.suite.text if text is None else text
    read = text_set(encode, own, "the port's own text" if text is None else source, int(opened.config["vocab_size"]))
    return {**read, "input_ids": np.ascontiguousarray(read["input_ids"][:, :most])}
