"""The page in headless Chromium: drop, verdict, pictures, download, error, keyboard, dark mode, no script, no mouse."""

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from redhanded.server.pages import PAGES
from support.processes import PATIENCE
from support.web_server import Server, example_png, serving

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = ("--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-sync")
FLAGS = (*QUIET, "--disable-component-update", "--no-sandbox")  # CI is root, whom Chromium's sandbox refuses
PHONE = {"width": 390, "height": 844}
DROP = """([place, files]) => {
  const transfer = new DataTransfer();
  for (const [name, bytes] of files) transfer.items.add(new File([new Uint8Array(bytes)], name, { type: "image/png" }));
  for (const kind of ["dragover", "drop"])
    document.querySelector(place).dispatchEvent(
      new DragEvent(kind, { dataTransfer: transfer, bubbles: true, cancelable: true }));
}"""

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM, reason="no chromium is installed (Debian: apt-get install chromium)"),
]
Open = Callable[..., Page]


@pytest.fixture(scope="module")
def server(bundle: Path) -> Iterator[Server]:
    with serving(bundle) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield running
        running.close()


@pytest.fixture
def opened(browser: Browser, server: Server) -> Iterator[Open]:
    """Opens a path in a context of its own; at the end nothing may have been complained of, nor asked elsewhere."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []
    asked: list[str] = []

    def go(path: str = "/", **options: object) -> Page:
        contexts.append(browser.new_context(**options))  # type: ignore[arg-type]
        contexts[-1].set_default_timeout(PATIENCE * 1000)
        page = contexts[-1].new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(server.url + path)
        return page

    yield go
    for context in contexts:
        context.close()
    assert [text for text in complaints if "the server responded with a status of" not in text] == []
    assert [url for url in asked if not url.startswith((server.url, f"blob:{server.url}"))] == []


@pytest.fixture(scope="module")
def png(bundle: Path) -> bytes:
    return example_png(bundle)


@pytest.fixture
def file(tmp_path: Path, png: bytes) -> Path:
    path = tmp_path / "suspect.png"
    path.write_bytes(png)
    return path


@pytest.fixture
def keep(tmp_path: Path) -> Callable[[Page, str], None]:
    """Keeps a screenshot, in REDHANDED_SCREENSHOTS where that is set."""
    folder = Path(os.environ.get("REDHANDED_SCREENSHOTS") or tmp_path)

    def shoot(page: Page, name: str) -> None:
        path = folder / f"{name}.png"
        page.screenshot(path=path, full_page=True)
        assert path.stat().st_size > 5000

    return shoot


def drop(page: Page, *files: tuple[str, bytes], on: str = "main") -> None:
    page.evaluate(DROP, [on, [[name, list(data)] for name, data in files]])


def verdict_of(page: Page) -> None:
    expect(page.locator("article.verdict").first).to_be_visible(timeout=PATIENCE * 1000)


def picture_of(page: Page) -> None:
    expect(page.locator(".evidence img").first).to_be_visible(timeout=PATIENCE * 1000)


def test_a_dropped_image_gets_a_verdict_and_its_picture(
    opened: Open, png: bytes, keep: Callable[[Page, str], None]
) -> None:
    page = opened()
    drop(page, ("suspect.png", png))
    verdict_of(page)
    expect(page.get_by_role("heading", name="suspect.png")).to_be_visible()
    expect(page.get_by_role("region", name="family")).to_be_visible()
    expect(page.get_by_role("status")).to_have_text("1 verdict.")
    picture_of(page)
    assert page.evaluate("document.querySelector('.evidence img').naturalWidth") > 300
    assert "perturbation" in (page.locator(".evidence img").get_attribute("alt") or "")
    keep(page, "verdict-light")


def test_several_at_once_and_a_bad_one_among_them(opened: Open, png: bytes, keep: Callable[[Page, str], None]) -> None:
    page = opened()
    drop(page, ("a.png", png), ("<img src=x onerror=alert(1)>.png", b"no image"), ("b.png", png), on="#drop")
    verdict_of(page)
    expect(page.locator("article.verdict")).to_have_count(2)
    expect(page.locator("article.failure")).to_contain_text("<img src=x onerror=alert(1)>.png")
    expect(page.locator("#verdicts-title")).to_have_text("2 verdicts, 1 not usable")
    pictures = page.locator(".evidence img")
    for place in range(2):  # the second is of the third file
        page.locator("article.verdict").nth(place).scroll_into_view_if_needed()
        expect(pictures.nth(place)).to_be_visible(timeout=PATIENCE * 1000)
    keep(page, "failure")


def test_an_error_is_told_and_the_page_goes_on(opened: Open, file: Path, keep: Callable[[Page, str], None]) -> None:
    page = opened()
    page.set_input_files("#images", file)
    page.get_by_text("What you know already").click()
    page.locator("input[type=number]").first.fill("0.9")
    page.locator("input[type=number]").nth(1).fill("0.9")
    page.get_by_role("button", name="Attribute").click()
    expect(page.get_by_role("alert")).to_contain_text("sum to 1 or less", timeout=PATIENCE * 1000)
    keep(page, "error")
    page.locator("input[type=number]").nth(1).fill("")
    page.get_by_role("button", name="Attribute").click()
    verdict_of(page)
    expect(page.get_by_role("alert")).to_be_empty()
    expect(page.locator("article.verdict .statement")).to_contain_text("prior")


def test_too_much_is_told(opened: Open, png: bytes) -> None:
    page = opened()
    drop(page, *[(f"{place}.png", png) for place in range(65)])
    expect(page.get_by_role("alert")).to_contain_text("at most 64 files", timeout=PATIENCE * 1000)


def test_a_file_that_is_too_large_is_told(opened: Open) -> None:
    """The server must let the browser finish sending, which would else see a broken connection and no reason."""
    page = opened()
    page.evaluate(DROP.replace("new Uint8Array(bytes)", "new Uint8Array(60e6)"), ["main", [["large.png", 0]]])
    expect(page.get_by_role("alert")).to_contain_text("bytes in a request", timeout=PATIENCE * 1000)


def test_the_reference_is_used(opened: Open, file: Path, bundle: Path, tmp_path: Path) -> None:
    clean = tmp_path / "clean.png"
    clean.write_bytes(example_png(bundle, 5))
    page = opened()
    page.get_by_text("What you know already").click()
    page.set_input_files("#clean", clean)
    page.set_input_files("#images", file)
    page.get_by_role("button", name="Attribute").click()
    verdict_of(page)
    expect(page.locator("article.verdict")).to_contain_text("the difference to the clean reference")
    picture_of(page)


@pytest.mark.parametrize(("name", "suffix"), [("JSON", ".json"), ("STIX", ".stix.json")])
def test_verdicts_are_downloaded(opened: Open, png: bytes, name: str, suffix: str) -> None:
    page = opened()
    drop(page, ("suspect.png", png))
    verdict_of(page)
    with page.expect_download(timeout=PATIENCE * 1000) as saved:
        page.get_by_role("button", name=name, exact=True).click()
    assert saved.value.suggested_filename == f"verdicts{suffix}"
    assert "suspect.png" in json.dumps(json.loads(Path(saved.value.path()).read_text()))


def test_everything_can_be_done_by_keyboard(opened: Open, file: Path) -> None:
    page = opened()
    page.on("filechooser", lambda chooser: chooser.set_files(file))  # takes a while to be heard of: before any key
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.locator("#images")).to_be_focused()
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none"
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("1 image chosen.")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # opens the options
    expect(page.locator("#clean")).to_be_visible()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Attribute")).to_be_focused()
    page.keyboard.press("Enter")
    verdict_of(page)
    expect(page.locator("#verdicts-title")).to_be_focused()


def test_without_script_the_form_still_answers(opened: Open, file: Path) -> None:
    page = opened(java_script_enabled=False)
    page.set_input_files("#images", file)
    page.get_by_role("button", name="Attribute").click()
    verdict_of(page)
    expect(page.get_by_role("button", name="STIX")).to_be_hidden()
    expect(page.locator("figure")).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_accessible_and_fits_a_phone(
    opened: Open, path: str, scheme: str, png: bytes, keep: Callable[[Page, str], None]
) -> None:
    page = opened(path, color_scheme=scheme, viewport=PHONE)
    if path == "/":
        page.get_by_text("What you know already").click()
        drop(page, ("suspect.png", png), ("bad.png", b"no image"))
        verdict_of(page)
        picture_of(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    light = brightness(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    text = brightness(page.evaluate("getComputedStyle(document.body).color"))
    assert (light > 128 > text) is (scheme == "light")
    assert (text > 128 > light) is (scheme == "dark")
    keep(page, f"phone-{scheme}-{path.strip('/') or 'verdict'}")


def brightness(colour: str) -> float:
    """Of `rgb(r, g, b)`, 0 to 255."""
    return sum(map(int, re.findall(r"\d+", colour)[:3])) / 3


def test_a_browser_gives_the_token_as_a_password(browser: Browser, bundle: Path, png: bytes) -> None:
    with serving(bundle, "--host", "0.0.0.0") as server:  # noqa: S104 (that is what is tested)
        token = server.line().split()[1]
        context = browser.new_context(http_credentials={"username": "me", "password": token})
        page = context.new_page()
        page.goto(server.url)
        drop(page, ("suspect.png", png))
        verdict_of(page)
        picture_of(page)
        context.close()


def test_a_server_that_is_gone_is_told(browser: Browser, bundle: Path, png: bytes) -> None:
    with serving(bundle) as server:
        context = browser.new_context()
        page = context.new_page()
        page.goto(server.url)
        server.stop()
        drop(page, ("suspect.png", png))
        expect(page.get_by_role("alert")).to_contain_text("cannot be reached")
        context.close()
