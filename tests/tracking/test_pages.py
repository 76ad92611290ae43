"""A study as people see it in MLflow: a real server, in a real browser."""

import pytest
from helpers.browser import opened
from helpers.store import begun, serving, tell

from frostline.tracking.base import Cell, ToldArm, ToldStudy
from frostline.tracking.parents import show

# What MLflow 3's own pages do wrong on a server without accounts, whatever stands in the store.
OF_MLFLOW = ("mlflow/users/current", "status of 404", "ResizeObserver loop")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The address of a server with a small study."""
    folder = tmp_path_factory.mktemp("server")
    with serving(folder) as (_, address):
        arms = []
        for schedule, value in (("thaw", 0.9), ("full", 0.8)):
            for seed in (0, 1):
                name = f"{schedule}-{seed}"
                tracker = begun(address, folder / name, "garden", name, schedule=schedule)
                for step in range(3):
                    tell(tracker, {"val_accuracy": value * (step + 1) / 3, "images_seen": 20.0 * step}, step)
                tell(tracker, {"test_accuracy": value + seed / 100}, 3)
                tracker.end("finished")
            cells = [Cell(f"{schedule}-{seed}", "abc", "d" * 64) for seed in (0, 1)]
            metrics = {"test_accuracy": value, "test_accuracy_low": value - 0.1, "test_accuracy_high": value + 0.1}
            arms.append(ToldArm(schedule, cells, metrics, {"val_accuracy": [0.3, value]}, {"schedule": schedule}))
        (folder / "report.md").write_text("# garden\n")
        told = ToldStudy("garden", "**Take** thaw.", {"test_accuracy": 0.9}, arms, [folder / "report.md"])
        yield address, show(address, told)


@pytest.fixture
def page(server):
    """The study's page at the address that `compare` names; fails where something went wrong in it."""
    address, experiment = server
    with opened(1600) as (page, wrong):
        page.goto(f"{address}/#/experiments/{experiment}/runs?workflowType=machine_learning")
        page.locator(".ag-row").first.wait_for()
        yield page
        page.wait_for_timeout(2000)
        assert [what for what in wrong if not any(known in what for known in OF_MLFLOW)] == []


def names(page):
    return [name for name in page.locator(".ag-row a[href*='/runs/']").all_inner_texts() if name]


def test_the_list_shows_the_study_with_its_arms_and_the_seeds_are_folded(page):
    page.get_by_role("link", name="full", exact=True).wait_for()
    assert names(page) == ["garden", "thaw", "full"]
    assert page.get_by_text("Model registry").is_visible() and page.get_by_text("Take thaw.").is_visible()
    page.locator(".ag-row", has_text="thaw").first.locator("button").first.click()
    page.get_by_role("link", name="thaw-0", exact=True).wait_for()
    assert set(names(page)) == {"garden", "thaw", "full", "thaw-0", "thaw-1"}


def test_charts_show_means_of_arms_while_seeds_are_folded(page):
    page.goto(page.url + "&compareRunsMode=CHART")
    page.get_by_text("test/accuracy_low", exact=True).wait_for()
    page.wait_for_timeout(3000)
    assert names(page) == ["garden", "thaw", "full"]
    assert page.locator(".js-plotly-plot .bars path").count() >= 3  # of the study and two arms


def test_arms_can_be_compared(page):
    boxes = page.locator(".ag-row input.ag-checkbox-input")
    page.get_by_role("link", name="full", exact=True).wait_for()
    for place in (1, 2):
        boxes.nth(place).check()
    page.get_by_role("button", name="Compare", exact=True).click()
    page.get_by_text("Comparing 2 Runs").wait_for()
    page.locator(".js-plotly-plot").first.wait_for()
    shown = page.locator("body").inner_text()
    assert all(text in shown for text in ("thaw", "full", "test/accuracy_high", "schedule"))
