import json

from helpers.study import axes_of, made_epochs, made_run, panel_of

from frostline.report.interactive import charts
from frostline.report.judged import judge
from frostline.report.looks import look_of
from frostline.statistics.pareto import pareto


def test_no_arm_dominates_one_on_the_pareto_edge():
    # Catches dearer arms that are no better, and one of two that cost the same and are worse.
    assert pareto([(3, 0.9), (1, 0.5), (2, 0.5), (1, 0.4), (4, 0.95), (5, 0.95)]) == [1, 0, 4]


def test_a_strangers_name_is_text_and_one_row_in_every_chart():
    # Catches names that plotly reads as HTML, rows that appear twice, and a verdict told from the wrong side.
    values = {"a&b <b>bold</b>": (0.9, 0.92, 0.91), "frozen": (0.7, 0.71, 0.72)}
    runs = [
        made_run(schedule=name, seed=seed, value=v, epochs=made_epochs([v, v]), best_epoch=0)
        for name, seeds in values.items() for seed, v in enumerate(seeds)
    ]  # fmt: skip
    panel = panel_of(*runs)
    made = charts(judge(panel, 0.01, ()), look_of([panel], axes_of(runs)))
    assert [chart["title"] for chart in made] == [
        "Every run",
        "Against a&b <b>bold</b>",
        "Learning curves",
        "What it costs",
    ]
    figures = {chart["title"]: json.loads(chart["figure"]) for chart in made}
    for title in ("Every run", "Against a&b <b>bold</b>"):
        rows = figures[title]["layout"]["yaxis"]["categoryarray"]
        assert {y for trace in figures[title]["data"] for y in trace["y"]} <= set(rows)
        assert "<b>" not in json.dumps(figures[title])
    (worse,) = figures["Against a&b <b>bold</b>"]["data"]
    assert worse["hovertemplate"].endswith(", worse") and worse["x"][0] < 0
