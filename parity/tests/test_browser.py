"""The HTML report in a real headless Chromium: it loads nothing, sorts, filters, and reads without script or colour."""

# Selenium is typed in part only.
# pyright: basic

import base64
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from parity.report import html
from parity.tests import made_results as made

pytest.importorskip("selenium", reason="selenium is not installed: pip install 'parity[test]'")
CHROMIUM, DRIVER = (shutil.which(name) for name in ("chromium", "chromedriver"))
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="no Chromium here: apt-get install chromium chromium-driver"
)
ARGUMENTS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for argument in ARGUMENTS:
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(html.render(made.results(), located=made.located()))
    return path


def opened(browser: Any, page: Path, *, width: int = 1200, script: bool = True, dark: bool = False) -> Any:
    """The browser with the page in it, in a window of this width."""
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": [scheme]})
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not script})
    browser.get(page.as_uri())
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    return browser


def column(browser: Any, number: int) -> list[str]:
    """The words of one column of the table of layers, row by row, of the rows that are shown."""
    rows = "[...document.querySelectorAll('#layers tbody tr')].filter((row) => !row.hidden)"
    return browser.execute_script(f"return {rows}.map((row) => row.cells[{number}].textContent.trim())")


def test_the_page_loads_itself_alone_and_complains_of_nothing(browser: Any, page: Path) -> None:
    """One request, for the file; the policy that forbids the rest stops nothing of our own."""
    import json

    for kind in ("browser", "performance"):
        browser.get_log(kind)  # forgets what was before
    opened(browser, page)
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    assert asked == [page.as_uri()]
    assert browser.get_log("browser") == []


def test_a_hostile_text_runs_nothing(browser: Any, page: Path) -> None:
    """No dialogue opens, no image is made."""
    from selenium.common.exceptions import NoAlertPresentException

    opened(browser, page)
    with pytest.raises(NoAlertPresentException):
        _ = browser.switch_to.alert.text
    assert browser.execute_script("return document.images.length") == 0


def test_a_column_sorts_up_and_down_and_says_so(browser: Any, page: Path) -> None:
    """By number where cells have one; with the keyboard as with the mouse."""
    opened(browser, page)
    assert column(browser, 0) == ["toy/scale", "toy/pair", "toy/last"]
    heads = browser.find_elements("css selector", "#layers thead th")
    button = heads[1].find_element("tag name", "button")
    assert button.text == "exact"
    button.click()
    assert heads[1].get_attribute("aria-sort") == "ascending"
    assert column(browser, 1) == ["» skip", "✓ ok 3e-05", "✓ ok 0.50"]
    button.send_keys("\n")
    assert heads[1].get_attribute("aria-sort") == "descending"
    assert column(browser, 1) == ["✓ ok 0.50", "✓ ok 3e-05", "» skip"]
    heads[0].find_element("tag name", "button").click()
    assert heads[1].get_attribute("aria-sort") is None
    assert column(browser, 0) == ["toy/last", "toy/pair", "toy/scale"]


def test_rows_are_filtered_by_words_and_by_status(browser: Any, page: Path) -> None:
    """Also failures and tolerances; how many are left is told."""
    opened(browser, page)
    search = browser.find_element("css selector", ".tools input")
    search.send_keys("pair")
    assert column(browser, 0) == ["toy/pair"]
    assert browser.find_element("tag name", "output").text == "1 of 3 layers"
    assert not any(a.is_displayed() for a in browser.find_elements("css selector", "#failures article"))
    search.clear()
    search.send_keys(" ")
    browser.find_element("css selector", "option[value=failed]").click()
    assert column(browser, 0) == ["toy/scale"]
    shown = [a.text for a in browser.find_elements("css selector", "#failures article") if a.is_displayed()]
    assert [text.splitlines()[0] for text in shown] == ["toy/scale [float32]"]


def test_without_script_everything_is_there_and_nothing_is_dead(browser: Any, page: Path) -> None:
    """The table, the failures, the folded lists; no field that would do nothing."""
    opened(browser, page, script=False)
    assert column(browser, 0) == ["toy/scale", "toy/pair", "toy/last"]
    assert not browser.find_element("css selector", ".tools").is_displayed()
    assert browser.find_elements("tag name", "button") == []
    summary = browser.find_element("css selector", "#checks summary")
    summary.click()
    assert "rejected by exact" in browser.find_element("css selector", "#checks details").text


@pytest.mark.parametrize("width", [320, 390, 768, 1200])
def test_the_page_is_never_wider_than_the_window(browser: Any, page: Path, width: int) -> None:
    """Wide tables scroll inside themselves."""
    opened(browser, page, width=width)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_word_stands_out_from_its_ground(browser: Any, page: Path, dark: bool) -> None:
    """A contrast of 4.5 or more (WCAG AA), for each colour of text on what is behind it."""
    opened(browser, page, dark=dark)
    pairs = browser.execute_script(PAIRS)
    assert len(pairs) >= 6
    ground = {pair[1] for pair in pairs}
    assert ("rgb(18, 22, 29)" in ground) == dark
    low = {tuple(pair): round(_contrast(*pair), 2) for pair in pairs if _contrast(*pair) < 4.5}
    assert not low


def test_a_status_is_told_by_a_sign_and_a_word_too(browser: Any, page: Path) -> None:
    """Nothing is told by a colour alone."""
    opened(browser, page)
    assert column(browser, 2) == ["✗ FAIL 2e+05", "▲ blocked", "! ERROR"]
    squares = browser.find_elements("css selector", "#heat dd .square:not([class*=' h'])")
    assert [square.text for square in squares] == ["✗", "▲", "»", "!"]


def test_on_paper_the_report_is_whole_and_black_on_white(browser: Any, page: Path) -> None:
    """A PDF of it is made; what only a screen can use is left out, in dark too."""
    opened(browser, page, dark=True)
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": dark})
    style = "return getComputedStyle(document.body)"
    assert browser.execute_script(f"{style}.backgroundColor") == "rgb(255, 255, 255)"
    assert browser.execute_script(f"{style}.color") == "rgb(0, 0, 0)"
    for selector in ("nav", ".tools", "#checks"):
        assert not browser.find_element("css selector", selector).is_displayed()
    assert browser.find_element("css selector", "#not-checked").is_displayed()
    made_of = browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": False})
    assert base64.b64decode(made_of["data"]).startswith(b"%PDF")


PAIRS = """
const found = new Map();
for (const element of document.querySelectorAll("body *")) {
  const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
  if (!own || !element.checkVisibility() || element.closest("svg, script, option")) continue;
  let under = element;
  while (under && getComputedStyle(under).backgroundColor === "rgba(0, 0, 0, 0)") under = under.parentElement;
  const behind = under ? getComputedStyle(under).backgroundColor : "rgb(255, 255, 255)";
  const pair = [getComputedStyle(element).color, behind];
  found.set(pair.join(), pair);
}
return [...found.values()];
"""


def _contrast(ink: str, paper: str) -> float:
    """WCAG's ratio of two colours as the browser writes them: rgb(r, g, b)."""

    def light(colour: str) -> float:
        parts = [int(part) / 255 for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]
        red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    bright, dim = sorted((light(ink), light(paper)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def test_a_search_s_page_stands_alone_too(browser: Any, tmp_path: Path) -> None:
    """It loads nothing, complains of nothing, opens its table of places, and fits a phone."""
    from parity.report import located
    from parity.tests.test_report_located import found

    page = tmp_path / "located.html"
    page.write_text(located.html(found(places=40)))
    browser.get_log("browser")
    opened(browser, page, width=360)
    assert browser.get_log("browser") == []
    assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    assert browser.execute_script("return document.querySelectorAll('details tbody tr').length") == 41
