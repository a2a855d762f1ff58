"""When garbage is looked for: what was set before is set again, whatever happens inside."""

import gc

import pytest

from parity import garbage


def test_seldom_inside_and_as_before_afterwards() -> None:
    """The threshold is high inside; an exception leaves it as it was, too."""
    outside = gc.get_threshold()  # high already, where the plugin has run checks in this process
    gc.set_threshold(700, 10, 10)
    try:
        with garbage.seldom():
            inside = gc.get_threshold()
        assert inside[0] > 7000
        with pytest.raises(ZeroDivisionError), garbage.seldom():
            raise ZeroDivisionError
        assert gc.get_threshold() == (700, 10, 10)
    finally:
        gc.set_threshold(*outside)


@pytest.mark.parametrize("collecting", [True, False], ids=["on", "off"])
def test_off_and_frozen_leaves_it_as_it_was(collecting: bool) -> None:
    """Who has switched the collector off keeps it off; what was made inside is frozen."""
    (gc.enable if collecting else gc.disable)()
    try:
        frozen = gc.get_freeze_count()
        with garbage.off_and_frozen():
            assert not gc.isenabled()
            kept = [[] for _ in range(1000)]
        assert gc.isenabled() == collecting
        assert gc.get_freeze_count() >= frozen + len(kept)
    finally:
        gc.enable()
