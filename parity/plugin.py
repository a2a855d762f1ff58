"""pytest collects a root's case files, one item a check; torch and jax are imported only when it collects one."""

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from parity.errors import BadInput
from parity.items import PROPERTY, RUNS, CaseFile, Check, Collector, Runs
from parity.registry import find_root

if TYPE_CHECKING:
    from parity.results import Results


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("parity", "parity: is a port the same function as its reference?")
    group.addoption(
        "--parity-examples", type=int, default=50, metavar="N", help="distinct examples a check (default: 50)"
    )
    group.addoption(
        "--parity-seed", type=int, default=0, metavar="N", help="another seed draws other examples (default: 0)"
    )
    group.addoption("--parity-report", metavar="DIR", help="write results.json, report.html, report.md into DIR")


def pytest_configure(config: pytest.Config) -> None:
    folder, examples = _option(config, "report"), _option(config, "examples")
    if examples < 1:
        raise pytest.UsageError(f"--parity-examples must be at least 1, not {examples}")
    if folder:
        _made(config.invocation_params.dir / folder)
    path = config.invocation_params.dir / folder if folder else None
    config.stash[RUNS] = runs = Runs(examples, _option(config, "seed"), path)
    config.pluginmanager.register(Collector(runs), "parity results")


def pytest_unconfigure(config: pytest.Config) -> None:
    if RUNS in config.stash:
        config.stash[RUNS].stack.close()


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> Any:
    others: Any = yield
    # Instead of the others: pytest would import a case file that was named on its command line as a test module, again.
    return [CaseFile.from_parent(parent, path=file_path)] if _is_case_file(file_path) else others


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leaf cases first, all checks of a case together; items that are not ours keep their places."""
    places = [place for place, item in enumerate(items) if isinstance(item, Check)]
    ours = sorted((item for item in items if isinstance(item, Check)), key=lambda item: item.place)
    for place, item in zip(places, ours, strict=True):
        items[place] = item


def pytest_collection_finish(session: pytest.Session) -> None:
    ours = [item for item in session.items if isinstance(item, Check)]
    if ours:
        session.config.stash[RUNS].collected(ours)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """All checks of a case on one worker, so that what is built for one serves all; unless --dist was given."""
    if any(arg == "-d" or str(arg).startswith("--dist") for arg in config.invocation_params.args):
        return None
    try:
        find_root(config.rootpath)
    except BadInput:
        return None
    return _scheduler(config, log)


def pytest_sessionfinish(session: pytest.Session) -> None:
    runs = session.config.stash[RUNS]
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output[PROPERTY] = json.dumps(runs.surroundings())
    elif runs.folder and runs.results:
        _write_report(runs.folder, runs.merged())


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    output: dict[str, str] = getattr(node, "workeroutput", None) or {}
    node.config.stash[RUNS].surround(json.loads(output.get(PROPERTY, "{}")))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    runs = config.stash[RUNS]
    if runs.results:
        from parity.report.terminal import render_summary

        terminalreporter.section("parity")
        width = terminalreporter._tw.fullwidth
        terminalreporter.write(render_summary(runs.merged(), width=max(width, 80), color=terminalreporter.hasmarkup))


def _option(config: pytest.Config, name: str) -> Any:
    return config.getoption(f"--parity-{name}")


def _is_case_file(path: Path) -> bool:
    """A file that `registry.case_files` of the root above it would list."""
    named = path.name == "suite.py" or (path.name.startswith("case_") and path.suffix == ".py")
    if not named or path.parent.parent.name != "cases":
        return False
    with contextlib.suppress(BadInput):
        return find_root(path.parent) == path.parent.parent.parent
    return False


def _made(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise pytest.UsageError(f"--parity-report {folder}: {error.strerror}") from None


def _write_report(folder: Path, results: "Results") -> None:
    from parity.report import html, markdown
    from parity.report.files import write_whole
    from parity.report.json import to_json

    write_whole(folder / "results.json", to_json(results))
    write_whole(folder / "report.html", html.render(results))
    write_whole(folder / "report.md", markdown.render(results))


def _scheduler(config: pytest.Config, log: Any) -> Any:
    from xdist.scheduler.loadscope import LoadScopeScheduling  # pyright: ignore[reportMissingTypeStubs]

    class ByCase(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            path, _, name = nodeid.partition("::")
            return nodeid.rpartition("[")[0] if _is_case_file(config.rootpath / path) and "[" in name else nodeid

    return ByCase(config, log)
