"""Fingerprints: which changes of the source they see, and which they don't."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from parity.fingerprint import DIGITS, fingerprint
from parity.session import load
from parity.tests import toy

REFERENCE = """\
TABLE = {"plain": int}


def needed(x):
    return x + 1


def not_needed(x):
    return x


class Layer:
    def run(self, x):
        return needed(x)
"""


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """The toy port, whose leaf covers a class of a reference in a module of its own."""
    root = toy.write(tmp_path / "root")
    (tmp_path / "someone_elses.py").write_text(REFERENCE)
    case = root / "cases/toy/case_scale.py"
    text = case.read_text().replace('    name="toy/scale",', '    name="toy/scale",\n    covers=(Layer,),')
    case.write_text(f"from someone_elses import Layer\n{text}")
    sys.path.insert(0, str(tmp_path))
    with toy.imports():
        yield root
    sys.path.remove(str(tmp_path))
    sys.modules.pop("someone_elses", None)


def taken(root: Path, case: str = "toy/scale") -> str:
    """A fingerprint as a fresh process would find it."""
    sys.modules.pop("someone_elses", None)
    importlib.invalidate_caches()
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    try:
        with toy.imports():
            registry = load(root).registry
            return fingerprint(registry, registry[case])
    finally:
        sys.dont_write_bytecode = before


def change(path: Path, old: str, new: str) -> None:
    """Exchange a text that is there."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_it_is_short_and_the_same_again(root: Path) -> None:
    """Twelve hexadecimal digits, each case its own."""
    first = taken(root)
    assert len(first) == DIGITS
    int(first, 16)
    assert taken(root) == first
    assert taken(root, "toy/pair") != first


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        ("root/cases/toy/case_scale.py", "pool=2", "pool=3"),
        ("root/cases/toy/port.py", "x * self.scale", "x / self.scale"),
        ("someone_elses.py", "return needed(x)", "return needed(x) * 2"),
        ("someone_elses.py", "return x + 1", "return x + 2"),
    ],
    ids=["the_file", "the_port", "the_reference", "what_the_reference_names"],
)
def test_a_change_of_the_code_changes_it(root: Path, path: str, old: str, new: str) -> None:
    """Whichever side it is on."""
    before = taken(root)
    change(root.parent / path, old, new)
    assert taken(root) != before


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        ("root/cases/toy/case_pair.py", "pool=2", "pool=3"),
        ("root/cases/toy/suite.py", "it has none", "it has no bias"),
        ("someone_elses.py", "return x\n", "return -x\n"),
    ],
    ids=["another_file", "the_suite", "what_the_reference_does_not_name"],
)
def test_a_change_of_other_code_does_not(root: Path, path: str, old: str, new: str) -> None:
    """What the layer has nothing to do with."""
    before = taken(root)
    change(root.parent / path, old, new)
    assert taken(root) == before
