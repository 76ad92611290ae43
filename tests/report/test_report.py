"""What a comparison says must be what the runs measured: no run lost, invented, or left out in silence."""

import itertools
import json
import math
import re
import shutil
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from PIL import Image

from frostline.checking.prepare import prepare
from frostline.errors import FrostlineError
from frostline.report import plots
from frostline.report.arms import arms, best_within, count, curve, mean_sd, number, ranked, verdict
from frostline.report.compare import compare
from frostline.report.page import render_table
from frostline.report.plots import MAX_MONTAGE_BYTES, MAX_SHEET_BYTES, STYLE, colours_of, learning_curves, look_of
from frostline.report.results import read_results
from frostline.scenes.scene import Classes, Scene
from frostline.sources.base import Source

PRIMARY = {"classification": "accuracy", "detection": "map"}
HEADS = {"classification": "linear", "detection": "retinanet"}
# mean and sample standard deviation of thaw by hand: 0.92; deviations -0.02, 0, 0.02, so sqrt(0.0008 / 2) = 0.02
VALUES = {
    "classification": {"frozen": (0.70, 0.71, 0.72), "thaw": (0.90, 0.92, 0.94)},
    "detection": {"frozen": (0.30, 0.31, 0.35), "thaw": (0.32, 0.33, 0.34)},
}


def add_run(root: Path, task: str, schedule: str, seed: int, value: float | None, **changes: Any) -> Path:
    """Plans one run and gives it a result; returns the folder of the result."""
    backbone = changes.get("backbone", "net")
    run = f"{task}-{backbone}-{schedule}-{seed}"
    plan, folder = root / "runs/s/plan", root / "runs/s/results" / run
    plan.mkdir(parents=True, exist_ok=True)
    (plan / f"{run}.yaml").write_text("task: x\n")
    folder.mkdir(parents=True)
    primary = PRIMARY[task]
    metrics: dict[str, Any] = {primary: value, "loss": 0.25}
    if task == "detection":
        metrics["map_50"] = 0.5
    result = {
        "study": "s",
        "run": run,
        "task": task,
        "dataset": "meadow",
        "backbone": backbone,
        "head": HEADS[task],
        "schedule": schedule,
        "seed": seed,
        "metrics": metrics,
        "primary": primary,
        "epochs": 2,
        "best_epoch": 1,
        "images_seen": 200,
        "train_seconds": 10 + seed / 3,
        "images_per_second": 20.5,
        "predict_ms": 12.5,
        "params_total": 3_400_000,
        "params_trainable_last": 5124,
        "commit": "abc1234",
        "dirty": False,
        "data_hash": "d41d8",
        "machine": "2-core CPU",
        "command": "frostline train",
        "versions": {"torch": "2.15.0"},
        "image_size": 96,
        "finished": "2026-11-24T02:00:00Z",
    } | changes
    (folder / "result.json").write_text(json.dumps(result))
    seconds = result["train_seconds"]
    write_epochs(folder, [value, value], [seconds / 2, seconds], depths=[5, 0])
    return folder


def write_epochs(folder: Path, values: list[float | None], seconds: list[float], depths: list[int]) -> None:
    """The journal of a run with 100 images an epoch and six groups of the same size."""
    primary = json.loads((folder / "result.json").read_text())["primary"]
    with (folder / "epochs.jsonl").open("w") as file:
        for epoch, (value, trained, depth) in enumerate(zip(values, seconds, depths, strict=True)):
            facts = {"epoch": epoch, "images_seen": 100.0 * (epoch + 1), "train_seconds": trained}
            facts |= {"frost_depth": float(depth), "trainable_share": 1 - depth / 6}
            file.write(json.dumps(facts | {f"val_{primary}": value}) + "\n")


def write_study(root: Path, grid: dict[str, list[Any]]) -> Path:
    study = root / "experiments/s"
    study.mkdir(parents=True)
    asked = {"question": "Does thawing help?", "expected": "It does.", "grid": grid}
    (study / "study.yaml").write_text(yaml.safe_dump(asked))
    return study


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_study(
        tmp_path, {"task": list(VALUES), "backbone": ["net"], "schedule": ["thaw", "frozen"], "seed": [0, 1, 2]}
    )
    for task, schedules in VALUES.items():
        for schedule, values in schedules.items():
            for seed, value in enumerate(values):
                add_run(tmp_path, task, schedule, seed, value)
    return tmp_path


@pytest.fixture
def pictures() -> None:
    """For tests that need pictures as users get them: drawing takes a second."""


@pytest.fixture
def small_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests to which it matters that pictures are drawn, not how large."""
    monkeypatch.setattr("frostline.report.plots.DPI", 40)


@pytest.fixture(autouse=True)
def no_pictures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if not {"pictures", "small_pictures"} & set(request.fixturenames):
        monkeypatch.setattr("frostline.report.compare.draw", lambda results: {})


def run(root: Path) -> pd.DataFrame:
    return compare(root / "experiments/s", root / "runs/s")


def report(root: Path) -> str:
    return (root / "experiments/s/report.md").read_text(encoding="utf-8")


def test_arms_have_the_mean_and_sample_sd_computed_by_hand(root: Path) -> None:
    found = arms(run(root))
    assert list(found) == [("meadow", "classification"), ("meadow", "detection")]
    thaw, frozen = found["meadow", "classification"]
    assert (thaw.schedule, frozen.schedule) == ("thaw", "frozen"), "the order of the study's grid"
    assert thaw.values == (0.90, 0.92, 0.94)
    assert (thaw.mean, thaw.sd) == pytest.approx((0.92, 0.02))
    assert (frozen.mean, frozen.sd) == pytest.approx((0.71, 0.01))
    assert thaw.seconds == pytest.approx((10 + 10.3333333 + 10.6666667) / 3)
    assert "| net | linear | **thaw** | 3 | **0.9200 ± 0.0200** | 10.33 |" in report(root)
    assert "| net | linear | frozen | 3 | 0.7100 ± 0.0100 | " in report(root)
    assert "| backbone | head | schedule | loss |" in report(root)
    assert "| net | linear | thaw | 0.2500 |" in report(root)
    assert "`accuracy`: share of the scenes whose class is right." in report(root)


def test_the_verdict_says_when_two_arms_cannot_be_told_apart(root: Path) -> None:
    found = arms(run(root))
    assert verdict(ranked(found["meadow", "classification"])) == "apart"
    assert verdict(ranked(found["meadow", "detection"])) == "overlap"
    findings = {line.split("**")[1]: line for line in report(root).splitlines() if line.startswith("- **")}
    assert "do not overlap" in findings["classification on meadow"]
    assert "cannot tell the two apart" in findings["detection on meadow"]


def test_intervals_may_meet_where_ranges_do_not(tmp_path: Path) -> None:
    write_study(tmp_path, {"schedule": ["a", "b"]})
    # Ranges 0.50–0.60 and 0.61–0.70; means 0.55 and 0.655, standard deviations 0.0707 and 0.0636: they meet.
    for schedule, values in {"a": (0.50, 0.60), "b": (0.61, 0.70)}.items():
        for seed, value in enumerate(values):
            add_run(tmp_path, "classification", schedule, seed, value)
    group = arms(run(tmp_path))["meadow", "classification"]
    assert verdict(ranked(group)) == "overlap"


def test_the_csv_holds_one_full_row_a_run_and_reads_back_equal(root: Path) -> None:
    frame = run(root)
    file = root / "experiments/s/results.csv"
    again = pd.read_csv(file)
    pd.testing.assert_frame_equal(again, frame, rtol=1e-15, atol=0, check_dtype=False)
    keys = ["study", "task", "dataset", "backbone", "head", "schedule", "seed", "primary"]
    metrics = ["test_accuracy", "test_loss", "test_map", "test_map_50"]
    facts = [
        "epochs",
        "images_seen",
        "train_seconds",
        "images_per_second",
        "predict_ms",
        "params_total",
        "params_trainable_last",
    ]
    assert list(frame.columns) == [*keys, *metrics, *facts, "commit", "data_hash", "machine"]
    assert len(frame) == 12
    first = file.read_text().splitlines()[1]
    assert first.startswith(
        "s,classification,meadow,net,linear,thaw,0,accuracy,0.9,0.25,,,2,200,10.0,20.5,12.5,3400000,5124,"
    )


def test_a_planned_run_without_result_is_named_and_the_rest_is_written(root: Path) -> None:
    shutil.rmtree(root / "runs/s/results/classification-net-thaw-1")
    shown: list[str] = []
    with pytest.raises(FrostlineError, match=r"1 of 12 planned runs.*classification-net-thaw-1;"):
        compare(root / "experiments/s", root / "runs/s", show=shown.append)
    text = report(root)
    assert "**missing**: `classification-net-thaw-1`" in text
    assert "provisional" in text
    assert "| **thaw** | 2 of 3 |" in text
    assert len(pd.read_csv(root / "experiments/s/results.csv")) == 11
    assert "thaw" in shown[0]


def test_a_result_that_is_no_longer_planned_is_ignored(root: Path) -> None:
    add_run(root, "classification", "stale", 0, 0.999)
    (root / "runs/s/plan/classification-net-stale-0.yaml").unlink()
    assert "stale" not in set(run(root)["schedule"])
    assert "stale" not in report(root)


def test_the_report_names_every_arm_its_source_and_its_pictures(root: Path, pictures: None) -> None:
    frame = run(root)
    text = report(root)
    for (_, task), group in arms(frame).items():
        lines = text.split(f"### {task} on")[1].split("###")[0].splitlines()
        for arm in group:
            assert any(f"| {arm.backbone} | {arm.head} |" in line and arm.schedule in line for line in lines)
    for told in (
        "Does thawing help?",
        "**Expected beforehand.** It does.",
        "abc1234",
        "d41d8",
        "2-core CPU",
        "torch 2.15.0",
        "96 px",
        "2026-11-24T02:00:00Z",
    ):
        assert told in text
    assert "`dvc repro experiments/s/dvc.yaml`" in text
    for picture in ("comparison", "curves", "cost"):
        file = root / f"experiments/s/plots/{picture}.png"
        assert f"(plots/{picture}.png)" in text
        assert file.stat().st_size < 150_000
        Image.open(file).verify()
    assert "predictions.png" not in text
    assert "speed.png" not in text  # all arms of a task are the same model


def test_a_second_comparison_writes_the_same_bytes_and_leaves_nothing_beside(root: Path, small_pictures: None) -> None:
    def content() -> dict[str, bytes]:
        return {str(p.relative_to(root)): p.read_bytes() for p in (root / "experiments").rglob("*") if p.is_file()}

    run(root)
    first = content()
    assert {Path(name).name for name in first} == {
        *("study.yaml", "results.csv", "report.md", "comparison.png", "curves.png", "cost.png")
    }
    run(root)
    assert content() == first


def test_a_metric_that_is_not_a_number_is_told_and_not_ranked(root: Path, small_pictures: None) -> None:
    shutil.rmtree(root / "runs/s/results/classification-net-thaw-2")
    add_run(root, "classification", "thaw", 2, math.nan)
    frame = run(root)
    group = arms(frame)["meadow", "classification"]
    assert [arm.schedule for arm in ranked(group)] == ["frozen"]
    assert mean_sd(group[0]) == "NaN in 1 of 3 seeds"
    text = report(root)
    assert "**not a finite number**: accuracy of `classification-net-thaw-2`" in text
    assert "are not ranked in classification on meadow." in text
    assert "not ranked, because a seed has no finite result: `net / linear / thaw`" in text
    row = (root / "experiments/s/results.csv").read_text().splitlines()[3]
    assert row.startswith("s,classification,meadow,net,linear,thaw,2,accuracy,nan,0.25,,,"), (
        "nan measured, blank absent"
    )
    assert "NaN in 1 of 3 seeds" in render_table(frame)


def test_one_seed_of_one_schedule_has_no_spread(tmp_path: Path, small_pictures: None) -> None:
    write_study(tmp_path, {"schedule": ["thaw"]})
    add_run(tmp_path, "classification", "thaw", 0, 0.9)
    frame = run(tmp_path)
    assert "0.9000 ± —" in render_table(frame)
    assert "no second arm to compare with" in report(tmp_path)
    (tmp_path / "runs/s/results/classification-net-thaw-0/epochs.jsonl").unlink()
    add_run(tmp_path, "classification", "frozen", 0, 0.1)
    run(tmp_path)
    assert "`classification-net-thaw-0` has no epochs.jsonl" in report(tmp_path)
    assert "nothing is known of the spread" in report(tmp_path)


def test_backbones_are_arms_of_their_own_and_come_in_the_order_of_the_grid(
    tmp_path: Path, small_pictures: None
) -> None:
    write_study(tmp_path, {"backbone": ["wide", "narrow"], "schedule": ["thaw", "frozen"]})
    for backbone, value in {"narrow": 0.5, "wide": 0.6}.items():
        for schedule in ("frozen", "thaw"):
            add_run(tmp_path, "classification", schedule, 0, value, backbone=backbone)
    frame = run(tmp_path)
    order = [("wide", "thaw"), ("wide", "frozen"), ("narrow", "thaw"), ("narrow", "frozen")]
    assert list(zip(frame["backbone"], frame["schedule"], strict=True)) == order
    (group,) = arms(frame).values()
    assert [arm.mean for arm in group] == [0.6, 0.6, 0.5, 0.5]
    # Models of different speed: what they are worth against what they cost.
    assert "(plots/speed.png)" in report(tmp_path) and "| ms to predict |" in report(tmp_path)
    assert (tmp_path / "experiments/s/plots/speed.png").is_file()


def test_the_table_marks_the_highest_mean_of_each_task(root: Path) -> None:
    lines = render_table(run(root)).splitlines()
    assert [line.split()[3] for line in lines if line.strip().startswith("*")] == ["thaw", "thaw"]
    assert "detection on meadow" in lines
    assert any("0.9200 ± 0.0200" in line and "5.124 k / 3.4 M" in line for line in lines)


def test_predictions_of_the_best_arm_are_shown_small_and_go_when_they_are_gone(
    root: Path, small_pictures: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("frostline.report.plots._png", lambda figure: b"not under test")
    best, other = (root / f"runs/s/results/classification-net-{s}-0/predictions.png" for s in ("thaw", "frozen"))
    Image.effect_noise((800, 600), 90).save(best)
    Image.new("RGB", (800, 600), "red").save(other)
    run(root)
    montage = root / "experiments/s/plots/predictions.png"
    assert montage.stat().st_size <= MAX_MONTAGE_BYTES
    colours = Image.open(BytesIO(montage.read_bytes())).convert("RGB").getcolors(1 << 24) or []
    assert (255, 0, 0) not in {colour for _, colour in colours}
    assert "plots/predictions.png" in report(root)
    best.unlink()
    other.unlink()
    run(root)
    assert not montage.exists()
    assert "plots/predictions.png" not in report(root)


def test_the_best_runs_sheets_are_linked_small_and_go_when_they_are_gone(
    root: Path, small_pictures: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Catches sheets of another arm, links without a file, files of an earlier state, and the bytes of a run's own.
    monkeypatch.setattr("frostline.report.plots._png", lambda figure: b"not under test")
    results = root / "runs/s/results"
    for kind in ("errors", "confusion"):
        Image.effect_noise((900, 700), 90).save(results / f"classification-net-thaw-1/{kind}.png")
        Image.new("RGB", (90, 70), "red").save(results / f"classification-net-frozen-0/{kind}.png")
    Image.new("RGB", (90, 70), "blue").save(results / "detection-net-thaw-0/precision_recall.png")
    run(root)
    plots = root / "experiments/s/plots"
    names = {file.name for file in plots.glob("*-*.png")}
    assert names == {
        "errors-classification-meadow.png",
        "confusion-classification-meadow.png",
        "precision_recall-detection-meadow.png",
    }
    linked = re.findall(r"\]\(plots/([^)]*)\)", report(root))
    assert names <= set(linked) and all((plots / name).is_file() for name in linked)
    for name in names:
        assert (plots / name).stat().st_size <= MAX_SHEET_BYTES
        colours = Image.open(plots / name).convert("RGB").getcolors(1 << 24) or []
        assert (255, 0, 0) not in {colour for _, colour in colours}
    for kind in ("errors", "confusion"):
        (results / f"classification-net-thaw-1/{kind}.png").unlink()
    run(root)
    assert {file.name for file in plots.glob("*-*.png")} == {"precision_recall-detection-meadow.png"}
    assert "errors-classification" not in report(root)


def test_a_small_key_keeps_its_colour_beside_large_photographs() -> None:
    # Catches a palette of the commonest colours, which are the photographs' own.
    picture = np.random.default_rng(0).integers(0, 256, (300, 600, 3)).astype(np.uint8) // [2, 1, 2]
    picture[280:] = 255
    picture[284:292, 20:44] = (148, 103, 189)
    few = plots._in_few_colours(Image.fromarray(picture.astype(np.uint8)))
    assert few.mode == "P"
    assert np.abs(np.asarray(few.convert("RGB")).astype(int)[288, 30] - (148, 103, 189)).max() <= 8


def test_values_by_class_are_the_best_arms_means_and_a_dash_where_nothing_was_to_be_found(root: Path) -> None:
    # Catches values of another arm, of one seed, and a -1 that reads as the worst of values; or is averaged into one.
    def add(run_name: str, by_class: dict[str, dict[str, float]], **metrics: float) -> None:
        file = root / f"runs/s/results/{run_name}/result.json"
        record = json.loads(file.read_text())
        file.write_text(json.dumps(record | {"by_class": by_class, "metrics": record["metrics"] | metrics}))

    assert "By class" not in report_of(root), "results of an earlier state tell none"
    for seed, value in enumerate((0.25, 0.5, 0.75)):
        add(f"detection-net-thaw-{seed}", {"map": {"a": value, "b|c": -1.0}}, map_large=-1.0)
        add(f"detection-net-frozen-{seed}", {"map": {"a": 0.125, "b|c": 0.0}}, map_large=-1.0)
    text = report_of(root)
    table = text.split("#### By class: net / retinanet / thaw\n\n")[1].split("\n\n")[0].splitlines()
    assert table == ["| class | map |", "| --- | ---: |", "| a | 0.5000 |", "| b\\|c | — |"]
    assert text.count("#### By class") == 2
    table = text.split("#### By class: map of every arm\n\n")[1].split("\n\n")[0].splitlines()
    assert table[0] == "| backbone | head | schedule | a | b\\|c |"
    assert table[2:] == ["| net | retinanet | thaw | 0.5000 | — |", "| net | retinanet | frozen | 0.1250 | 0.0000 |"]
    rows = [line for line in text.splitlines() if line.startswith("| net | retinanet | thaw | 0.2500 |")]
    assert len(rows) == 1 and "| — |" in rows[0] and "-1" not in rows[0]
    many = {"map": {str(n): 0.5 for n in range(21)}}
    for seed in range(3):
        add(f"detection-net-thaw-{seed}", many)
    assert "By class" not in report_of(root)


def report_of(root: Path) -> str:
    run(root)
    return report(root)


def test_runs_of_different_code_or_data_are_not_compared_in_silence(root: Path) -> None:
    shutil.rmtree(root / "runs/s/results/detection-net-thaw-0")
    add_run(root, "detection", "thaw", 0, 0.32, commit="def5678", dirty=True, data_hash="ffff")
    run(root)
    text = report(root)
    assert "`abc1234`, `def5678` with uncommitted changes" in text
    assert "different commits" in text
    assert "different versions of dataset meadow" in text


def test_a_study_without_plan_results_or_sound_results_says_so(root: Path) -> None:
    study, runs = root / "experiments/s", root / "runs/s"
    broken = runs / "results/detection-net-thaw-0/result.json"
    broken.write_text("{")
    with pytest.raises(FrostlineError, match=r"detection-net-thaw-0/result\.json is not valid JSON"):
        compare(study, runs)
    broken.write_text('{"run": "detection-net-thaw-0"}')
    with pytest.raises(FrostlineError, match="lacks study, task"):
        compare(study, runs)
    shutil.rmtree(runs / "results")
    with pytest.raises(FrostlineError, match="No planned run of study s has a result"):
        compare(study, runs)
    shutil.rmtree(runs / "plan")
    with pytest.raises(FrostlineError, match="There is no plan"):
        compare(study, runs)
    with pytest.raises(FrostlineError, match=r"other/study\.yaml cannot be read"):
        compare(root / "experiments/other", runs)
    assert not (study / "results.csv").exists()


def test_a_curve_is_the_mean_over_the_epochs_that_every_seed_reached(root: Path) -> None:
    short = root / "runs/s/results/classification-net-thaw-2/epochs.jsonl"
    short.write_text(short.read_text().splitlines()[0] + "\n")
    results = read_results(root / "experiments/s", root / "runs/s")
    thaw, frozen = (curve(results.curves, arm) for arm in arms(results.frame)["meadow", "classification"])
    assert list(thaw["mean"]) == pytest.approx([0.92])
    assert list(frozen["mean"]) == pytest.approx([0.71, 0.71])
    assert (list(frozen["images"]), list(frozen["depth"])) == ([100, 200], [5, 0])
    assert list(frozen["seconds"]) == pytest.approx([(5 + 31 / 6 + 32 / 6) / 3, (10 + 31 / 3 + 32 / 3) / 3])
    short.write_text("{}\n")
    with pytest.raises(FrostlineError, match=r"Line 1 of .*thaw-2/epochs\.jsonl is not an epoch"):
        run(root)


def figure_of(root: Path, schedules: list[str]) -> Figure:
    results = read_results(root / "experiments/s", root / "runs/s")
    with rc_context(STYLE):
        groups = arms(results.frame)
        figure = learning_curves(groups, results.curves, look_of(groups, schedules))
    assert figure is not None
    return figure


def bars(strip: Axes) -> list[tuple[float, ...]]:
    """Left end, width and height of each bar."""
    found = [bar for bar in strip.patches if isinstance(bar, Rectangle)]
    return [(bar.get_x(), bar.get_width(), bar.get_height()) for bar in found]


def test_curves_are_drawn_against_images_and_seconds_with_their_phases(tmp_path: Path) -> None:
    write_study(tmp_path, {"schedule": ["thaw", "full"], "seed": [0, 1]})
    for seed, seconds in enumerate(([2.0, 4.0, 10.0], [4.0, 8.0, 14.0])):
        folder = add_run(tmp_path, "classification", "thaw", seed, 0.6)
        write_epochs(folder, [0.2, 0.4 + 0.2 * seed, 0.6], seconds, [3, 3, 0])
    write_epochs(add_run(tmp_path, "classification", "full", 0, 0.9), [0.1, 0.3, 0.9], [7.0, 14.0, 21.0], [0, 0, 0])
    by_images, by_seconds, below_images, below_seconds = figure_of(tmp_path, ["thaw", "full"]).axes
    for axes, xs in ((by_images, [100, 200, 300] * 2), (by_seconds, [3, 6, 12, 7, 14, 21])):
        lines = [line for line in axes.lines if line.get_linestyle() == "-"]
        assert np.concatenate([line.get_xdata() for line in lines]).tolist() == pytest.approx(xs)
        assert np.concatenate([line.get_ydata() for line in lines]) == pytest.approx([0.2, 0.5, 0.6, 0.1, 0.3, 0.9])
    # thaw's phase ends with its second epoch; full has but one phase
    for axes, x in ((by_images, 200), (by_seconds, 6)):
        ticks = [line.get_xydata() for line in axes.lines if line.get_marker() == "|"]
        assert np.concatenate(ticks) == pytest.approx(np.array([[x, 0.5]]))
    assert bars(below_images) == [(0, 200, 0.74)] and bars(below_seconds) == [(0, 6, 0.74)]
    assert [text.get_text() for text in below_images.texts] == ["3"]
    (shade,) = (patch for patch in by_seconds.patches if isinstance(patch, Rectangle))
    assert (shade.get_x(), shade.get_width()) == (0, 12), "the time that the faster arm needed in total"
    assert by_images.get_ylim() == by_seconds.get_ylim()


def test_where_nothing_was_ever_frozen_no_strip_shows_what_was(tmp_path: Path) -> None:
    # Catches a block of thin lines, one an arm, under "bar below: frozen".
    write_study(tmp_path, {"head": [f"h{i}" for i in range(8)], "schedule": ["full"]})
    for i in range(8):
        folder = add_run(tmp_path, "detection", "full", i, 0.5 + i / 100, head=f"h{i}")
        write_epochs(folder, [0.5, 0.5], [2.0 + i, 4.0 + i], [0, 0])
    figure = figure_of(tmp_path, ["full"])
    assert [axes.get_xlabel() for axes in figure.axes] == ["training images seen", "seconds of training"]
    assert all(label.get_visible() for axes in figure.axes for label in axes.get_xticklabels())
    (how,) = (text.get_text() for text in figure.texts if text.get_text().startswith("line:"))
    assert "bar below" not in how and how.endswith("nothing was frozen")


def test_means_are_marked_where_an_arm_has_several_seeds(root: Path) -> None:
    # Catches a pale mark behind the only seed, which says nothing and hides what lies under it.
    for task, seeds in {"detection": 1, "classification": 3}.items():
        for seed in range(seeds):
            add_run(root, task, "full", seed, 0.5 + seed / 10)
    results = read_results(root / "experiments/s", root / "runs/s")
    for task, marks in {"detection": 1, "classification": 2}.items():
        full = [arm for arm in arms(results.frame)["meadow", task] if arm.schedule == "full"]
        groups = {("meadow", task): full}
        figure = plots.cost(results.frame, groups, look_of(groups, ["full"]))
        assert sum(isinstance(found, PathCollection) for found in figure.axes[0].collections) == marks
        assert any("a large pale one" in text.get_text() for text in figure.texts) == (marks == 2)


def test_backbones_share_the_row_of_a_schedule_each_with_its_own_time(tmp_path: Path) -> None:
    write_study(tmp_path, {"backbone": ["quick", "slow"], "schedule": ["thaw"]})
    for backbone, factor in {"quick": 1.0, "slow": 3.0}.items():
        folder = add_run(tmp_path, "classification", "thaw", 0, 0.5, backbone=backbone)
        write_epochs(folder, [0.5, 0.5], [2 * factor, 4 * factor], [5, 0])
    _, _, below_images, below_seconds = figure_of(tmp_path, ["thaw"]).axes
    assert bars(below_images) == [(0, 100, 0.74)]
    assert bars(below_seconds) == [pytest.approx((0, 2, 0.37)), pytest.approx((0, 6, 0.37))]


def test_no_text_of_the_curves_lies_over_another_with_ten_schedules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedules = [f"schedule_{i}" for i in range(10)]
    write_study(tmp_path, {"task": list(VALUES), "schedule": schedules})
    for task in VALUES:
        for i, schedule in enumerate(schedules):
            # bars of one epoch in the last but one; in the last, bars that are short because it is the fastest by far
            depths = [max(0, 6 - epoch // (3 if i == 9 else 9 - i)) for epoch in range(40)]
            folder = add_run(tmp_path, task, schedule, 0, 0.5)
            write_epochs(folder, [0.5] * 40, [(1 if i == 9 else 20 - i) * (epoch + 1.0) for epoch in range(40)], depths)
    figure = figure_of(tmp_path, schedules)
    drawn: dict[Text, Bbox] = {}
    draw = Text.draw

    def note(self: Text, renderer: Any, *args: Any, **kwargs: Any) -> None:
        if self.get_text() and self.get_visible():
            drawn[self] = self.get_window_extent(renderer)
        draw(self, renderer, *args, **kwargs)

    monkeypatch.setattr(Text, "draw", note)
    FigureCanvasAgg(figure).draw()
    boxes = [(text.get_text(), box) for text, box in drawn.items()]
    assert {"Classification", "map", "schedule_9", "seconds of training", "6"} <= {text for text, _ in boxes}
    page = figure.bbox
    outside = [a for a, box in boxes if not (page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0)]
    assert outside == []
    over = [(a, b) for (a, one), (b, two) in itertools.combinations(boxes, 2) if one.overlaps(two)]
    assert over == []


def test_the_best_at_equal_budgets_is_read_off_the_curves(tmp_path: Path) -> None:
    write_study(tmp_path, {"schedule": ["frozen", "full"], "seed": [0, 1]})
    # frozen: best so far 0.5 0.5 0.6 0.7 and 0.3 0.5 0.5 0.5, at 1.5, 3, 4.5 and 6 seconds
    seeds: list[tuple[list[float | None], list[float]]] = [
        ([0.5, 0.4, 0.6, 0.7], [1, 2, 3, 4]),
        ([0.3, 0.5, None, 0.2], [2, 4, 6, 8]),
    ]
    for seed, (values, seconds) in enumerate(seeds):
        write_epochs(add_run(tmp_path, "classification", "frozen", seed, 0.7), values, seconds, [6] * 4)
    write_epochs(add_run(tmp_path, "classification", "full", 0, 0.9), [0.1, 0.9, 0.8, 0.2], [7, 14, 21, 28], [0] * 4)
    run(tmp_path)
    table = report(tmp_path).split("#### At equal budgets\n\n")[1].split("\n\n")[0].splitlines()
    assert table[0] == (
        "| backbone | head | schedule | 25% (100 images) | 50% (200 images) | 100% (400 images) | 6.0 s |"
    )
    assert table[2:] == [
        "| net | linear | frozen | **0.4000** | 0.5000 | 0.6000 | **0.6000** |",
        "| net | linear | full | 0.1000 | **0.9000** | **0.9000** | — |",
    ]
    results = read_results(tmp_path / "experiments/s", tmp_path / "runs/s")
    frozen = curve(results.curves, arms(results.frame)["meadow", "classification"][0])
    assert best_within(frozen, "images", 99) is None and best_within(frozen, "images", 399) == pytest.approx(0.55)


def test_scenes_left_out_and_derived_annotations_are_told(root: Path) -> None:
    class Drawn(Source):
        classes = Classes(labels=("a", "b"), boxes=("a", "b"))
        derived = {"boxes": "drawn around the\nmasks"}

        def scenes(self) -> Iterator[Scene]:
            rng = np.random.default_rng(0)
            for i in range(30):
                yield Scene(f"{i}", rng.integers(0, 255, (8, 8, 3), np.uint8), label=i % 2)

    run(root)
    text = report(root)
    assert "left out" not in text and "derived" not in text.split("## Notes")[0]
    assert "Dataset meadow is not prepared here, so which annotations are derived is not told." in text
    prepare(Drawn(), root / "runs/s/data/meadow", name="meadow")
    for file in root.glob("runs/s/results/detection-*/result.json"):
        record = json.loads(file.read_text())
        record["scenes"] = {"train": 150, "val": 40, "test": 38}
        record["scenes_left_out"] = {"train": 7, "val": 0, "test": 2}
        file.write_text(json.dumps(record))
    run(root)
    source, rest = report(root).split("## Results")
    assert "| detection on meadow | 150 (7 left out) | all | 38 (2 left out) |" in source
    assert source.count("left out)") == 2, "one row for the six runs of detection, none for classification"
    assert "- **derived boxes** in meadow: drawn around the masks." in source
    assert "Every planned run has a result." in rest


def test_runs_that_differ_in_what_no_column_shows_are_not_mixed_into_one_arm(root: Path) -> None:
    add_run(root, "classification", "fast", 0, 0.5)
    file = root / "runs/s/results/classification-net-fast-0/result.json"
    file.write_text(file.read_text().replace('"schedule": "fast"', '"schedule": "thaw"'))
    with pytest.raises(FrostlineError, match=r"classification-net-fast-0 and classification-net-thaw-0 .* the same"):
        run(root)


def test_of_one_schedule_each_of_eight_heads_has_a_look_of_its_own(root: Path) -> None:
    # Catches marks that start anew after the seventh, and one colour for all.
    for i in range(8):
        add_run(root, "detection", "full", i, 0.5 + i / 100, head=f"head{i}")
    results = read_results(root / "experiments/s", root / "runs/s")
    full = [arm for arm in arms(results.frame)["meadow", "detection"] if arm.schedule == "full"]
    groups = {("meadow", "detection"): full}
    look = look_of(groups, ["full"])
    assert look.by_kind and look.kinds == [f"head{i}" for i in range(8)]
    with rc_context(STYLE):
        figure = plots.speed(results.frame, groups, look)
    looks = {
        (tuple(marks.get_facecolor()[0][:3]), marks.get_paths()[0].vertices.tobytes())
        for marks in figure.axes[0].collections
        if isinstance(marks, PathCollection)
    }
    assert len(looks) == 8 == len({look[0] for look in looks}) == len({look[1] for look in looks})
    (root / "runs/s/results/detection-net-full-3/epochs.jsonl").unlink()  # a run without curves changes no colours
    assert plots.learning_curves(groups, read_results(root / "experiments/s", root / "runs/s").curves, look)
    assert sorted(text.get_text() for legend in figure.legends for text in legend.get_texts()) == look.kinds


def test_colours_are_distinct_for_any_number_of_schedules() -> None:
    for n in (1, 6, 7, 10, 11, 14):
        assert len(set(colours_of([str(i) for i in range(n)]).values())) == n


def test_numbers_are_readable() -> None:
    assert [number(x) for x in (0.91234, 0.9, 162.61, 1234.5, 0.00002, 0.0, math.nan)] == [
        *("0.9123", "0.9000", "162.6", "1,234", "2.0e-05", "0.0000", "NaN")
    ]
    assert [count(n) for n in (12, 5124, 3_400_000)] == ["12", "5.124 k", "3.4 M"]


def test_nothing_to_be_found_is_a_dash_and_no_value(root: Path) -> None:
    # Catches the -1 of a split without boxes as the highest mean, and a mean over seeds that has it for a value.
    for folder in (root / "runs/s/results").glob("detection-*"):
        record = json.loads((folder / "result.json").read_text())
        seed = record["seed"]
        record["by_class"] = {"map": {"a": -1.0 if seed == 0 else 0.5, "b": -1.0}}
        record["metrics"]["map"] = -1.0
        (folder / "result.json").write_text(json.dumps(record))
        write_epochs(folder, [-1.0, -1.0], [1.0, 2.0], [0, 0])
    text = report_of(root)
    assert "-1.0" not in text
    assert "| a | 0.5000 |\n| b | — |" in text
    one = root / "one"
    write_study(one, {"task": ["detection"], "backbone": ["net"], "schedule": ["full"], "seed": [0]})
    add_run(one, "detection", "full", 0, -1.0)
    assert "-1.0" not in report_of(one)


def test_the_report_tells_how_to_read_what_is_in_its_pictures_and_nothing_else(tmp_path: Path, pictures: None) -> None:
    write_study(tmp_path, {"task": ["classification"], "backbone": ["net"], "schedule": ["full"], "seed": [0]})
    write_epochs(add_run(tmp_path, "classification", "full", 0, 0.5), [0.25, 0.5], [1.0, 2.0], [0, 0])
    text = report_of(tmp_path)
    assert "plots/curves.png" in text and "Seconds are of training alone" in text
    for absent in ("frozen, the darker", "end of a phase", "bands reach", "large pale ones"):
        assert absent not in text, absent


def test_names_spoil_no_table(root: Path) -> None:
    for folder in (root / "runs/s/results").iterdir():
        record = json.loads((folder / "result.json").read_text())
        record["schedule"] = {"thaw": "a|b", "frozen": "c[/d]"}[record["schedule"]]
        (folder / "result.json").write_text(json.dumps(record))
    assert "c[/d]" in render_table(run(root))
    rows = [line for line in report(root).splitlines() if "c[/d]" in line and line.startswith("|")]
    rows += [line for line in report(root).splitlines() if "a\\|b" in line and line.startswith("|")]
    assert len(rows) == 2 * 2 * 3, "of two tasks: the results, at equal budgets, the other metrics"
    assert {len(re.split(r"(?<!\\)\|", row)) for row in rows[:1]} == {11}


def test_names_that_were_numbers_when_a_result_was_written_are_compared(root: Path) -> None:
    for folder in (root / "runs/s/results").iterdir():
        record = json.loads((folder / "result.json").read_text())
        record["schedule"] = {"thaw": 0.001, "frozen": 0.01}[record["schedule"]]
        (folder / "result.json").write_text(json.dumps(record | {"by_class": {"map": {"a": 0.5}}}))
    assert "| net | retinanet | 0.001 |" in report_of(root).replace("**", "")
