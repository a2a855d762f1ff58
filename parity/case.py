"""Case, Suite and Example: what a port's author writes, and what is drawn from it."""

import base64
import binascii
import dataclasses
import functools
import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from types import CodeType
from typing import TYPE_CHECKING, Any

from parity import values
from parity.errors import BadInput
from parity.held import Held
from parity.laws import Law
from parity.weights import Rules, rules

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

Json = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Weights:
    """How an example's parameters are drawn: a seed and a regime.

    `regime`: 'scaled' (matrices by fan-in, norm weights 1 + 0.3 N, biases 0.3 N) or 'small' (matrices and biases
    0.02 N, as a fresh Hugging Face model has them, norm weights still 1 + 0.3 N).
    """

    seed: int = 0
    regime: str = "scaled"


@dataclasses.dataclass(frozen=True)
class Example:
    """One configuration, its inputs, and a seed for the parameters.

    `config` and `form` decide every shape, and so what is traced and compiled: `config` is what the model is built
    from, `form` how it is called (batch, length, which arguments are given). `inputs` are descriptions of values.
    """

    config: Json
    form: Json
    inputs: Json
    weights: Weights = Weights()

    def as_json(self) -> dict[str, Any]:
        return {
            "config": dict(self.config),
            "form": dict(self.form),
            "inputs": {name: values.to_json(tree) for name, tree in self.inputs.items()},
            "weights": dataclasses.asdict(self.weights),
        }

    @functools.cached_property
    def token(self) -> str:
        """The replay token: base64 of the example's JSON, the drawn values and not the draws."""
        text = json.dumps(self.as_json(), separators=(",", ":"), sort_keys=True)
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @staticmethod
    def from_token(token: str) -> "Example":
        """Read a replay token; raises BadInput when it isn't one."""
        try:
            node = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
            for name in ("config", "form", "inputs", "weights"):
                if not isinstance(node[name], dict):
                    raise TypeError(f"{name} is {node[name]!r:.40}, not a mapping")
            return Example(
                config=node["config"],
                form=node["form"],
                inputs={name: values.from_json(tree) for name, tree in node["inputs"].items()},
                weights=Weights(**node["weights"]),
            )
        except (binascii.Error, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise BadInput(f"--example is not a replay token: {type(error).__name__}: {error}") from None

    @functools.cached_property
    def shape_key(self) -> str:
        """What decides a trace: the configuration and the form, as text."""
        return json.dumps([dict(self.config), dict(self.form)], sort_keys=True)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Variant:
    """A deliberate change of the port under test: a fault that must be rejected, or an equivalent that must not.

    Attributes:
        patch: makes the context in which the port is changed; see `parity.edit`.
        weights: changes the case's weight rules instead, for faults of the transfer.
        checks: the checks of which at least one must run to its end and fail, for a fault.
        touches: the functions' code that `patch` exchanges, as it is without; empty where that is not known.
        why: for an equivalent, the algebraic reason that it is one.
        excused: for an equivalent, checks (or kinds, such as 'rounded') that it need not pass -> the reason.
    """

    patch: Callable[[], AbstractContextManager[Any]] | None = None
    weights: Callable[[Rules], Rules] | None = None
    checks: tuple[str, ...] = ("exact",)
    touches: tuple[CodeType, ...] = ()
    why: str = ""
    excused: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])


def _no_form(config: Json) -> "SearchStrategy[Json]":
    from hypothesis import strategies as st

    return st.just({})


@dataclasses.dataclass(frozen=True, kw_only=True)
class AtOnce:
    """For a case that decodes, step by step and with a cache: the same, read at once and without one.

    Attributes:
        reference: config -> a torch module that takes the case's inputs and returns its outputs.
        where: (config, form) -> whether the two are the same function there.
    """

    reference: Callable[[Json], Any]
    where: Callable[[Json, Json], bool] = lambda config, form: True


@dataclasses.dataclass(frozen=True, kw_only=True)
class Training:
    """For a case that learns: how each side takes a step, from the parameters it is filled with.

    A batch is inputs by name, each with an axis of micro-batches in front.

    Attributes:
        reference: a torch module -> a function that takes one step with a batch, and returns the loss before it.
        optimizer: a port -> its optimiser, an `nnx.Optimizer` or what else keeps state as one.
        step: takes one step of the port and its optimiser, both changed in place, and returns the loss before it.
        steps: how many are taken.
        micro_batches: how many a batch is divided into.
    """

    reference: Callable[[Any], Callable[[Mapping[str, Any]], Any]]
    optimizer: Callable[[Any], Any]
    step: Callable[[Any, Any, Mapping[str, Any]], Any]
    steps: int = 20
    micro_batches: int = 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """One layer under test: both sides, the parameter map between them, and how its examples are drawn.

    Attributes:
        name: 'port/layer'; the part before the slash is the port (and the name of its suite).
        reference: config -> a torch module, or a plain torch function.
        port: (config, dtype, rngs) -> a flax.nnx module with compute and parameters in `dtype`, or a plain function.
            Called abstractly: no initialiser runs.
        configs: strategy of configurations: JSON values only; its first choice is the simplest.
        forms: config -> strategy of forms: JSON values that, with the configuration, decide every shape.
        inputs: (config, form) -> strategy of inputs by the reference's argument names: `parity.draw` values, plain
            scalars, or tuples of these.
        weights: rules for the parameters that neither `parts` nor a built-in rule covers; may depend on the config.
        parts: where another case's layer stands in this one: the reference's path (`*` for a layer's number) -> the
            case's name. Both sides have it at that path unless `at` says where the port has it.
        at: the reference's path of a part or module -> the port's path, where they differ.
        arguments: the reference's argument name -> the port's, where they differ.
        held: what the reference's argument that is no array holds, where it has one; where it is called with it, the
            port's part is too.
        covers: reference classes (or functions) that this case answers for.
        faults: name -> a change of the port that must be rejected.
        equivalents: name -> a change of the port that computes the same function.
        batch: the batch axis of each input that has one, by the reference's name (the leaves of a tuple alike), where
            every row of the batch is computed alone and every output has the rows as its first axis. May depend on the
            config and the form: empty where rows do look at each other.
        laws: name -> what must hold between two calls of the port.
        options: name -> another way to build the port that computes the same function from the same parameters, such
            as a loop over its layers.
        at_once: for a case that decodes: the reference that reads everything at once, which `decode` holds it against.
        training: for a case that learns: how both sides do.
        layouts: name -> how the port lies on a mesh of eight devices or fewer: (its module, with shapes for parameters,
            and its input arrays by name) -> the `jax` shardings of parameters by path and of inputs by name, where
            what is not named is on all devices alike; None where it doesn't fit. `sharded` asks for them.
        pins: examples that run first every time: each was a bug once, or is an edge that must not be left to chance.
        ignores: output of the reference -> why it is not compared.
        skips: check -> why it does not apply; also 'audit' -> why no faults are injected at every operation.
        pool: how many configurations a run draws its examples from.
        survivors: what fault injection may leave, though it is a fault: 'file: operation: change', with wildcards ->
            why no example can show it. One that nothing matches any more is a finding.
    """

    name: str
    reference: Callable[[Json], Any]
    port: Callable[[Json, Any, Any], Any]
    configs: "SearchStrategy[Json]"
    inputs: Callable[[Json, Json], "SearchStrategy[Json]"]
    forms: Callable[[Json], "SearchStrategy[Json]"] = _no_form
    weights: Rules | Callable[[Json], Rules] = dataclasses.field(default_factory=lambda: rules({}))
    parts: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])
    at: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])
    arguments: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])
    held: Held | None = None
    covers: tuple[Any, ...] = ()
    faults: Mapping[str, Variant] = dataclasses.field(default_factory=dict[str, Variant])
    equivalents: Mapping[str, Variant] = dataclasses.field(default_factory=dict[str, Variant])
    batch: Mapping[str, int] | Callable[[Json, Json], Mapping[str, int]] = dataclasses.field(
        default_factory=dict[str, int]
    )
    laws: Mapping[str, Law] = dataclasses.field(default_factory=dict[str, Law])
    options: Mapping[str, Callable[[Json, Any, Any], Any]] = dataclasses.field(
        default_factory=dict[str, Callable[[Json, Any, Any], Any]]
    )
    at_once: AtOnce | None = None
    training: Training | None = None
    layouts: Mapping[str, Callable[[Any, Mapping[str, Any]], tuple[Json, Json] | None]] = dataclasses.field(
        default_factory=dict[str, Callable[[Any, Mapping[str, Any]], tuple[Json, Json] | None]]
    )
    pins: tuple[Example, ...] = ()
    ignores: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])
    skips: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])
    pool: int = 12
    survivors: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])

    @property
    def port_name(self) -> str:
        return self.name.partition("/")[0]

    def rules(self, config: Json) -> Rules:
        """The case's own weight rules for one configuration."""
        return self.weights if isinstance(self.weights, Rules) else self.weights(config)

    def batch_axes(self, config: Json, form: Json) -> Mapping[str, int]:
        """The batch axis of each input that has one; empty where rows look at each other."""
        return self.batch(config, form) if callable(self.batch) else self.batch


@dataclasses.dataclass(frozen=True, kw_only=True)
class Workload:
    """A job that both sides do, and that `parity bench --port` times.

    Each side is made in a process of its own when it is timed: () -> a function that does the job once and returns
    when it is done. What it compiles, it compiles in its first call.

    Attributes:
        port: the port's side.
        references: name -> the reference's side, such as 'eager' or 'torch.compile': the fastest counts. None where
            only the port's own times are asked for.
        tokens: how many a job reads or writes.
        reads: bytes that a job can't do without reading from memory, where that is what it waits for.
        environment: variables that the port's process is started with, as its README tells its users to.
    """

    port: Callable[[], Callable[[], Any]]
    references: Mapping[str, Callable[[], Callable[[], Any]]] = dataclasses.field(
        default_factory=dict[str, Callable[[], Callable[[], Any]]]
    )
    tokens: int = 0
    reads: int = 0
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Suite:
    """What is true of a whole port.

    Attributes:
        name: the port's name: the part of its cases' names before the slash.
        references: the reference model classes that the port answers for.
        whole: the name of the case that is the whole model, token ids in and logits out.
        config: a Hugging Face config.json as a dictionary -> the configuration of the whole's case. Raises ValueError
            naming what the port does not support.
        architectures: names that a checkpoint may give itself (`model_type`, `general.architecture` of a GGUF).
        refuses: configuration field -> why the port does not support it.
        text: prose for a checkpoint to read, of 300 tokens or more.
        prompts: beginnings for a checkpoint to go on with, of different lengths.
        bench: case name -> fields of its configuration that are set, for the cases that `parity bench` measures.
        workloads: name -> a job that `parity bench --port` times on both sides.
        leftovers: pattern of tensor names that checkpoints may hold and nothing reads -> why.
    """

    name: str
    references: tuple[Any, ...]
    whole: str
    config: Callable[[Mapping[str, Any]], Json]
    architectures: tuple[str, ...]
    refuses: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])
    text: str = ""
    prompts: tuple[str, ...] = ()
    bench: Mapping[str, Json] = dataclasses.field(default_factory=dict[str, Json])
    workloads: Mapping[str, Workload] = dataclasses.field(default_factory=dict[str, Workload])
    leftovers: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])
