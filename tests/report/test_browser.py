"""report.html as people see it, in a real browser."""

import pytest
from helpers.browser import opened
from helpers.study import made_run, write_study

from frostline.report import pictures
from frostline.report.compare import compare

pytestmark = pytest.mark.slow
GRID = {"task": ["classification", "detection"], "schedule": ["thaw", "frozen", "full"], "seed": [0, 1, 2]}


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    means = {"thaw": 0.9, "frozen": 0.6, "full": 0.7}
    runs = [
        made_run(task, schedule, seed, mean + seed / 100)
        for task in GRID["task"]
        for schedule, mean in means.items()
        for seed in GRID["seed"]
    ]
    study = write_study(folder, GRID, runs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pictures, "DPI", 30)
        compare(study, folder / "runs/s")
    return study / "report.html"


@pytest.mark.parametrize("width", [390, 1200])
def test_it_is_whole_in_itself_and_as_wide_as_the_screen(report, width):
    with opened(width, here_only=True) as (page, wrong):
        page.goto(report.as_uri())
        charts = page.locator("[data-chart]")
        for place in range(charts.count()):
            assert charts.nth(place).locator(".main-svg").first.is_visible()
        assert charts.count() >= 4
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.locator("img").evaluate_all("all => all.every(one => one.naturalWidth > 0)")
        assert wrong == []


def test_a_click_on_a_head_sorts_by_it_as_numbers(report):
    with opened(here_only=True) as (page, wrong):
        page.goto(report.as_uri())
        table = page.locator("table:has(th:text-is('accuracy'))").first
        place = table.locator("th").all_inner_texts().index("accuracy")

        def column():
            cells = [row.split("\t") for row in table.locator("tbody").inner_text().splitlines()]
            return [float(row[place].split()[0]) for row in cells]

        table.locator("th").nth(place).click()
        assert column() == sorted(column(), reverse=True) and len(set(column())) == 3
        table.locator("th").nth(place).click()
        assert column() == sorted(column()) and wrong == []
