"""A headless Chromium, and pages of it in which nothing may go wrong unseen."""

import shutil
import sys
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright

sys.path.append(str(Path(__file__).parent.parent))

_MISSING = "chromium is missing; install it: apt-get install chromium"


@pytest.fixture(scope="session")
def browser():
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert program, _MISSING
    expect.set_options(timeout=30_000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser):
    """Opens a page; at the end nothing must have gone wrong in any."""
    contexts, faults = [], []

    def open_page(url, **options):
        context = browser.new_context(**options)
        context.set_default_timeout(30_000)
        contexts.append(context)
        # Texts that would run set this, wherever they run.
        context.add_init_script(
            "window.alert = () => { window.hacked = true; };"
            "addEventListener('securitypolicyviolation',"
            "    (event) => console.error('CSP', event.violatedDirective));"
        )
        page = context.new_page()
        page.on("dialog", lambda dialog: (faults.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("pageerror", lambda error: faults.append(f"error: {error}"))
        page.on(
            "console",
            lambda told: told.type in {"error", "warning"} and faults.append(f"console: {told.text}"),
        )
        page.on(
            "request", lambda request: request.url.startswith((url, "data:")) or faults.append(request.url)
        )
        page.goto(url)
        page.faults = faults
        return page

    yield open_page
    hacked = [page.evaluate("window.hacked === true") for context in contexts for page in context.pages]
    for context in contexts:
        context.close()
    assert not any(hacked)
    assert not faults
