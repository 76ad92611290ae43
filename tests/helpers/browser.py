"""A real Chromium without a window, for pages as people see them."""

import shutil
from contextlib import contextmanager

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@contextmanager
def opened(width=1200, height=800, here_only=False):
    """A page, and what goes wrong in it: errors of its console and scripts, requests without an answer or with one
    of 400 and above. here_only: a request beyond files is one of these."""
    sync = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no chromium here: apt-get install chromium")
    with sync.sync_playwright() as playwright:
        # As root, as in a container, its sandbox does not start.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": width, "height": height})
        page.set_default_timeout(90_000)
        wrong = []
        page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("requestfailed", lambda asked: _failed(asked, wrong))
        page.on("response", lambda told: wrong.append(f"{told.status} {told.url}") if told.status >= 400 else None)
        if here_only:
            page.on("request", lambda asked: _beyond(asked.url, wrong))
        try:
            yield page, wrong
        finally:
            browser.close()


def _failed(asked, wrong):
    if asked.failure != "net::ERR_ABORTED":  # the page itself asks no further
        wrong.append(f"{asked.failure} {asked.url}")


def _beyond(url, wrong):
    if not url.startswith(("file:", "data:", "blob:")):
        wrong.append(url)
