"""The page as a phone shows it, in a real browser."""

import pytest
from helpers.browser import opened
from helpers.lecture import FEW
from markdown_it import MarkdownIt

from frostline.cli import main
from frostline.lecture.order import ORDER

pytestmark = pytest.mark.slow
PHONE = 390
# What GitHub's own sheet says of a page, as far as it decides widths.
SHEET = """
body { font: 16px/1.5 sans-serif; margin: 0; padding: 16px; box-sizing: border-box; overflow-wrap: break-word }
img { max-width: 100%; box-sizing: content-box }
table { display: block; width: max-content; max-width: 100%; overflow: auto; border-collapse: collapse }
td, th { padding: 6px 13px; border: 1px solid #d0d7de }
code { font-size: 85%; white-space: break-spaces; background: #eff1f3; border-radius: 6px; padding: .2em .4em }
pre { overflow: auto; padding: 16px; background: #f6f8fa } pre code { white-space: pre; padding: 0 }
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("looks")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["lecture", *ORDER[:3], *FEW]) == 0
    text = (folder / "runs/lecture/README.md").read_text()
    body = MarkdownIt("commonmark", {"html": True}).enable("table").render(text)
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><style>{SHEET}</style>'
    (folder / "runs/lecture/page.html").write_text(f"<!doctype html>{head}{body}")
    return folder / "runs/lecture/page.html"


def test_it_is_as_wide_as_a_phone_with_its_claims_folded(page):
    with opened(PHONE, here_only=True) as (browser, wrong):
        browser.goto(page.as_uri())
        assert browser.evaluate("document.documentElement.scrollWidth") <= PHONE
        pictures = browser.locator("img")
        assert pictures.count() >= 5
        assert pictures.evaluate_all("all => all.every(one => one.naturalWidth > 0 && one.alt.length > 40)")
        widths = pictures.evaluate_all("all => all.map(one => [one.naturalWidth, one.width])")
        assert all(own <= 1000 and shown > PHONE / 2 for own, shown in widths), "words in it would be too small"
        folded = browser.locator("details")
        assert folded.count() == 3 and not folded.locator("table").first.is_visible()
        browser.locator("summary").first.click()
        assert folded.locator("table").first.is_visible() and folded.locator("td").count() > 60
        assert browser.evaluate("document.documentElement.scrollWidth") <= PHONE
        assert wrong == []
