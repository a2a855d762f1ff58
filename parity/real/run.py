"""The whole run on a checkpoint: open, fit, transfer, decode, judge each layer on two input sets, judge the tokens."""

import contextlib
import dataclasses
import itertools
import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from parity.canary import SILENT, Canary
from parity.case import Case, Json, Suite
from parity.checkpoint import Checkpoint, fit, open_folder
from parity.errors import BadInput, WeightMapError
from parity.port import build as build_port
from parity.port import cache
from parity.real.greedy import compare
from parity.real.inputs import MOST, continued, prompt_set, read_text, text_set
from parity.real.layers import Layers
from parity.reference import Reference, one_thread
from parity.reference import build as build_reference
from parity.reference.capture import abstract, decode
from parity.reference.gguf import encoder, open_gguf
from parity.results import Result, Results
from parity.session import Hooks, Workspace, gather, parts
from parity.weights import Plan, plan

Array = npt.NDArray[Any]
TINY = 2**22  # parameters
STEPS = 64  # tokens that each prompt is continued by


@dataclasses.dataclass(frozen=True)
class Opened:
    """A checkpoint that fits a suite's whole case. Nothing of it was read but its headers.

    Attributes:
        names: the reference's tensor names -> the checkpoint's.
        ignored: tensors that nothing reads.
        shapes: the reference without memory for its parameters.
    """

    checkpoint: Checkpoint
    suite: Suite
    whole: Case
    config: Json
    names: Mapping[str, str]
    ignored: tuple[str, ...]
    shapes: Reference

    def tensor(self, name: str) -> Array:
        """One of the reference's tensors in float32; raises BadInput where it holds NaN or inf."""
        x = self.checkpoint.read(self.names[name])
        if not np.isfinite(x).all():
            raise BadInput(f"{self.checkpoint.path}: tensor `{self.names[name]}` holds NaN or inf")
        return x


def run(
    workspace: Workspace, port: str, path: Path, *, text: Path | None = None, hooks: Hooks | None = None
) -> Results:
    """Check a port on a checkpoint; an interrupt ends it with what was found so far.

    Args:
        workspace: the root's cases and tolerances.
        port: the name of a suite.
        path: a Hugging Face folder, or a .gguf file.
        text: a file to read instead of the suite's own text.
        hooks: called while it is under way.

    Raises:
        BadInput: the checkpoint or the text can't be used.
    """
    said = read_text(text) if text else None
    opened = open_checkpoint(workspace, port, path)
    results: list[Result] = []
    interrupted, sung = False, list[Canary]()
    notes = list(_notes(workspace, opened))
    try:
        with cache.persistent(), one_thread() if is_tiny(opened) else contextlib.nullcontext():
            for result in _results(workspace, opened, said, str(text), hooks or Hooks(), notes, sung):
                results.append(result)
    except KeyboardInterrupt:
        interrupted = True
        notes.insert(0, "interrupted: not all of the checkpoint's checks were run")
    results += [canary.result for canary in sung if canary.result]
    notes += [] if sung else [SILENT]
    gathered = gather(results, parts=parts(workspace.registry), seed=0, not_checked=notes)
    said = sung[0].said if sung else None
    return gathered.model_copy(update={"interrupted": interrupted, "canary": said})


def open_checkpoint(workspace: Workspace, port: str, path: Path) -> Opened:
    """Open a checkpoint, and refuse one that is not of this port, before a tensor is read; raises BadInput."""
    if broken := [file for file in workspace.registry.broken if file.path.split("/")[-2] == port]:
        raise BadInput(f"{broken[0]}: without it, what it answers for would go unchecked")
    suite = workspace.registry.suites.get(port)
    if suite is None:
        known = ", ".join(workspace.registry.suites) or "none"
        raise BadInput(f"--checkpoint checks one whole port: {port!r} is none; known: {known}")
    whole = workspace.registry[suite.whole]
    gguf = path.suffix == ".gguf" and not path.is_dir()
    if gguf and not path.exists():
        raise BadInput(f"{path}: there is no such path")
    checkpoint = open_gguf(path, suite.architectures) if gguf else open_folder(path)
    try:
        config = suite.config(checkpoint.config)
    except ValueError as error:
        raise BadInput(f"{path}: {_line(error)}") from None
    except Exception as error:  # a field of a type that nobody expected
        raise BadInput(f"{path}: its configuration can't be read: {type(error).__name__}: {_line(error)}") from None
    try:
        shapes = abstract(whole, config)
    except Exception as error:  # whatever the reference makes of this configuration
        raise BadInput(f"{path}: the reference can't be built: {type(error).__name__}: {_line(error)}") from None
    names, ignored = fit(checkpoint, shapes.leaves, ties=shapes.ties, leftovers=suite.leftovers)
    return Opened(checkpoint, suite, whole, config, names, ignored, shapes)


def _results(
    workspace: Workspace,
    opened: Opened,
    text: str | None,
    source: str,
    hooks: Hooks,
    notes: list[str],
    sung: list[Canary],
) -> Iterator[Result]:
    """Every result, as it is found; what was not looked at, and the canary, are added to the two lists."""
    suite, whole, config = opened.suite, opened.whole, opened.config
    encode = opened.checkpoint.encode or encoder(opened.checkpoint.path)
    vocab = int(config["vocab_size"])
    own = text is None
    read = text_set(encode, suite.text if own else text, "the port's own text" if own else source, vocab)
    prompts = prompt_set(encode, suite.prompts, vocab)
    if read["input_ids"].shape[1] == MOST:
        notes.append(f"of the text, what comes after {MOST} tokens")

    with _timed(hooks, whole, "checkpoint:transfer") as finish:
        try:
            moved = transfer_plan(workspace, opened)
        except WeightMapError as error:
            yield finish(Result(case=whole.name, check="checkpoint:transfer", status="failed", message=str(error)))
            notes.append("the checkpoint's layers: its weights could not be transferred")
            return
        tensors = {name: opened.tensor(name) for name in opened.names}
        leaves, result = transfer(opened, moved, tensors)
        yield finish(result)
    reference = build_reference(whole, config)
    reference.fill(tensors)

    hooks.on_start(whole, "checkpoint:greedy")
    tokens, scores = decode(reference, prompts, steps=STEPS, progress=lambda step: hooks.on_progress(step, STEPS))
    sets = {"the text": read, "the padded batch": continued(prompts, tokens)}

    truth = build_reference(whole, config, dtype="float64")
    truth.fill({name: x.astype(np.float64) for name, x in tensors.items()})
    layers = Layers(
        workspace.registry,
        workspace.tolerances.beyond(),
        whole,
        config,
        reference=reference,
        truth=truth,
        leaves=leaves,
    )
    count = itertools.count(1)
    asked = len(layers.places) * len(sets)
    outputs: list[Any] = []
    try:
        for name, inputs in sets.items():
            outputs.append(layers.run(name, inputs, lambda: hooks.on_progress(next(count), asked)))
    except KeyboardInterrupt:
        yield from layers.results()  # what was judged so far
        raise
    exact, ours = outputs[-1]
    results = list(layers.results())
    sung += [layers.canary] if layers.canary else []
    if ours:
        steps = slice(prompts["input_ids"].shape[1] - 1, None)
        results.append(
            compare(whole.name, tokens, scores, exact=exact["logits"][:, steps], port=ours["logits"][:, steps])
        )
    else:
        notes.append("the greedy tokens: the port's logits can't be compared")
    for path in layers.places.keys() - layers.visited:
        notes.append(f"{layers.places[path]}: the reference does not run it")
    for number, result in enumerate(results):
        if number:
            hooks.on_start(workspace.registry[result.case], result.check)
        hooks.on_result(result)
        yield result


def transfer(opened: Opened, moved: Plan, tensors: Mapping[str, Array]) -> tuple[dict[str, Array], Result]:
    """Move every tensor to the port and back, bit for bit; the port's leaves, in memory of their own."""
    leaves = {path: np.array(x, order="C") for path, x in moved.forward(lambda name: tensors[name])}
    returned = moved.backward(lambda path: leaves[path])
    unlike = [name for name, x in returned if x.dtype != tensors[name].dtype or not _same_bits(x, tensors[name])]
    for other, first in opened.shapes.ties.items():
        stored_twice = other in opened.checkpoint.leaves and opened.names[first] != other
        if stored_twice and not _same_bits(opened.checkpoint.read(other), tensors[first]):
            raise BadInput(
                f"{opened.checkpoint.path}: tied to `{first}` by the configuration, but another tensor: `{other}`"
            )
    result = Result(
        case=opened.whole.name,
        check="checkpoint:transfer",
        status="failed" if unlike else "passed",
        examples=len(tensors),
        message=f"does not come back bit for bit: `{'`, `'.join(unlike[:4])}`" if unlike else None,
    )
    return leaves, result


def transfer_plan(workspace: Workspace, opened: Opened) -> Plan:
    """How the checkpoint's tensors go to the port; raises WeightMapError."""
    registry, whole = workspace.registry, opened.whole
    return plan(
        whole.name,
        reference=opened.shapes.leaves,
        port=build_port(whole, opened.config, dtype="float32").leaves,
        rules=registry.rules(whole, opened.config),
        types=opened.shapes.types,
        at=registry.at(whole),
        ties=opened.shapes.ties,
    )


def _notes(workspace: Workspace, opened: Opened) -> Iterator[str]:
    """What a run on a checkpoint does not look at."""
    yield f"drawn examples, faults and equivalents: run `parity check {opened.suite.name}`"
    names = {case.name for case in workspace.registry.bottom_up() if case.port_name == opened.suite.name}
    within = {place.case.name for place in _places(workspace, opened).values()}
    if outside := sorted(names - within):
        yield f"no modules of {opened.whole.name}, so without a place in a checkpoint: {', '.join(outside)}"
    yield from (f"{name} of {opened.checkpoint.path.name}: nothing reads it" for name in opened.ignored)
    yield from (f"output `{name}` of {opened.whole.name}: {why}" for name, why in opened.whole.ignores.items())
    if halves := {leaf.dtype for leaf in opened.checkpoint.leaves.values()} - {"float32"}:
        yield f"arithmetic in {' and '.join(sorted(halves))}: tensors so stored were widened to float32"


def _places(workspace: Workspace, opened: Opened) -> Mapping[str, Any]:
    from parity.real.places import places

    return places(workspace.registry, opened.whole, opened.shapes.types)


@contextlib.contextmanager
def _timed(hooks: Hooks, case: Case, check: str) -> Iterator[Any]:
    """Tell the hooks of a check's start, and of its result with its time."""
    started = time.monotonic()
    hooks.on_start(case, check)

    def finish(result: Result) -> Result:
        result = result.model_copy(update={"seconds": round(time.monotonic() - started, 3)})
        hooks.on_result(result)
        return result

    yield finish


def is_tiny(opened: Opened) -> bool:
    """Whether torch's threads would cost more than they bring: 25 s against 3 on a checkpoint of two small layers."""
    return sum(math.prod(leaf.shape) for leaf in opened.shapes.leaves.values()) < TINY


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


def _same_bits(x: Array, y: Array) -> bool:
    return x.shape == y.shape and np.array_equal(
        np.ascontiguousarray(x).view(np.uint8), np.ascontiguousarray(y).view(np.uint8)
    )
