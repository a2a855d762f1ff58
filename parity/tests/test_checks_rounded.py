"""The checks of half precision: the same casts in the same places, and the backend's accuracy."""

# Torch, jax and flax leave most of what is used here untyped.
# pyright: basic

import contextlib
import re

import ml_dtypes
import numpy as np
import pytest
import torch
from torch import nn

import parity
from parity import draw, session
from parity.checks.casts import first_difference
from parity.checks.rounded import compare, narrowed, share
from parity.errors import BadInput
from parity.results import Result
from parity.run import CHECKS, check_ids
from parity.tests import gain

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
CHECK_IDS = ("rounded:bfloat16", "rounded:float16")
FUSED = parity.edit(
    gain.gained,
    ("x * scale + bias", "(x.astype(jnp.promote_types(x.dtype, jnp.float32)) * scale + bias).astype(x.dtype)"),
    checks=("rounded:bfloat16",),
)
LEFT_WIDE = parity.edit(
    gain.gained,
    ("return x * scale + bias", "return (x * scale + bias).astype(jnp.promote_types(x.dtype, jnp.float32))"),
    checks=("rounded:bfloat16",),
)


def run(case: parity.Case, check: str, *, examples: int = 12, patch: parity.Variant | None = None) -> Result:
    """A check's result, of the port as it is or with a variant's change in place."""
    runner = gain.runner(case, examples=examples)
    with patch.patch() if patch and patch.patch else contextlib.nullcontext():
        return runner.run(case, check)


@pytest.mark.parametrize("check", CHECK_IDS)
def test_the_same_casts_agree_bit_for_bit(check: str) -> None:
    """A faithful port passes without one differing element."""
    result = run(gain.case(), check, examples=60)
    assert (result.status, result.examples, result.measured) == ("passed", 60, {"differ": 0.0})


@pytest.mark.parametrize("check", CHECK_IDS)
def test_a_misplaced_cast_is_seen_where_the_error_ratio_is_blind(check: str) -> None:
    """A product that is not rounded before its sum is more accurate than the reference, and not the same program."""
    result = run(gain.case(), check, patch=FUSED)
    assert result.status == "failed"
    assert result.limit is not None
    assert result.limit.name == "differ"
    assert result.measured["differ"] > 0.01
    assert result.worst is not None
    assert result.worst.ulp is not None
    assert result.worst.ulp >= 1
    assert result.worst.reference != result.worst.port
    assert run(gain.case(), check.removeprefix("rounded:"), patch=FUSED).status == "passed"


def test_an_output_left_in_float32_is_named() -> None:
    """A dtype that leaks is said as such, whatever the values are."""
    result = run(gain.case(), "rounded:bfloat16", patch=LEFT_WIDE)
    assert result.status == "failed"
    assert result.message is not None
    assert result.message.startswith("output `output` is float32 in the port only")


def test_a_failure_names_the_first_difference_in_casts() -> None:
    """The rounding that the port leaves out, in the reference's source, and its first that is foreign, in its own."""
    result = run(gain.case(), "rounded:bfloat16", patch=FUSED)
    assert result.message is not None
    first, second = result.message.split("\n")
    assert re.fullmatch(r"\d+\.\d\d% of an output's elements are rounded differently \(allowed 0\.10%\)", first)
    assert re.fullmatch(
        r"first difference in casts: the port has no aten\.mul\.Tensor to bfloat16\(\d, \d\) at \S*gain\.py:\d+; "
        r"the reference has no convert_element_type to bfloat16\(\d, \d\) at \S*gain\.py:\d+",
        second,
    )


def test_programs_with_the_same_casts_have_no_first_difference() -> None:
    """Roundings are matched by value: order, layout and repetition don't matter."""
    case = gain.case()
    runner = gain.runner(case)
    drawn: list[parity.Example] = []
    draw.run(draw.examples(case, runner.pool(CHECKS["exact"])), drawn.append, examples=2, seed=0)
    subject = runner.subject(case)
    assert [first_difference(subject, example, "bfloat16") for example in drawn[:2]] == [None, None]
    theirs, ours = subject.roundings(drawn[0], "bfloat16")
    assert [each.operation for each in theirs] == ["aten.mul.Tensor", "aten.add.Tensor"]
    assert [each.operation for each in ours] == ["mul", "add"]
    assert np.array_equal(theirs[0].values, ours[0].values)


def test_faults_of_rounding_are_rejected_and_equivalents_with_other_casts_accepted() -> None:
    """`rounds` frees an equivalent from the rounded checks alone, and the result says so."""
    case = gain.case(
        faults={"fused": FUSED, "left_wide": LEFT_WIDE},
        equivalents={
            "fused_too": parity.Variant(patch=FUSED.patch, why="x a + b", excused={"rounded": "not the product"}),
            "fused_silently": parity.Variant(patch=FUSED.patch, why="x a + b"),
        },
    )
    runner = gain.runner(case, examples=12)
    assert runner.run(case, "rejects:fused").status == "passed"
    assert runner.run(case, "rejects:left_wide").status == "passed"
    accepted, refused = runner.run(case, "accepts:fused_too"), runner.run(case, "accepts:fused_silently")
    assert (accepted.status, accepted.message) == ("passed", "accepted: x a + b; excused from rounded: not the product")
    assert refused.status == "failed"
    assert refused.message is not None
    assert refused.message.startswith("rounded:bfloat16 rejects it: differ 0.")


def test_a_lone_element_beside_a_tie_is_spared_and_no_more() -> None:
    """One element, one unit apart, counts for nothing; a second one, or one that is farther off, counts."""
    assert share(0, 0, 10) == 0.0
    assert share(1, 0, 10) == 0.0
    assert share(1, 1, 10) == pytest.approx(0.1)
    assert share(2, 0, 10) == pytest.approx(0.1)
    assert share(2, 2, 10) == pytest.approx(0.2)
    assert share(0, 0, 0) == 0.0


def one_unit_off(x: torch.Tensor) -> torch.Tensor:
    """x with its first element moved to the next number, as an unlucky tie would."""
    moved = x.clone()
    moved.view(torch.int16).view(-1)[0] += 1
    return moved


class Unlucky(nn.Module):
    """The reference with one element of each output on the other side of a tie."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = gain.Reference(width)
        self.weight, self.bias = self.inner.weight, self.inner.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.inner(x)
        return y if y.dtype == torch.float64 else one_unit_off(y)


def test_ties_in_every_example_add_up() -> None:
    """Each example alone would be spared its one element; a run is not spared one in each."""
    case = gain.case(
        reference=lambda config: Unlucky(config["width"]),
        weights=parity.rules(
            {
                "weight": parity.copy("scale"),
                "bias": parity.copy("bias"),
                "inner.weight": parity.tied("weight"),
                "inner.bias": parity.tied("bias"),
            }
        ),
    )
    runner = gain.runner(case, examples=12)
    judge = CHECKS["rounded:bfloat16"].start(runner.subject(case), runner.tolerances).judge
    drawn: list[parity.Example] = []
    draw.run(draw.examples(case, runner.pool(CHECKS["exact"])), drawn.append, examples=3, seed=0)
    found = [judge(example) for example in drawn[:2]]
    assert [finding.passed for finding in found] == [True, False]


def test_distances_count_numbers_of_the_format() -> None:
    """Zeros of both signs are one number, NaN agrees with NaN, and the worst element is the farthest one."""
    reference = np.array([0.0, 1.0, -1.0, np.nan, 2.0**-133]).astype(BFLOAT16)
    port = np.array([-0.0, 1 + 2.0**-6, -1.0, np.nan, -(2.0**-133)]).astype(BFLOAT16)
    found = compare("y", reference, port)
    assert (found.size, found.count, found.apart) == (5, 2, 2)
    assert found.worst is not None
    assert (found.worst.index, found.worst.ulp) == ((1,), 2)
    assert compare("y", reference, reference).worst is None


def test_wide_outputs_are_compared_as_half_precision() -> None:
    """The last bits of a float32 output are no question of casts; that it is float32 is one."""
    theirs, ours = ({"y": np.array([0.1], np.float64)}, {"y": np.array([0.1], np.float32)})
    reference, port = narrowed(theirs, "bfloat16"), narrowed(ours, "bfloat16")
    assert reference.unlike(port) is None
    assert compare("y", reference.outputs["y"], port.outputs["y"]).count == 0
    half = narrowed({"y": np.array([0.1]).astype(BFLOAT16)}, "bfloat16")
    assert reference.unlike(half) == "output `y` is float32 in the reference only"
    assert half.unlike(port) == "output `y` is float32 in the port only"


@pytest.mark.parametrize("check", ["bfloat16", "float16"])
def test_the_backend_is_as_accurate_in_half_precision(check: str) -> None:
    """A correct port passes, with a ratio measured; one that is wrong in the third digit does not."""
    result = run(gain.case(), check, examples=20)
    assert (result.status, result.examples) == ("passed", 20)
    assert result.measured["ratio"] < 2
    wrong = parity.edit(gain.gained, ("x * scale + bias", "x * scale * 1.5 + bias"))
    assert run(gain.case(), check, patch=wrong).status == "failed"


def test_a_deep_check_runs_only_where_it_is_asked_for() -> None:
    """float16 on the real backend is left out by default, and the run says that it was."""
    case = gain.case()
    assert "float16" in check_ids(case)
    registry = gain.registry(case)
    chosen = session.select(registry)
    assert "float16" not in [check for _, check in chosen.pairs]
    assert "bfloat16" in [check for _, check in chosen.pairs]
    assert "not asked for: float16 (1), eager (3)" in chosen.not_checked
    assert [check for _, check in session.select(registry, checks=["float16"]).pairs] == ["float16"]


def test_rounded_names_both_dtypes_and_a_typo_is_refused() -> None:
    """`--check rounded` asks for both; an unknown dtype is told apart."""
    registry = gain.registry(gain.case())
    assert tuple(check for _, check in session.select(registry, checks=["rounded"]).pairs) == CHECK_IDS
    with pytest.raises(BadInput, match="unknown check 'rounded:bfloat61'; did you mean 'rounded:bfloat16'"):
        session.select(registry, checks=["rounded:bfloat61"])
