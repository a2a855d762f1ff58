"""pytest's view of cases: a case file, its checks as items, and what a process's runs of them found."""

import contextlib
import dataclasses
import functools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from parity.errors import BadInput
from parity.registry import find_root

if TYPE_CHECKING:  # imported when they are needed: an unrelated run pays for none of it
    from parity.results import Result, Results
    from parity.run import Runner
    from parity.session import Workspace

PROPERTY = "parity"  # under this name an item's result travels from an xdist worker
Payload = dict[str, Any]


@dataclasses.dataclass
class Root:
    """A root under collection: its cases, and the runner that keeps what is built between a case's checks."""

    workspace: "Workspace"
    runner: "Runner"

    @functools.cached_property
    def order(self) -> dict[tuple[str, str], int]:
        """(case, check) -> its place, bottom-up."""
        from parity.run import check_ids

        pairs = ((case.name, c) for case in self.workspace.registry.bottom_up() for c in check_ids(case, deep=False))
        return {pair: number for number, pair in enumerate(pairs)}


@dataclasses.dataclass
class Runs:
    """A pytest process's runs of checks: roots by folder, results in the order they came, what surrounds them."""

    examples: int
    seed: int
    folder: Path | None
    roots: dict[Path, Root | str] = dataclasses.field(default_factory=dict[Path, "Root | str"])
    results: list[tuple[int, "Result"]] = dataclasses.field(default_factory=list[tuple[int, "Result"]])
    parts: dict[str, list[str]] = dataclasses.field(default_factory=dict[str, list[str]])
    not_checked: list[str] = dataclasses.field(default_factory=list[str])
    environment: dict[str, Any] = dataclasses.field(default_factory=dict[str, Any])
    components: list[Payload] = dataclasses.field(default_factory=list[Payload])
    sung: bool = False
    canaries: list[str] = dataclasses.field(default_factory=list[str])
    stack: contextlib.ExitStack = dataclasses.field(default_factory=contextlib.ExitStack)

    def root(self, folder: Path) -> Root | None:
        """A root's cases, loaded once; raises BadInput the first time, is None for one told as broken."""
        from parity import garbage, session
        from parity.port import cache
        from parity.run import Runner

        if folder not in self.roots:
            self.roots[folder] = "broken"
            workspace = session.load(folder)
            made = session.settings(examples=self.examples, seed=self.seed)
            if not self.parts:
                self.stack.enter_context(cache.persistent())
                self.stack.enter_context(garbage.seldom())
            self.parts.update(session.parts(workspace.registry))
            self.roots[folder] = Root(workspace, Runner(workspace.registry, workspace.tolerances, made))
        root = self.roots[folder]
        return root if isinstance(root, Root) else None

    def collected(self, items: Iterable["Check"]) -> None:
        """Note what the selected items don't look at, and where they run."""
        from parity import environment, session

        items = list(items)
        for root in (root for root in self.roots.values() if isinstance(root, Root)):
            registry = root.workspace.registry
            own = [(registry.cases[i.case], i.check) for i in items if i.root is root and i.case in registry.cases]
            self.not_checked += session.not_checked(registry, own, registry.broken)
            self.not_checked += session.stale(root.workspace, {case.name for case, _ in own})
            self.components += [one.model_dump(mode="json") for one in session.components(registry)]
        self.environment = environment.describe() if items else {}

    def canary(self, item: "Check") -> "Result | None":
        """Inject the process's one fault, into the first case that runs; the result where it was not rejected."""
        if self.sung:
            return None
        self.sung = True
        from parity import canary

        cases = item.root.workspace.registry.cases
        sung = canary.sing(item.root.runner, [cases[item.case]] if item.case in cases else [])
        self.canaries += [sung.said] if sung else []
        self.not_checked += [] if sung else [canary.SILENT]
        return sung.result if sung else None

    def add(self, payload: Payload) -> None:
        """Take a result in, from this process or from a worker."""
        from parity.results import Result

        self.results.append((payload["place"], Result.model_validate(payload["result"])))
        self.parts.update(payload["parts"])

    def surroundings(self) -> Payload:
        """What a worker tells besides its results."""
        return {
            "not_checked": self.not_checked,
            "environment": self.environment,
            "canaries": self.canaries,
            "components": self.components,
        }

    def surround(self, payload: Payload) -> None:
        """Take in what a worker told besides its results; nothing, where it never got that far."""
        self.not_checked += payload.get("not_checked", [])
        self.environment = payload.get("environment") or self.environment
        self.components = payload.get("components") or self.components
        self.canaries += payload.get("canaries", [])

    def merged(self) -> "Results":
        """Everything that ran, with what lies above a failed part marked as such."""
        from parity import session
        from parity.results import Component

        gathered = session.gather(
            [result for _, result in sorted(self.results, key=lambda found: found[0])],
            parts=self.parts,
            seed=self.seed,
            not_checked=dict.fromkeys(self.not_checked),
            environment=self.environment,
        )
        said = "; ".join(dict.fromkeys(self.canaries)) or None
        components = tuple(map(Component.model_validate, self.components))
        return gathered.model_copy(update={"canary": said, "components": components})


RUNS = pytest.StashKey[Runs]()


class CaseFile(pytest.File):
    """A `case_*.py` or `suite.py` under a root's `cases/`."""

    def collect(self) -> Iterator["Check"]:
        runs = self.config.stash[RUNS]
        try:
            root = runs.root(find_root(self.path.parent))
        except BadInput as error:
            raise self.CollectError(f"parity: error: {error}") from None
        if root:
            yield from (Check.from_parent(self, name=f"{case}[{check}]", root=root, case=case, check=check)
                        for case, check in self._checks(root))  # fmt: skip

    def _checks(self, root: Root) -> Iterator[tuple[str, str]]:
        registry = root.workspace.registry
        path = self.path.relative_to(registry.root).as_posix()
        yield from ((broken.name, "import") for broken in registry.broken if broken.path == path)
        yield from (pair for pair in root.order if registry.files[pair[0]] == path)


class Check(pytest.Item):
    """One check of one case."""

    def __init__(self, *, root: Root, case: str, check: str, **rest: Any) -> None:
        super().__init__(**rest)  # pyright: ignore[reportUnknownMemberType]: pytest types none of it
        self.root, self.case, self.check = root, case, check

    @property
    def place(self) -> int:
        """Where it stands in its root's order; a broken file stands first."""
        return self.root.order.get((self.case, self.check), -1)

    def runtest(self) -> None:
        runs = self.config.stash[RUNS]
        dead = runs.canary(self)
        result = dead or self._result()
        payload: Payload = {"result": result.model_dump(mode="json"), "parts": _below(result.case, runs.parts)}
        payload["place"] = self.place
        self.user_properties.append((PROPERTY, json.dumps(payload)))
        if result.status == "skipped":
            raise pytest.skip.Exception(result.message or "", _use_item_location=True)
        if result.status != "passed":
            raise Failure(result)

    def _result(self) -> "Result":
        from parity import session

        registry = self.root.workspace.registry
        broken = [broken for broken in registry.broken if broken.name == self.case]
        return session.broken_results(broken)[0] if broken else self.root.runner.run(registry[self.case], self.check)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The same block as the terminal's, and no traceback: it would show parity, not the port."""
        if isinstance(excinfo.value, Failure):
            return str(excinfo.value)
        return (
            f"parity: error: {excinfo.value}" if isinstance(excinfo.value, BadInput) else super().repr_failure(excinfo)
        )

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, 0, self.name


class Failure(Exception):
    """A check's verdict as pytest wants it."""

    def __init__(self, result: "Result") -> None:
        from parity.report.failure import failure

        super().__init__("\n".join(failure(result)))


class Collector:
    """Takes results in as their reports come, on whichever worker the items ran."""

    def __init__(self, runs: Runs) -> None:
        self.runs = runs

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for name, value in report.user_properties if report.when == "call" else []:
            if name == PROPERTY:
                self.runs.add(json.loads(str(value)))


def _below(case: str, parts: dict[str, list[str]]) -> dict[str, list[str]]:
    """The parts of a case, and theirs: what is needed to say what it is blocked by."""
    found = {case: parts.get(case, [])}
    for part in found[case]:
        found.update(_below(part, parts))
    return found
