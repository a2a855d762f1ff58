"""The table of primitives that are evaluated in NumPy; what is not in it is left to JAX."""

from parity.ideal import rules_elementwise, rules_index, rules_reduce, rules_shape
from parity.ideal.equation import Rule

RULES: dict[str, Rule] = {
    **rules_elementwise.RULES,
    **rules_shape.RULES,
    **rules_reduce.RULES,
    **rules_index.RULES,
}
