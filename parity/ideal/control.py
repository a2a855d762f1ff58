"""Evaluate control flow: scan, while, cond; their bodies are compiled by the caller."""

# A closure takes whatever arrays the program holds, so its operands have no static type.
# pyright: reportUnknownLambdaType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from parity.ideal.equation import Equation, Operation

Body: TypeAlias = Callable[[Sequence[Any]], list[Any]]
Compile: TypeAlias = Callable[[Any], Body]


def _scan(equation: Equation, compile: Compile) -> Operation:
    params, outputs = equation.params, equation.outputs
    body, carried = compile(params["jaxpr"]), params["num_carry"]
    first, second = params["num_consts"], params["num_consts"] + carried
    order = range(params["length"] - 1, -1, -1) if params["reverse"] else range(params["length"])

    def scan(*args: Any) -> list[Any]:
        constants, carry, sequences = args[:first], list(args[first:second]), args[second:]
        stacked = [np.empty(spec.shape, spec.dtype) for spec in outputs[carried:]]
        for step in order:
            results = body((*constants, *carry, *(sequence[step] for sequence in sequences)))
            carry = results[:carried]
            for target, value in zip(stacked, results[carried:], strict=True):
                target[step] = value
        return [*carry, *stacked]

    return scan


def _while(equation: Equation, compile: Compile) -> Operation:
    params = equation.params
    condition, body = compile(params["cond_jaxpr"]), compile(params["body_jaxpr"])
    first = params["cond_nconsts"]
    second = first + params["body_nconsts"]

    def loop(*args: Any) -> list[Any]:
        asked, constants, carry = args[:first], args[first:second], list(args[second:])
        while condition((*asked, *carry))[0]:
            carry = body((*constants, *carry))
        return carry

    return loop


def _cond(equation: Equation, compile: Compile) -> Operation:
    branches = [compile(branch) for branch in equation.params["branches"]]
    last = len(branches) - 1
    return lambda index, *args: branches[min(max(int(index), 0), last)](args)


def _platform_index(equation: Equation, compile: Compile) -> Operation:
    # The ideal machine is a CPU; None is the default.
    platforms = equation.params["platforms"]
    names = [i for i, entry in enumerate(platforms) if entry is not None and "cpu" in entry]
    index = np.int32(names[0] if names else len(platforms) - 1)
    return lambda *_args: index


CONTROL: dict[str, Callable[[Equation, Compile], Operation]] = {
    "scan": _scan,
    "while": _while,
    "cond": _cond,
    "platform_index": _platform_index,
}
