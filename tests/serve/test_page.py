"""The page as people see it, in a real browser."""

import pytest
from helpers.browser import opened
from helpers.served import encoded, model_of, noise, served

pytestmark = pytest.mark.slow
# As a drop is: the page gets a transfer of files.
DROP = """([target, files]) => {
  const transfer = new DataTransfer()
  for (const [name, bytes] of files) transfer.items.add(new File([Uint8Array.from(bytes)], name))
  target.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }))
}"""
NAME = "<img src=x onerror=alert(1)>.png"


@pytest.fixture(scope="module", params=["classification", "localization", "detection", "segmentation"])
def task(request):
    with served(model_of(request.param)) as port:
        yield request.param, f"http://127.0.0.1:{port}/"


def drop(page, *pictures):
    page.locator("#drop").evaluate_handle("one => one").evaluate(
        DROP.replace("([target, files])", "(target, files)"), [[name, list(held)] for name, held in pictures]
    )
    page.locator("article:not(.waiting)").nth(len(pictures) - 1).wait_for()


@pytest.mark.parametrize("width", [390, 1200])
def test_a_picture_is_dropped_and_answered(task, width):
    kind, url = task
    with opened(width) as (page, wrong):
        page.goto(url)
        drop(page, (NAME, encoded(noise(1, 90, 50))), ("b.jpg", encoded(noise(2), "JPEG")))
        assert page.locator("#said").inner_text() == "2 pictures answered"
        first = page.locator("article").first
        assert first.locator("h2").inner_text() == NAME  # as text: names and classes are a stranger's
        assert first.locator("img").evaluate("one => one.naturalWidth") == 90
        if kind in ("classification", "localization"):
            assert first.locator("table tr").count() == (3 if kind == "classification" else 5)
            shares = first.locator("td:last-child").all_inner_texts()
            assert sum(float(share.rstrip(" %")) for share in shares) == pytest.approx(100, abs=1)
        if kind == "classification":
            assert "<b>rose</b>" in page.locator("article").first.inner_text()
        if kind == "localization":
            assert first.locator(".boxes div").is_visible()
        if kind == "segmentation":
            painted = "one => one.getContext('2d').getImageData(0, 0, 90, 50).data.some(value => value)"
            assert first.locator("canvas").evaluate(painted)
            while (checked := first.locator("input:checked")).count():
                checked.first.uncheck()
            assert not first.locator("canvas").evaluate(painted)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert wrong == []


def chooser_by_space(page):
    """The dialog that Space opens. Chromium lets a page open it for five seconds after a key goes down: on a busy
    machine the key may come up later than that, and a person presses again."""
    from playwright.sync_api import TimeoutError

    try:
        with page.expect_file_chooser(timeout=20_000) as chooser:
            page.keyboard.press("Space")
    except TimeoutError:
        with page.expect_file_chooser() as chooser:
            page.keyboard.press("Space")
    return chooser.value


def test_by_keyboard_alone(task):
    """Catches what only a mouse reaches: choosing, the slider, taking away."""
    kind, url = task
    with opened() as (page, wrong):
        page.goto(url)
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        assert page.locator("header li").first.is_visible()  # the classes
        page.keyboard.press("Tab")
        page.locator("#files:focus").wait_for(state="attached")
        file = {"name": "a.png", "mimeType": "image/png", "buffer": encoded(noise(1))}
        chooser_by_space(page).set_files(file)
        page.locator("article:not(.waiting)").wait_for()
        if kind == "detection":
            page.keyboard.press("Tab")
            page.keyboard.press("Home")
            all_boxes = page.locator(".boxes div").count()
            page.keyboard.press("End")
            assert all_boxes > 0 and page.locator(".boxes div").count() == 0
            assert page.locator("#value").inner_text() == "1.00"
        page.locator(".away").focus()
        page.keyboard.press("Enter")
        assert page.locator("article").count() == 0 and wrong == []


def test_what_is_no_picture_is_told_and_the_rest_answered(task):
    with opened() as (page, wrong):
        page.goto(task[1])
        drop(page, ("a.jpg", b"text"), ("b.png", encoded(noise(2))))
        assert page.locator("#said").inner_text() == "1 picture answered, 1 refused"
        assert "The body is no picture" in page.locator("article.wrong .state").inner_text()
        assert len([one for one in wrong if "415" not in one]) == 0
