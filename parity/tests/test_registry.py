"""Cases are found under the run's own root, broken ones are named with their line, and parts come first."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

import parity
from parity import registry as registries
from parity.errors import BadInput
from parity.registry import Registry, discover, find_root, nearest

HEAD = "import parity\nfrom hypothesis import strategies as st\n"
LAYERS = ("embedding", "rmsnorm", "rotary", "rotation", "mlp", "attention", "block", "model", "causal_lm")  # of Llama


def case(name: str, **fields: Any) -> parity.Case:
    """Return a case that is nothing but its name and parts."""
    return parity.Case(
        name=name,
        reference=lambda config: None,
        port=lambda config, dtype, rngs: None,
        configs=st.just({}),
        inputs=lambda config, form: st.just({}),
        **fields,
    )


def written(name: str, variable: str = "made") -> str:
    """Return the lines that make such a case in a file."""
    return (
        f"{variable} = parity.Case(name={name!r}, reference=lambda c: None, port=lambda c, d, r: None,\n"
        "    configs=st.just({}), inputs=lambda c, f: st.just({}))\n"
    )


def of(*cases: parity.Case) -> Registry:
    """Return a registry of these, in this order."""
    return Registry(Path("/root"), {case.name: case for case in cases}, {}, {})


Write = Callable[[dict[str, str]], Path]


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Write]:
    """Write files under a root, whose `cases` is another package than this project's; both are kept apart."""
    before, path = {n: m for n, m in sys.modules.items() if n.partition(".")[0] == "cases"}, list(sys.path)
    for name in before:
        del sys.modules[name]

    def write(files: dict[str, str]) -> Path:
        for name, text in {"tolerances.yaml": "", "cases/__init__.py": "", **files}.items():
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
            if file.parent.parent.name == "cases":
                (file.parent / "__init__.py").touch()
        return tmp_path

    yield write
    for name in [name for name in sys.modules if name.partition(".")[0] == "cases"]:
        del sys.modules[name]
    sys.modules.update(before)
    sys.path[:] = path


def test_cases_are_found_in_order(root: Write) -> None:
    """Every case_*.py and suite.py of every folder, by name; other files are left alone."""
    found = discover(
        root(
            {
                "cases/b/case_two.py": HEAD + written("b/two"),
                "cases/b/case_one.py": HEAD + written("b/one") + written("b/extra", "more"),
                "cases/b/suite.py": HEAD
                + "s = parity.Suite(name='b', references=(), whole='b/two', config=dict, architectures=())\n",
                "cases/a/case_three.py": HEAD + written("a/three"),
                "cases/a/one_case.py": "raise RuntimeError('not a case file')\n",
                "cases/a/port/case_deep.py": "raise RuntimeError('too deep')\n",
                "cases/case_above.py": "raise RuntimeError('in no port')\n",
            }
        )
    )
    assert list(found.cases) == ["a/three", "b/one", "b/extra", "b/two"]
    assert list(found.suites) == ["b"]
    assert found.broken == ()
    assert found.files["b/extra"] == "cases/b/case_one.py"
    assert found["b/one"].port_name == "b"


def test_case_imported_from_its_file_is_no_duplicate(root: Write) -> None:
    """A case file may import another's case, before or after that one is found itself."""
    found = discover(
        root(
            {
                "cases/a/case_one.py": "from cases.a.case_two import made\n",
                "cases/a/case_two.py": HEAD + written("a/two"),
            }
        )
    )
    assert list(found.cases) == ["a/two"]


def test_one_name_for_two_cases_is_refused(root: Write) -> None:
    """Both files are named; so it is for suites."""
    folder = root({"cases/a/case_one.py": HEAD + written("a/one"), "cases/b/case_x.py": HEAD + written("a/one")})
    with pytest.raises(BadInput) as error:
        discover(folder)
    assert str(error.value) == "cases/b/case_x.py: the name 'a/one' is taken: cases/a/case_one.py has it already"


def test_one_name_for_two_suites_is_refused(root: Write) -> None:
    """A second suite of one name is refused like a second case."""
    suite = "import parity\ns = parity.Suite(name='a', references=(), whole='', config=dict, architectures=())\n"
    folder = root({"cases/a/suite.py": suite, "cases/b/suite.py": suite})
    with pytest.raises(BadInput) as error:
        discover(folder)
    assert str(error.value) == "cases/b/suite.py: the name 'a' is taken: cases/a/suite.py has it already"


BROKEN = {
    "raises": (HEAD + "\nraise RuntimeError('why\\n  not')\n", 4, "RuntimeError: why not"),
    "exits": (HEAD + "\n\nraise SystemExit('enough')\n", 5, "SystemExit: enough"),
    "syntax": (HEAD + "def f(:\n    pass\n", 3, "SyntaxError: invalid syntax"),
    "no_module": (HEAD + "import nothing_like_it\n", 3, "ModuleNotFoundError: No module named 'nothing_like_it'"),
    "deep_inside": (HEAD + "\n\n\nint('x')\n", 6, "ValueError: invalid literal for int() with base 10: 'x'"),
    "in_a_file_it_imports": (HEAD + "import cases.a.wrong\n", 3, "ZeroDivisionError: division by zero"),
    "syntax_of_a_file_it_imports": (HEAD + "\nimport cases.a.typo\n", 4, "SyntaxError: '(' was never closed"),
    "null_bytes": (HEAD + "\0", 1, "SyntaxError: source code string cannot contain null bytes"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_broken_file_is_named_and_the_others_load(root: Write, how: str) -> None:
    """The line of the case file itself is told, in one line of text, and every other case is there."""
    text, line, reason = BROKEN[how]
    found = discover(
        root(
            {
                "cases/a/case_bad.py": text,
                "cases/a/case_good.py": HEAD + written("a/good"),
                "cases/a/wrong.py": "1 / 0\n",
                "cases/a/typo.py": "f(\n",
                "cases/b/case_other.py": HEAD + written("b/other"),
            }
        )
    )
    assert list(found.cases) == ["a/good", "b/other"]
    (broken,) = found.broken
    assert (broken.path, broken.name) == ("cases/a/case_bad.py", "cases/a/case_bad")
    assert broken.reason.startswith(reason)
    if how != "null_bytes":
        assert str(broken) == f"cases/a/case_bad.py:{line}: {broken.reason}"


def test_cases_of_another_root_are_not_taken_for_ones_own(root: Write, tmp_path: Path) -> None:
    """A process that has loaded one root's cases does not judge another root by them."""
    first = root({"cases/a/case_one.py": HEAD + written("a/one")})
    assert list(discover(first).cases) == ["a/one"]
    second = tmp_path / "second"
    (second / "cases" / "a").mkdir(parents=True)
    (second / "cases" / "a" / "case_one.py").write_text(HEAD + written("a/one"))
    (broken,) = discover(second).broken
    assert "was imported from" in broken.reason
    assert str(first / "cases" / "a" / "case_one.py") in broken.reason


def test_root_is_the_nearest_folder_above(root: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """From anywhere below, and from the working directory; a nested root is nearer."""
    folder = root({"cases/a/port/deep.py": "", "vendored/tolerances.yaml": "", "vendored/cases/x/y.py": ""})
    assert find_root(folder / "cases" / "a" / "port") == folder
    assert find_root(folder / "vendored" / "cases") == folder / "vendored"
    monkeypatch.chdir(folder / "cases" / "a")
    assert find_root() == folder


def test_no_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a tolerances.yaml anywhere, the folder that was looked from is named; a folder of that name is none."""
    monkeypatch.setattr(registries, "ROOT_FILE", "no-such-file.yaml")
    (tmp_path / "no-such-file.yaml").mkdir()
    with pytest.raises(BadInput) as error:
        find_root(tmp_path)
    assert str(error.value) == (
        f"no no-such-file.yaml in {tmp_path} or any folder above it: this is not the root of any port"
    )


def test_root_without_cases(root: Write) -> None:
    """A root may have no cases yet."""
    found = discover(root({}))
    assert (dict(found.cases), found.broken) == ({}, ())
    assert found.bottom_up() == found.select([]) == ()


def test_select_by_name_port_or_layer() -> None:
    """A whole name, a port, or a layer of any port; bottom-up, and each once."""
    found = of(case("b/norm"), case("a/norm"), case("a/whole", parts={"n": "a/norm"}))
    assert [c.name for c in found.select([])] == ["a/norm", "a/whole", "b/norm"]
    assert [c.name for c in found.select(["a/whole", "a/norm"])] == ["a/norm", "a/whole"]
    assert [c.name for c in found.select(["norm"])] == ["a/norm", "b/norm"]
    assert [c.name for c in found.select(["a", "norm", "a/norm"])] == ["a/norm", "a/whole", "b/norm"]


def test_unknown_name_says_what_is_near() -> None:
    """The nearest names, or all there are."""
    found = of(case("a/norm"), case("a/whole"))
    with pytest.raises(BadInput) as error:
        _ = found["a/nrom"]
    assert str(error.value) == "unknown case 'a/nrom'; did you mean 'a/norm'?"
    with pytest.raises(BadInput) as error:
        found.select(["wohle"])
    assert str(error.value) == "unknown case 'wohle'; did you mean 'whole' or 'a/whole'?"
    with pytest.raises(BadInput) as error:
        found.select(["a/norm", "zzzzzz"])
    assert str(error.value) == "unknown case 'zzzzzz'; known: a/norm, a/whole, norm, whole"
    assert nearest("x", []) == "; known: none"


def test_bottom_up() -> None:
    """Each after its parts, however deep; by name within a level, and port by port."""
    found = of(
        case("a/whole", parts={"l.*": "a/layer", "n": "a/norm"}),
        case("b/alone"),
        case("a/layer", parts={"n": "a/norm", "m": "a/feed"}),
        case("a/norm"),
        case("a/feed"),
        case("a/zero"),
    )
    assert [c.name for c in found.bottom_up()] == ["a/feed", "a/norm", "a/zero", "a/layer", "a/whole", "b/alone"]


def test_parts_that_do_not_exist_are_let_be() -> None:
    """A part that has no case is a finding of the gate, and no error here."""
    whole = case("a/whole", parts={"x": "a/missing", "n": "a/norm"})
    found = of(whole, case("a/norm"))
    assert list(found.parts(whole)) == ["n"]
    assert [c.name for c in found.bottom_up()] == ["a/norm", "a/whole"]
    assert found.rules(whole, {}).table == {}


def test_case_that_is_a_part_of_itself() -> None:
    """A cycle is refused with every step of it."""
    found = of(case("a/x", parts={"p": "a/y"}), case("a/y", parts={"q": "a/x"}))
    with pytest.raises(BadInput) as error:
        found.bottom_up()
    assert str(error.value) == "case 'a/x' is a part of itself: a/x > a/y > a/x"


def test_covering() -> None:
    """The case that answers for a class or function, if any."""
    found = of(case("a/norm", covers=(dict, len)), case("a/whole"))
    assert found.covering(dict) is found["a/norm"]
    assert found.covering(len) is found["a/norm"]
    assert found.covering(list) is None


def test_cases_of_llama() -> None:
    """All nine are there, bottom-up, and each answers for its class."""
    found = discover(Path(__file__).parents[2])
    assert found.broken == ()
    order = [c.name for c in found.bottom_up() if c.port_name == "llama"]
    assert set(LAYERS) <= {name.partition("/")[2] for name in order}
    place = {name.partition("/")[2]: number for number, name in enumerate(order)}
    assert (
        max(place["rmsnorm"], place["mlp"], place["attention"]) < place["block"] < place["model"] < place["causal_lm"]
    )
    (norm,) = found["llama/rmsnorm"].covers
    assert found.covering(norm) is found["llama/rmsnorm"]


def test_no_variant_is_named_like_a_layer() -> None:
    """`-k mlp` must mean the layer: no fault's or equivalent's name contains a case's."""
    found = discover(Path(__file__).parents[2])
    names = {case.name.partition("/")[2] for case in found.cases.values()} | set(LAYERS)
    unclear = [
        f"{case.name}: {variant}"
        for case in found.cases.values()
        for variant in (*case.faults, *case.equivalents)
        if any(name in variant.lower() for name in names)
    ]
    assert unclear == []


def test_no_test_of_the_harness_is_named_like_a_layer(request: pytest.FixtureRequest) -> None:
    """`-k mlp` must mean the layer: no test here contains a case's name, parameters and files included."""
    folder = Path(__file__).parent
    items = [item for item in request.session.items if folder in item.path.parents]
    names = [item.nodeid.removeprefix(folder.relative_to(request.config.rootpath).as_posix()) for item in items]
    names += [file.name for file in folder.iterdir()]
    assert len(names) > len(items) > 0
    assert [name for name in names if any(layer in name.lower() for layer in LAYERS)] == []
