"""Finds a run's root and its cases: name -> Case, reference class -> Case, bottom-up order, a part's weight rules."""

import dataclasses
import difflib
import importlib
import linecache
import sys
import traceback
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from parity.case import Case, Json, Suite
from parity.errors import BadInput
from parity.weights import Rules

ROOT_FILE = "tolerances.yaml"


@dataclasses.dataclass(frozen=True)
class Broken:
    """A case file that could not be loaded: which, on which line, and why."""

    path: str
    line: int
    reason: str

    @property
    def name(self) -> str:
        """What stands for the case in a report: the file's path without its ending."""
        return self.path.removesuffix(".py")

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.reason}"


@dataclasses.dataclass(frozen=True)
class Registry:
    """Every case and suite under a root."""

    root: Path
    cases: Mapping[str, Case]
    suites: Mapping[str, Suite]
    files: Mapping[str, str]  # case name -> file, relative to the root
    broken: tuple[Broken, ...] = ()

    def __getitem__(self, name: str) -> Case:
        if name not in self.cases:
            raise BadInput(f"unknown case {name!r}{nearest(name, self.cases)}")
        return self.cases[name]

    def covering(self, reference: Any) -> Case | None:
        """The case that answers for a reference class (or function), if any."""
        return next((case for case in self.cases.values() if reference in case.covers), None)

    def select(self, names: Collection[str]) -> tuple[Case, ...]:
        """Cases by name ('llama/rmsnorm'), by port ('llama') or by layer ('rmsnorm'); none means all. Bottom-up."""
        chosen: set[str] = set()
        for name in names or self.cases:
            found = {case for case in self.cases if name in (case, *case.split("/", 1))}
            if not found and not any(broken.path.split("/")[-2] == name for broken in self.broken):
                known = [*self.cases, *(case.partition("/")[2] for case in self.cases), *self.suites]
                raise BadInput(f"unknown case {name!r}{nearest(name, known)}")
            chosen |= found
        return tuple(case for case in self.bottom_up() if case.name in chosen)

    def bottom_up(self) -> tuple[Case, ...]:
        """All cases, each after its parts; leaves first, by name within a level."""
        return tuple(sorted(self.cases.values(), key=lambda case: (case.port_name, self._height(case), case.name)))

    def parts(self, case: Case) -> dict[str, Case]:
        """The parts that exist, by the reference's path; one without a case is a finding of the gate, no error here."""
        return {path: self.cases[name] for path, name in case.parts.items() if name in self.cases}

    def rules(self, case: Case, config: Json) -> Rules:
        """A case's weight rules with those of its parts under their paths."""
        total = Rules({})
        for path, part in self.parts(case).items():
            total |= self.rules(part, config).under(path, case.at.get(path, path))
        return total | case.rules(config)

    def at(self, case: Case) -> dict[str, str]:
        """Where the port has what the reference has elsewhere, the parts' own answers under their paths included."""
        total: dict[str, str] = {}
        for path, part in self.parts(case).items():
            prefix = case.at.get(path, path)
            total.update({f"{path}.{inner}": f"{prefix}.{to}" for inner, to in self.at(part).items()})
        return {**total, **case.at}

    def _height(self, case: Case, above: tuple[str, ...] = ()) -> int:
        if case.name in above:
            raise BadInput(f"case {case.name!r} is a part of itself: {' > '.join((*above, case.name))}")
        return max((1 + self._height(part, (*above, case.name)) for part in self.parts(case).values()), default=0)


def find_root(start: Path | None = None) -> Path:
    """The nearest folder at or above `start` (the working directory) that holds tolerances.yaml."""
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if (folder / ROOT_FILE).is_file():
            return folder
    raise BadInput(f"no {ROOT_FILE} in {start} or any folder above it: this is not the root of any port")


def discover(root: Path) -> Registry:
    """Load every `cases/*/case_*.py` and `suite.py` under a root; a file that raises is noted, and the others load.

    Raises:
        BadInput: two cases have one name, or two suites.
    """
    _first_on_path(root)
    cases: dict[str, Case] = {}
    suites: dict[str, Suite] = {}
    files: dict[str, str] = {}
    broken: list[Broken] = []
    for path in case_files(root):
        relative = path.relative_to(root).as_posix()
        try:
            found = load(path, root)
        except (Exception, SystemExit) as error:  # whatever a case file raises is its own fault, and told with its line
            broken.append(_broken(relative, path, error))
            continue
        for item in found:
            table: dict[str, Any] = cases if isinstance(item, Case) else suites
            if table.get(item.name) is item:
                continue  # imported from the file that it is made in
            if item.name in table:
                raise BadInput(
                    f"{relative}: the name {item.name!r} is taken: "
                    f"{files.get(item.name, 'another suite.py')} has it already"
                )
            table[item.name] = item
            files[item.name] = relative
    return Registry(root, cases, suites, files, tuple(broken))


def case_files(root: Path) -> Iterator[Path]:
    """The files that a root's cases and suites are written in, in order."""
    for folder in sorted(path for path in (root / "cases").glob("*") if path.is_dir()):
        yield from sorted(folder.glob("case_*.py"))
        yield from folder.glob("suite.py")


def load(path: Path, root: Path) -> tuple[Case | Suite, ...]:
    """Import one case file and return the cases and suites made in it; raises what the file raises."""
    _first_on_path(root)
    name = ".".join(path.relative_to(root).with_suffix("").parts)
    module = importlib.import_module(name)
    if Path(str(module.__file__)).resolve() != path.resolve():
        raise BadInput(f"{name} was imported from {module.__file__}, not from {path}")
    found = (item for item in vars(module).values() if isinstance(item, Case | Suite))
    return tuple({id(item): item for item in found}.values())


def nearest(name: str, known: Collection[str]) -> str:
    """The end of a sentence about an unknown name: '; did you mean ...?', or what there is."""
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return f"; did you mean {' or '.join(repr(match) for match in close)}?"
    return f"; known: {', '.join(sorted(known)) or 'none'}"


def _broken(relative: str, path: Path, error: BaseException) -> Broken:
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return Broken(relative, error.lineno or 1, f"SyntaxError: {error.msg}")
    frames = traceback.extract_tb(error.__traceback__)
    line = next((frame.lineno for frame in reversed(frames) if frame.filename == str(path)), 1) or 1
    return Broken(relative, line, f"{type(error).__name__}: {' '.join(str(error).split())}")


def _first_on_path(root: Path) -> None:
    if sys.path[:1] != [str(root)]:
        sys.path.insert(0, str(root))
        importlib.invalidate_caches()
        linecache.clearcache()
